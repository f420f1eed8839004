"""What the file says of a member that sees columns and no image."""

from collections.abc import Collection
from typing import Any, Self

from pydantic import Field, model_validator

from pipeline.registry import code_in
from pipeline.settings import Section, Settings, read_options
from pipeline.vision.estimators import ESTIMATORS
from pipeline.vision.member import Member

TABLE = "table:"  # before an estimator's name


class TableModel(Member, frozen=True):
    """What scikit-learn fits to `data.features` alone: arch = "table:forest", and the options of that."""

    options: dict[str, Any] = Field(default={})

    @classmethod
    def serves(cls, arch: str) -> bool:
        return arch.startswith(TABLE)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.estimator not in ESTIMATORS:
            raise ValueError(f"arch {self.arch!r}: {ESTIMATORS.unknown(self.estimator)}")
        try:
            _ = self.chosen
        except ValueError as error:
            raise ValueError(f"options of {self.arch!r}: {error}") from None
        return self

    @property
    def estimator(self) -> str:
        """The name of what is fitted."""
        return self.arch.removeprefix(TABLE)

    @property
    def chosen(self) -> Section:
        """Its options with every default filled in. Raises ValueError, which says in words what is wrong."""
        return read_options(ESTIMATORS[self.estimator].options, self.options)

    @property
    def reads_features(self) -> bool:
        return True

    def resolved(self, within: Any = None) -> Self:
        return self.model_copy(update={"options": self.chosen.model_dump(mode="json")})

    def settings(self, within: Any = None, leave_out: Collection[str] = ()) -> Settings:
        """With every option, and the code of what a plug-in brings."""
        found = super().settings(within, leave_out)
        values = found | {"options": self.chosen.settings(), **code_in("arch", ESTIMATORS, self.estimator)}
        return Settings(values, found.defaults, found.from_spelled)
