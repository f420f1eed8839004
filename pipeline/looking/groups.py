"""Columns beside labels: those whose rows stay together in folds (patients, places, series), and features."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipeline.looking.tables import Table
from pipeline.looking.values import has_fractions, is_mark

STRONG = re.compile(
    r"patient|subject|person(?!al)|driver|participant|location|^loc|site_?id|^site$|seq_?id|case_?id", re.I
)
WEAK = re.compile(
    r"individual|study|case|site|hospital|session|scene|slide|well|plate|animal|owner|user|video|clip|camera|farm|"
    r"field|plot|series|center|centre|batch|event|observer|source|group|experiment|family_?id|house|station",
    re.I,
)
NO_FEATURE = re.compile(r"id$|path|file|url|width|height|license|rights", re.I)
FOLDS, NUMBERED = 5, 2


@dataclass(frozen=True)
class Group:
    """A column that names groups, and the table that it is in where that is not the training table."""

    column: str
    table: str | None
    groups: int
    strong: bool

    @property
    def folds(self) -> int:
        """As many as there are groups to hold out."""
        return min(FOLDS, self.groups)


def groups_in(train: Table, id_column: str, taken: Collection[str], others: Sequence[Table]) -> list[Group]:
    """Columns by the names that groups have and whose values repeat, the likeliest first."""
    found = [_group(train, column, None) for column in train.columns if column not in {*taken, id_column}]
    ids = set(train.rows[id_column])
    for table in others:
        once = id_column in table.columns and not table.rows[id_column].duplicated().any()
        if once and ids <= set(table.rows[id_column]):
            known = {*train.columns, *taken, id_column}
            found += [_group(table, column, table.name) for column in table.columns if column not in known]
    return sorted((group for group in found if group is not None), key=lambda group: not group.strong)


def features_in(train: Table, test: Table | None, taken: Collection[str]) -> list[str]:
    """Columns that both tables have beside ids and labels: what is known of a test image but its pixels.

    Of numbered ones (margin1, margin2, ...) the pattern.
    """
    held = [] if test is None else [c for c in train.columns if c in test.columns and c not in taken]
    varied = [column for column in held if train.rows[column].nunique() > 1 and not NO_FEATURE.search(column)]
    stems = Counter(column.rstrip("0123456789") for column in varied)
    names = [stem if stems[stem := column.rstrip("0123456789")] <= NUMBERED else f"{stem}*" for column in varied]
    return list(dict.fromkeys(c if "*" not in n else n for c, n in zip(varied, names, strict=True)))


def _group(table: Table, column: str, name: str | None) -> Group | None:
    if not (STRONG.search(column) or WEAK.search(column)):
        return None
    cells = table.cells(column)
    cells = cells[cells != ""]
    counts = cells.value_counts()
    if (
        is_mark(cells)
        or len(counts) < (2 if STRONG.search(column) else FOLDS)
        or len(counts) > 0.95 * len(cells)
        or has_fractions(cells)  # which measure something
    ):
        return None
    fits = counts.iloc[0] <= len(table.rows) / 2  # a larger one leaves too little for the others
    return Group(column, name, len(counts), bool(STRONG.search(column)) and bool(fits))
