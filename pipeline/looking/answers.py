"""What is to be predicted and how the sample asks for it, before it is written as lines of a file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.looking.values import Values
from pipeline.targets import KINDS
from pipeline.targets.said import RESERVED_TARGET_NAMES


@dataclass(frozen=True)
class Answer:
    """One target: `where` are the keys that say where its label is, such as {"column": "label"}."""

    name: str
    kind: str
    where: dict[str, Any]
    why: str
    classes: tuple[str, ...] = ()
    separator: str = ""
    sure: bool = True
    graded: bool = False
    skewed: bool = False
    rows: int = 0  # that were looked at

    @classmethod
    def of(cls, name: str, column: str, values: Values, rows: int, sure: bool = True) -> "Answer":
        where = {} if name == column else {"column": column}
        return cls(
            name, values.kind, where, values.why, values.classes, values.separator, sure and values.sure,
            values.graded, values.skewed, rows,
        )  # fmt: skip

    @property
    def is_number(self) -> bool:
        """Whether it is a quantity."""
        return "transform" in KINDS[self.kind].takes

    @property
    def is_tags(self) -> bool:
        """Whether a row may have several of its classes."""
        return "separator" in KINDS[self.kind].takes

    @property
    def is_class(self) -> bool:
        """Whether every row has one of its classes."""
        return KINDS[self.kind].exclusive


@dataclass
class Asked:
    """The targets, and what goes into the sample's columns; `form` is label, probabilities, number or ranked."""

    answers: list[Answer]
    form: str = "label"
    columns: dict[str, Any] = field(default_factory=dict)
    why: str = ""
    sure: bool = True
    ranks: int = 0
    others: Sequence[str] = ()  # columns that might be targets too
    doubts: list[str] = field(default_factory=list)


def target_name(column: str) -> str:
    """A column's name as a target may be called."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", column).strip("_-")
    return f"{plain or 'label'}_" if (plain or "label") in RESERVED_TARGET_NAMES else plain or "label"
