"""What the file says of the submission: its sample, columns, rows, spelling and file."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from pipeline.forms import Column, Places, check_source, refuse_table
from pipeline.settings import Section

GROUPS = ("{id}", "{name}")  # of a cell that holds both; a regular expression names its groups so
CELL = tuple(f"(?P<{group.strip('{}')}>" for group in GROUPS)


class Long(Section, frozen=True):
    """A sample with a row for each id and name: a class, a target, or what `columns` says of it.

    The name is in a column of its own (`name`), or in one cell with the id (`row`); `table` is a file that tells ids
    and names of rows which the sample merely numbers. `value` is the column that is filled, by default the only other.
    """

    name: str | None = None
    row: str | None = None
    value: str | None = None
    table: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Long":
        if (self.name is None) == (self.row is None):
            raise ValueError(
                "expected the column of classes or targets, as in { name = 'class' }, or how one cell holds id and "
                "class, as in { row = '{id}__{name}' }"
            )
        if self.row is not None and not _holds_both(self.row):
            raise ValueError(
                f"row: found {self.row!r}, expected id and name once each with something between them, as in "
                "'{id}__{name}', or a regular expression with groups (?P<id>...) and (?P<name>...)"
            )
        if self.table is not None and (self.row is not None or self.value is None):
            raise ValueError("table goes with name and value: columns of ids and names there, and what the sample asks")
        return self


def _holds_both(row: str) -> bool:
    if all(group in row for group in CELL):
        try:
            return re.compile(row).groups == 2
        except re.error:
            return False
    return all(row.count(group) == 1 for group in GROUPS) and "}{" not in row


class CodeTable(Section, frozen=True):
    """A table with a row a class: the column of its names, and that of its codes."""

    table: str
    name: str
    code: str


class Counted(Section, frozen=True):
    """Codes that count classes: in the order given, or that in which `data` shows them."""

    order: list[str] | None = None
    first: Annotated[int, Field(ge=0)] = 0


Codes = CodeTable | Counted | dict[str, str | int]


def _codes(value: object) -> object:
    """What is said of a target's codes: an order of classes, a code a class, or a table of them."""
    if isinstance(value, list):
        return Counted.model_validate({"order": value})
    if isinstance(value, Mapping) and isinstance(value.get("table"), str) and value.keys() <= {"table", "name", "code"}:
        return CodeTable.model_validate(dict(value))
    if isinstance(value, Mapping) and value.keys() <= {"order", "first"} and not isinstance(value.get("order"), str):
        return Counted.model_validate(dict(value))
    return value


class Submission(Section, frozen=True):
    """The file that is sent: its sample, and what goes into each column (a target, target/class, or target:form).

    `"*" = "target/*"` fills a column for each class. `id` is the sample's column of ids, where it is not data.id.
    """

    sample: str = "sample_submission.csv"
    id: str | None = None
    columns: dict[str, str | dict[str, Any]] = Field(default={})
    long: Long | None = None  # a row for each id and class, or target
    codes: dict[str, Annotated[Codes, BeforeValidator(_codes)]] = Field(default={})  # what is written for classes
    decimals: Places | None = None  # of numbers whose column says no other
    weight: str | None = None  # the column of a solution that says how much a row counts
    file: Literal["csv", "zip"] = "csv"  # what is sent: the csv, or a zip of it beside it

    @field_validator("columns")
    @classmethod
    def _sources(cls, columns: dict[str, Any]) -> dict[str, Any]:
        for column, source in columns.items():
            if isinstance(source, dict):
                try:
                    refuse_table(source)
                except ValueError as error:
                    raise ValueError(f"{column}: {error}") from None
        return columns

    def refuse_unknown(self, targets: Mapping[str, bool]) -> None:
        """Raise ValueError for what names no target, of which it is told whether each has classes."""
        for column, source in self.columns.items():
            named, known = Column.of(column, source), ", ".join(targets)
            if ("*" in column) != (named.label == "*"):
                raise ValueError(f"submission.columns.{column} names {source!r}; a column a class is '*' = 'target/*'")
            if named.target not in targets:
                raise ValueError(
                    f"submission.columns.{column} names {source!r}; expected a target ({known}) or target/class"
                )
            try:
                check_source(named)
            except ValueError as error:
                raise ValueError(f"submission.columns.{column} names {source!r}: {error}") from None
        for target in self.codes:
            if not targets.get(target, False):
                with_classes = ", ".join(name for name, has in targets.items() if has) or "none"
                raise ValueError(f"submission.codes.{target}: expected a target with classes ({with_classes})")
