"""Forms of a submission's column: how predictions become its cells, and its cells predictions again.

The file says `target` for the decided label or number, `target/class` for the probability of a class, and
`target:form` or `target:form/class` for any form by its name. A table says the same with the form's options:
`{ target = "whale", form = "best", k = 5 }`, `{ target = "cover", class = "Cover", decimals = 6 }`.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeAlias

import numpy as np
from pydantic import Field

from pipeline.errors import RequestError
from pipeline.registry import Registry, meant
from pipeline.settings import NoOptions, Section, read_options
from pipeline.targets import TargetSpec
from pipeline.targets.cells import numbers_in

if TYPE_CHECKING:
    import pandas as pd

Source: TypeAlias = str | Mapping[str, Any]  # what the file says goes into a column
Places = Annotated[int, Field(ge=0, le=15)]
RANKED = "best"  # the form in which a metric of the first k classes is sent
KEYS = {"target", "class", "form"}  # of a source that is a table, beside the form's options


@dataclass(frozen=True)
class Column:
    """One column of the submission: a target's decided label or number, or the probability of one class.

    `form` is empty where the file leaves it to whether there is a class. `given` are the form's options, as said.
    """

    name: str
    target: str
    label: str | None = None
    form: str = ""
    given: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, name: str, source: Source) -> "Column":
        """The column as the file says what goes into it."""
        if not isinstance(source, str):
            given = tuple((key, value) for key, value in source.items() if key not in KEYS)
            return cls(name, source["target"], source.get("class"), source.get("form", ""), given)
        head, slash, label = source.partition("/")
        target, _, form = head.partition(":")
        return cls(name, target, label if slash else None, form)

    @property
    def kind(self) -> str:
        """The name of its form."""
        return self.form or ("decision" if self.label is None else "probability")

    @property
    def entry(self) -> "Form":
        """Its form, with its options. Raises ValueError, which says in words what is wrong with them."""
        form = FORMS[self.kind]
        return form.told(read_options(form.options, dict(self.given)))

    @property
    def asked(self) -> dict[str, Any]:
        """What its cells are besides its source: the options that are not off."""
        return {key: value for key, value in self.entry.chosen.model_dump().items() if value is not None}

    def of_class(self, label: str) -> "Column":
        """The same for one class, of a column that stands for each."""
        return replace(self, label=label)

    @property
    def source(self) -> str:
        """What the file says goes into it, without options."""
        head = f"{self.target}:{self.form}" if self.form else self.target
        return head if self.label is None else f"{head}/{self.label}"

    def code(self, spec: TargetSpec) -> int:
        """The place of its class. Raises RequestError if the target has no such class."""
        if self.label not in spec.vocab:
            raise RequestError(
                f"submission.columns.{self.name}: {self.label!r} is not a class of {spec.name!r}, "
                f"which has {', '.join(spec.vocab[:12])}{', ...' if len(spec.vocab) > 12 else ''}"
            )
        return spec.vocab.index(self.label)


class Decimals(Section, frozen=True):
    """How many places numbers have behind the point; all that a float has unless it is said."""

    decimals: Places | None = None


class Form(ABC):
    """What a column's cells hold."""

    of_class: ClassVar[bool]  # each column holds one class's part, so the file names a class
    gives_probabilities: ClassVar[bool]  # a metric of probabilities can score it
    turned: ClassVar[bool] = False  # more is less of the class
    ranks: ClassVar[bool] = False  # it lists classes by their probabilities, of which decided predictions have none
    options: ClassVar[type[Section]] = NoOptions
    chosen: Any = NoOptions()  # the options of a column, of the type `options`

    def told(self, options: Section) -> Self:
        """The form with the options of a column."""
        own = copy.copy(self)
        own.chosen = options
        return own

    def called(self, spec: TargetSpec) -> TargetSpec:
        """The target as cells of this form spell it."""
        return spec

    def unfit(self, spec: TargetSpec) -> str | None:
        """Why a target's predictions cannot be written so, in words: known before anything is trained."""
        return None

    def text(self, cells: "pd.Series", decimals: int | None = None) -> "pd.Series":
        """Cells, which are checked, as they are written; `decimals` of numbers where the column says no other."""
        own = getattr(self.chosen, "decimals", None)
        places = decimals if own is None else own
        if places is None or cells.dtype.kind not in "fiu":
            return cells
        return (cells.round(places) + 0.0).map(f"{{:.{places}f}}".format)  # + 0.0: no -0.00

    @abstractmethod
    def cells(self, spec: TargetSpec, column: Column, values: np.ndarray) -> np.ndarray:
        """The cells (n,) for predictions (n, width)."""

    @abstractmethod
    def problem(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        """What is wrong with cells, none of which is empty, in words."""

    def doubt(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        """What in a sample's cells of text, none of which is empty, speaks against this form, in words."""
        return None

    @abstractmethod
    def read(self, spec: TargetSpec, columns: Sequence[Column], table: "pd.DataFrame") -> np.ndarray:
        """A target's cells, all of them of this form, as predictions (n, width). Raises RequestError."""

    def answers(self, name: str, cells: "pd.Series") -> np.ndarray:
        """A solution's cells of text in a column of one class, as 0 or 1 (n,) of that class. Raises RequestError."""
        return numbers_in(name, cells)


FORMS: Registry[Form] = Registry("form", __name__, ("decision", "probability", "best", "complement"))


def known_separator(value: object) -> object:
    """What stands between labels of a cell, as a form's option."""
    if isinstance(value, str) and not value.strip() and value != " ":
        raise ValueError("what stands between labels; blanks of any kind are ' '")
    return value


def check_source(column: Column) -> None:
    """Raise ValueError unless there is such a form, with a class where it needs one."""
    if column.kind not in FORMS:
        raise ValueError(f"form {column.kind!r} is {FORMS.unknown(column.kind)}")
    if FORMS[column.kind].of_class and not column.label:
        raise ValueError(f"form {column.kind!r} needs a class, as in '{column.target}:{column.kind}/CLASS'")
    if column.label is not None and not FORMS[column.kind].of_class:
        raise ValueError(f"form {column.kind!r} takes no class")
    try:
        _ = column.entry
    except ValueError as error:
        raise ValueError(f"form {column.kind!r}: {error}{_forms_with(column)}") from None


def _forms_with(column: Column) -> str:
    """Where the file names no form: which ones have the options that it gives."""
    given = {key for key, _ in column.given}
    fitting = [f"form = {name!r}" for name, form in FORMS.items() if given <= form.options.model_fields.keys()]
    return f"; say {' or '.join(fitting)}" if fitting and not column.form else ""


def refuse_table(source: Mapping[str, Any]) -> None:
    """Raise ValueError for a table that is not what a column is filled from."""
    for key in sorted(KEYS & source.keys()):
        if not isinstance(source[key], str):
            raise ValueError(f"{key}: found {source[key]!r}, expected text")
    if "target" not in source:
        near = next((meant(key, ["target"]) for key in source if meant(key, ["target"])), "")
        raise ValueError(f"expected a table with a target, as in {{ target = 'age', decimals = 2 }}{near}")
