"""Forms of a submission's column: how predictions become its cells, and its cells predictions again.

The file says `target` for the decided label or number, `target/class` for the probability of a class, and
`target:form` or `target:form/class` for any form by its name.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipeline.errors import RequestError
from pipeline.registry import Registry
from pipeline.targets import TargetSpec

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Column:
    """One column of the submission: a target's decided label or number, or the probability of one class.

    `form` is empty where the file leaves it to whether there is a class.
    """

    name: str
    target: str
    label: str | None = None
    form: str = ""

    @classmethod
    def of(cls, name: str, source: str) -> "Column":
        """The column as the file says what goes into it."""
        head, slash, label = source.partition("/")
        target, _, form = head.partition(":")
        return cls(name, target, label if slash else None, form)

    @property
    def kind(self) -> str:
        """The name of its form."""
        return self.form or ("decision" if self.label is None else "probability")

    @property
    def source(self) -> str:
        """What the file says goes into it."""
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


class Form(ABC):
    """What a column's cells hold."""

    of_class: ClassVar[bool]  # each column holds one class's part, so the file names a class
    gives_probabilities: ClassVar[bool]  # a metric of probabilities can score it

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


FORMS: Registry[Form] = Registry("form", __name__, ("decision", "probability"))


def check_source(column: Column) -> None:
    """Raise ValueError unless there is such a form, with a class where it needs one."""
    if column.kind not in FORMS:
        raise ValueError(f"form {column.kind!r} is {FORMS.unknown(column.kind)}")
    if FORMS[column.kind].of_class and not column.label:
        raise ValueError(f"form {column.kind!r} needs a class, as in '{column.target}:{column.kind}/CLASS'")
    if column.label is not None and not FORMS[column.kind].of_class:
        raise ValueError(f"form {column.kind!r} takes no class")
