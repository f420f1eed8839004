"""What a competition file says about a rating model; `method` chooses the algorithm, and with it what may be said."""

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from pipeline.config import Model
from pipeline.registry import Registry, code_in
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.collab.algorithms.base import Algorithm

USUAL = "sgd"  # the method of a model that names none


class RatingsModel(Model, frozen=True):
    """One member of the ensemble. `RatingsModel(name=..., method=...)` makes the settings class of that method.

    A setting of another algorithm is refused, unless it is said at its default: a resolved file may hold it.
    """

    readable_factors: ClassVar[bool] = False  # they stay put and are multiplied: what `explain` shows unless told

    method: str

    def __new__(cls, **said: Any) -> Self:
        return super().__new__(_chosen(cls, {"method": USUAL, **said}) if cls is RatingsModel else cls)

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_method(cls, said: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(said, dict):
            return handler(said)
        if cls is RatingsModel:
            said = {"method": USUAL, **said}
            chosen = _chosen(cls, said)
            if chosen is cls:
                raise _unknown_method(said["method"])
            return chosen.model_validate(said)
        owners = {key: owner_of(key) for key in said if key not in cls.model_fields}
        strange = {key: owner for key, owner in owners.items() if owner is not None}
        made = handler({key: value for key, value in said.items() if key not in strange})
        cls._refuse(strange, said)
        return made

    @classmethod
    def _refuse(cls, strange: Mapping[str, str], said: Mapping[str, Any]) -> None:
        for key in cls.known_keys():  # whatever the order in the file
            if key in strange:
                other = strange[key]
                default = ALGORITHMS.get(other).settings.model_fields[key].get_default(call_default_factory=True)
                if type(said[key]) is not type(default) or said[key] != default:
                    own = said.get("method", cls.model_fields["method"].default)
                    raise ValueError(f"{key} goes with method = {other!r}, not with {own!r}")

    @classmethod
    def variant(cls, said: Mapping[str, Any]) -> "type[RatingsModel]":
        """The class of what is said under this method; another one where an algorithm is chosen by its settings."""
        return cls

    @classmethod
    def known_keys(cls) -> list[str]:
        """Settings of all algorithms."""
        classes = [cls, *(ALGORITHMS.get(name).settings for name in ALGORITHMS.names())]
        return list(dict.fromkeys(key for one in classes for key in one.model_fields))

    def settings(self, within: Any = None, leave_out: Collection[str] = ()) -> Settings:
        """With the code of an algorithm that a plug-in brings."""
        found = super().settings(within, leave_out)
        return Settings(found | code_in("method", ALGORITHMS, self.method), found.defaults, found.from_spelled)

    @property
    def rounds(self) -> int:
        """Epochs or sweeps of a fit."""
        return 1

    @property
    def limits(self) -> tuple[float, float] | None:
        """The range of ratings that the file gives; None where it gives none."""
        return None

    @property
    def decay(self) -> float | None:
        """The setting `weight_decay`; None where the algorithm has none."""
        return None

    @property
    def uses_features(self) -> bool:
        """Whether it is trained from the tables of users and items."""
        return False

    def check_levels(self, levels: int) -> None:
        """Raise ValueError, which begins with the setting, for so many different ratings as it cannot learn."""

    def check_data(self, times: bool, tables: bool) -> None:
        """Raise ValueError, which begins with the setting, for one that needs times or tables that are not there."""


class Factored(RatingsModel, frozen=True):
    """A model of as many factors, trained in as many rounds."""

    factors: Annotated[int, Field(ge=1)] = 50
    epochs: Annotated[int, Field(ge=1)] = 5  # passes over the ratings; sweeps of gibbs

    @property
    def rounds(self) -> int:
        return self.epochs


@dataclass(frozen=True)
class Entry:
    """An algorithm: its settings, and how its class is had when something is fitted or predicted."""

    settings: type[RatingsModel]
    load: "Callable[[], type[Algorithm[Any]]]"


def later(module: str, name: str) -> "Callable[[], type[Algorithm[Any]]]":
    """Imports an algorithm when it is called: the module stands on torch, and on the settings that name it."""
    return lambda: getattr(importlib.import_module(module), name)


ALGORITHMS: Registry[Entry] = Registry("method", "pipeline.collab.algorithms", ("sgd", "network", "gibbs"))


def owner_of(key: str) -> str | None:
    """The first method that has such a setting."""
    return next((name for name in ALGORITHMS.names() if key in ALGORITHMS.get(name).settings.model_fields), None)


def _chosen(cls: type[RatingsModel], said: Mapping[str, Any]) -> type[RatingsModel]:
    """The settings class of the method that is said; `cls` where there is no such method."""
    known = said["method"] in ALGORITHMS.names()
    return ALGORITHMS.get(said["method"]).settings.variant(said) if known else cls


def _unknown_method(found: object) -> ValidationError:
    *names, last = map(repr, ALGORITHMS.names())
    expected = {"expected": f"{', '.join(names)} or {last}"}
    problem = InitErrorDetails(type="literal_error", loc=("method",), input=found, ctx=expected)
    return ValidationError.from_exception_data("RatingsModel", [problem])
