"""What a sample submission asks for: which of its columns names a row, and what the others hold."""

import re
from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from pipeline.looking.long import Long
from pipeline.looking.tables import Table
from pipeline.looking.values import looks_listed

ID = re.compile(r"(^|[_ ])(id|ids|image|img|file|filename|name|row)s?($|[_ ])|id$|name$|^image|^file", re.I)


@dataclass(frozen=True)
class Sample:
    """A sample with its column of ids; `asked` are the others. Of rows of ids and names it is what they amount to."""

    table: Table
    id: str
    long: Long | None = None

    @classmethod
    def of(cls, table: Table, known: set[str], columns: set[str]) -> "Sample":
        """`known` are names of files and cells of test tables' ids, `columns` those of the tables."""
        names = table.columns
        unique = [name for name in names if not table.rows[name].duplicated().any()] or names
        held = {name: float(table.cells(name).head(200).isin(known).mean()) for name in unique}
        best = max(unique, key=lambda name: (held[name], bool(ID.search(name)), name in columns, -names.index(name)))
        return cls(table, best if held[best] or ID.search(best) else names[0])

    @property
    def asked(self) -> list[str]:
        return [name for name in self.table.columns if name != self.id]

    @property
    def ids(self) -> pd.Series:
        return self.table.rows[self.id]

    def cells(self, column: str) -> pd.Series:
        cells = self.table.cells(column)
        return cells[cells != ""]

    def numbers(self, column: str) -> pd.Series | None:
        """The cells as numbers; None where they are none, or empty."""
        cells = self.cells(column)
        numbers = pd.to_numeric(cells, errors="coerce")
        return numbers if len(cells) and numbers.notna().all() else None

    def probable(self, columns: list[str]) -> bool:
        """Whether cells are numbers from 0 to 1, with fractions among them."""
        found = [self.numbers(column) for column in columns]
        known = [numbers for numbers in found if numbers is not None]
        return (
            len(known) == len(columns) > 0
            and all(bool(numbers.between(0, 1).all()) for numbers in known)
            and any(bool((numbers % 1 != 0).any()) for numbers in known)
        )

    def constant(self, column: str) -> str | None:
        """The one value of all cells; None where they differ."""
        values = self.cells(column).unique()
        return str(values[0]) if len(values) == 1 else None

    def ranked(self, column: str, classes: Collection[str] = ()) -> int:
        """How many of the classes a cell ranks; 0 where it is one."""
        return looks_listed(self.cells(column), classes)
