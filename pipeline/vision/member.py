"""What the members of an image competition's ensemble have in common: which class one is of, its `arch` says."""

from typing import Any, Self

from pydantic import ModelWrapValidatorHandler, model_validator

from pipeline.config import Model


class Member(Model, frozen=True):
    """One member of the ensemble. What a file says becomes one of the class that serves its `arch`."""

    arch: str

    @classmethod
    def serves(cls, arch: str) -> bool:
        """Whether an architecture of that name is of this class."""
        raise NotImplementedError

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_arch(cls, said: Any, handler: ModelWrapValidatorHandler[Self]) -> Any:
        if cls is not Member or not isinstance(said, dict):
            return handler(said)
        arch = str(said.get("arch", ""))
        chosen = next(one for one in Member.__subclasses__() if one.serves(arch))
        for key in said:
            if key in cls.known_keys() and key not in chosen.model_fields:
                raise ValueError(f"{key} does not go with arch = {said.get('arch')!r}")
        return chosen.model_validate(said)

    @classmethod
    def known_keys(cls) -> list[str]:
        classes = Member.__subclasses__() if cls is Member else [cls]
        return list(dict.fromkeys(key for one in classes for key in one.model_fields))

    @property
    def reads_features(self) -> bool:
        """Whether it is trained from `data.features`."""
        return False
