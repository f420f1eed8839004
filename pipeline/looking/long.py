"""Samples and tables with a row for each id and name (a class, a target), taken apart: the rest sees wide ones."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from pipeline.looking.tables import Table

BETWEEN = ("__", "_", "-", ":", "|")
MOST = 1000  # names
FEW = 6  # columns of a table that only tells what rows are
TAKEN_APART = "image_id"
NAME = "\0name"  # a column that no table has


@dataclass(frozen=True)
class Long:
    """`row` says how a cell of `column` holds id and name; `name` is a column of names in its place."""

    column: str
    names: tuple[str, ...]
    row: str | None = None
    name: str | None = None
    between: str = ""
    table: str | None = None  # that tells ids and names, where the sample only numbers rows
    value: str | None = None  # what the sample asks for, then

    def said(self, value: str | None = None) -> dict[str, Any]:
        """As the file says it."""
        found: dict[str, Any] = {"row": self.row} if self.row is not None else {"name": self.name}
        if self.table is not None:
            return {**found, "value": self.value, "table": self.table}
        return found if value is None else {**found, "value": value}

    def wide(self, table: Table, value: str | None, id_column: str) -> Table:
        """A row an id with a column a name (none without values), and columns that are alike in all rows of an id."""
        ids, names = self._keys(table)
        keyed = table.rows.assign(**{id_column: ids, NAME: names}).drop_duplicates([id_column, NAME])
        rest = [c for c in table.columns if c not in (self.column, self.name, value, id_column)]
        alike = [c for c in rest if (keyed.groupby(id_column)[c].nunique() == 1).all()]
        found = [keyed.drop_duplicates(id_column).set_index(id_column)[alike]]
        if value is not None:
            cells = keyed.pivot_table(index=id_column, columns=NAME, values=value, aggfunc="first").fillna("")
            found.append(cells[[name for name in self.names if name in cells]])
        rows = pd.concat(found, axis=1).reset_index(names=id_column)
        return Table(table.name, rows.astype(str))

    def fits(self, table: Table) -> bool:
        """Whether a table has rows of this form, with values beside."""
        if self.column not in table.columns or not (self.name is None or self.name in table.columns):
            return False
        return set(self._keys(table)[1]) <= set(self.names)

    @property
    def id(self) -> str:
        """What the column of ids is called once a cell is taken apart."""
        return self.column if self.row is None else TAKEN_APART

    def _keys(self, table: Table) -> tuple[pd.Series, pd.Series]:
        cells = table.cells(self.column)
        if self.name is not None:
            return cells, table.cells(self.name)
        parts = cells.str.rpartition(self.between)
        known = (parts[1] != "") & parts[2].isin(self.names)
        return parts[0].where(known, cells), parts[2].where(known, "")


def long_in(sample: Table) -> Long | None:
    """How a sample has a row for each id and name; None where it has a row an id."""
    for column in sample.columns:
        cells = sample.cells(column)
        for between in BETWEEN:
            pairs = cells.str.rpartition(between)
            if _is_grid(pairs[0], pairs[2]):
                names = tuple(dict.fromkeys(pairs[2]))
                return Long(column, names, row=f"{{id}}{between}{{name}}", between=between)
    return _by_column(sample)


def lookup_in(sample: Table, tables: Sequence[Table]) -> tuple[Table, Long] | None:
    """The table that says which id and name each row of the sample is of, names being columns of another table."""
    if len(sample.columns) != 2:
        return None
    row, value = sample.columns
    for table in tables:
        beside = [column for column in table.columns if column not in (row, value)]
        if row not in table.columns or not 2 <= len(beside) <= FEW or not set(sample.rows[row]) <= set(table.rows[row]):
            continue
        for name, own in itertools.permutations(beside, 2):
            names = set(table.cells(name))
            held = any(names <= set(other.columns) for other in tables if other is not table)
            if held and not table.rows[[own, name]].duplicated().any():
                words = tuple(dict.fromkeys(table.cells(name)))
                filled = replace(table, rows=table.rows.assign(**{value: sample.rows[value].iloc[0]}))
                return filled, Long(own, words, name=name, table=table.name, value=value)
    return None


def _by_column(sample: Table) -> Long | None:
    """Ids in one column, names in another."""
    if len(sample.columns) < 3:
        return None
    for column in sample.columns[:-1]:
        for name in sample.columns:
            if name != column and _is_grid(sample.cells(column), sample.cells(name)):
                return Long(column, tuple(dict.fromkeys(sample.cells(name))), name=name)
    return None


def _is_grid(ids: pd.Series, names: pd.Series) -> bool:
    """Whether there is each name for each id, the names being words and fewer than the ids, or few."""
    different, words = ids.nunique(), set(names)
    if (
        different < 2
        or not 2 <= len(words) <= MOST
        or "" in words
        or (ids == "").any()
        or len(ids) != different * len(words)
    ):
        return False
    named = all(re.search(r"[A-Za-z]", word) for word in words)
    return named and not pd.DataFrame({"id": ids, "name": names}).duplicated().any()
