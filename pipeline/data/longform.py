"""Tables with a row for each id and name (a class, a target), read as a table with a row an id, and filled again."""

import functools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import Competition
from pipeline.data.tables import need_column, read_table
from pipeline.errors import RequestError
from pipeline.forms.said import CELL, GROUPS, Long
from pipeline.targets.classes import some


@dataclass(frozen=True)
class LongForm:
    """How rows are read: what the file says, its column of ids, and what that is called in the table that comes of it.

    `names` are those that are known: where a cell can be taken apart in several ways, they tell which one is meant.
    """

    said: Long
    id: str | None
    ids: str
    names: frozenset[str]
    raw: Path
    encoding: str | None = None
    key: str = "submission.long"  # for messages

    def fits(self, table: pd.DataFrame) -> bool:
        """Whether a table, such as a solution, is of this form."""
        if self.said.row is not None:
            return any(pattern_of(self.said.row).fullmatch(str(cell)) for cell in self._cells(table).head(1))
        return self.said.name in self._joined(table).columns

    def unfolded(
        self, table: pd.DataFrame, where: str, value: str | None = None, besides: Collection[str] = ()
    ) -> pd.DataFrame:
        """A row an id, a column a name, both in the order in which they come; cells that there are not are empty.

        Their text is from the column `value`, by default the one that is filled; those `besides` are no part of the
        form. Raises RequestError for rows that cannot be read, or of which two have one id and name.
        """
        own = table.drop(columns=list(besides))
        ids, names = self._keys(own, where)
        filled = value or self.value_of(own, where)
        rows, order = pd.factorize(ids)
        columns, known = pd.factorize(names)
        twice = pd.Series(rows * max(len(known), 1) + columns).duplicated().to_numpy()
        if twice.any():
            shown = some(f"({i}, {name})" for i, name in zip(ids[twice], names[twice], strict=True))
            raise RequestError(
                f"{self.key}: {int(twice.sum())} of {len(table)} rows of {where} are there before: {shown}"
            )
        cells = np.full((len(order), len(known)), "", dtype=object)
        cells[rows, columns] = table[filled]
        wide = pd.DataFrame(cells, columns=list(known))
        wide.insert(0, self.ids, np.asarray(order, dtype=object), allow_duplicates=True)
        return wide

    def with_the_rest(self, table: pd.DataFrame, where: str) -> pd.DataFrame:
        """`unfolded`, with the table's other columns that say the same in all rows of each id."""
        wide = self.unfolded(table, where)
        ids, _ = self._keys(table, where)
        known = {self.value_of(table, where), *wide.columns}
        rest = table[[name for name in table.columns if name not in known]]
        counts = rest.groupby(ids.to_numpy(), sort=False).nunique(dropna=False)
        same = [name for name in rest.columns if (counts[name] == 1).all()]
        first = rest[same].groupby(ids.to_numpy(), sort=False).first()
        return wide.join(first, on=self.ids)

    def gaps(self, table: pd.DataFrame, where: str) -> str | None:
        """In words, the ids and names that no row asks for, where others of the id are asked for."""
        ids, names = self._keys(table, where)
        all_ids, all_names = ids.unique(), names.unique()
        lacking = len(all_ids) * len(all_names) - len(table)
        if not lacking:
            return None
        counts = ids.value_counts()
        first = next(i for i in all_ids if counts[i] < len(all_names))
        name = next(name for name in all_names if name not in set(names[ids == first]))
        return (
            f"{self.key}: {where} has {len(all_ids)} ids and {len(all_names)} names, and asks for {lacking} of their "
            f"{len(all_ids) * len(all_names)} pairs in no row, such as ({first}, {name})"
        )

    def folded(self, sample: pd.DataFrame, wide: pd.DataFrame, where: str) -> pd.DataFrame:
        """The sample, each row's cell taken from the table with a row an id."""
        ids, names = self._keys(sample, where)
        rows = pd.Index(wide[self.ids]).get_indexer(pd.Index(ids))
        cells = wide.drop(columns=self.ids)
        columns = cells.columns.get_indexer(pd.Index(names))
        kinds = set(cells.dtypes)  # whole numbers beside others stay whole
        kind = kinds.pop() if len(kinds) == 1 else None
        cells = cells.to_numpy(dtype=kind if isinstance(kind, np.dtype) else object)[rows, columns]
        return sample.assign(**{self.value_of(sample, where): cells})

    def held(self, table: pd.DataFrame, asked: pd.DataFrame, where: str) -> pd.DataFrame:
        """A submission with a row an id: all that is asked for is there; what is neither is as some other cell.

        `asked` is the sample unfolded, whose cells are empty where nothing is asked for.
        """
        wide = self.unfolded(table, where)
        asked = asked.set_index(self.ids)
        whole = wide.set_index(self.ids).reindex(index=asked.index.union(pd.Index(wide[self.ids]), sort=False))
        whole = whole.reindex(columns=[*asked.columns, *(name for name in whole.columns if name not in asked)])
        empty = (whole.isna() | (whole == "")).reindex(index=asked.index, columns=asked.columns)
        lost = empty & (asked != "")
        if lost.any(axis=None):
            row, column = np.argwhere(lost.to_numpy())[0]
            raise RequestError(
                f"{where} lacks {int(lost.to_numpy().sum())} of the {int((asked != '').to_numpy().sum())} rows that "
                f"the sample asks for, such as ({lost.index[row]}, {lost.columns[column]}), or has no value there"
            )
        told = whole.where(whole.notna() & (whole != ""))
        return told.fillna(told.bfill().iloc[0]).reset_index(names=self.ids)

    def value_of(self, table: pd.DataFrame, where: str) -> str:
        """The column that is filled."""
        if self.said.value is not None:
            need_column(table, self.said.value, where, f"{self.key}.value")
            return self.said.value
        by_name = self.said.row is None
        held = {self.said.name, self._id_of(self._joined(table), where) if by_name else self._cells(table).name}
        left = [name for name in table.columns if name not in held]
        if len(left) != 1:
            raise RequestError(
                f"{self.key}: which column of {where} is filled? it has {', '.join(table.columns)}; "
                f"say {self.key}.value"
            )
        return left[0]

    def _keys(self, table: pd.DataFrame, where: str) -> tuple[pd.Series, pd.Series]:
        """Each row's id and name."""
        if self.said.row is not None:
            return self._taken_apart(self._cells(table), where)
        whole = self._joined(table)
        need_column(whole, str(self.said.name), where, f"{self.key}.name")
        ids, names = whole[self._id_of(whole, where)], whole[str(self.said.name)]
        lost = (ids.fillna("").str.strip() == "") | (names.fillna("").str.strip() == "")
        if lost.any():
            raise RequestError(f"{self.key}: {int(lost.sum())} of {len(table)} rows of {where} have no id or no name")
        return ids, names

    def _joined(self, table: pd.DataFrame) -> pd.DataFrame:
        """With what `long.table` says of each row, by the columns that both have."""
        if self.said.table is None:
            return table
        more = read_table(self.raw / self.said.table, f"{self.key}.table", encoding=self.encoding)
        kept = [name for name in more.columns if name not in table.columns or name != self.said.value]
        shared = [name for name in kept if name in table.columns]
        if not shared:
            raise RequestError(
                f"{self.key}.table: {self.said.table} has no column of the sample ({', '.join(table.columns)}); it has "
                f"{', '.join(more.columns)}"
            )
        if more[shared].duplicated().any():
            raise RequestError(f"{self.key}.table: {self.said.table} repeats rows of {', '.join(shared)}")
        return table.merge(more[kept], on=shared, how="left")

    def _id_of(self, table: pd.DataFrame, where: str) -> str:
        """The column of ids, where names have one of their own."""
        if self.id is not None:
            need_column(table, self.id, where, "submission.id")
            return self.id
        if self.ids in table.columns:
            return self.ids
        left = [name for name in table.columns if name not in (self.said.name, self.said.value)]
        if len(left) != 1 and not (len(left) == 2 and self.said.value is None):
            raise RequestError(
                f"{self.key}: which column of {where} is the id? it has {', '.join(left)}; say "
                f"{self.key.partition('.')[0]}.id"
            )
        return left[0]

    def _cells(self, table: pd.DataFrame) -> pd.Series:
        """The column whose cells hold id and name."""
        if self.id is not None and self.id in table.columns:
            return table[self.id]
        pattern = pattern_of(str(self.said.row))
        held = {name: sum(map(bool, map(pattern.fullmatch, table[name].head(100)))) for name in table.columns}
        return table[max(held, key=lambda name: held[name])]

    def _taken_apart(self, cells: pd.Series, where: str) -> tuple[pd.Series, pd.Series]:
        pairs = list(map(splitter(str(self.said.row), self.names), cells))
        lost = [cell for cell, pair in zip(cells, pairs, strict=True) if pair is None]
        if lost:
            raise RequestError(
                f"{self.key}: {len(lost)} of {len(cells)} cells of column {cells.name!r} of {where} are not like "
                f"{self.said.row!r}: {some(lost)}"
            )
        ids, names = zip(*[pair for pair in pairs if pair is not None], strict=True) if len(cells) else ((), ())
        return pd.Series(ids, index=cells.index, dtype=object), pd.Series(names, index=cells.index, dtype=object)


def long_form(comp: Competition, raw: Path) -> LongForm | None:
    """How the file says that rows of the sample are read; None for a row an id."""
    said = comp.submission
    if said.long is None:
        return None
    names = {target.name for target in comp.targets} | {name for name in said.columns if "*" not in name}
    names |= {name for target in comp.targets for name in target.known_columns}
    return LongForm(said.long, said.id, comp.data.answer_id, frozenset(names), raw, comp.data.encoding)


def unfolded(sample: Path, long: LongForm) -> pd.DataFrame:
    """The sample as a table with a row an id, which is read once for each state of the file."""
    return _unfolded(sample, long, *_marks(sample), *_marks(long.raw / (long.said.table or "")))


@functools.lru_cache(maxsize=4)
def _unfolded(sample: Path, long: LongForm, *_: int) -> pd.DataFrame:
    return long.unfolded(read_table(sample, "submission.sample", encoding=long.encoding), sample.name)


def _marks(path: Path) -> tuple[int, int, int]:
    try:
        about = path.stat()
    except OSError:
        return (0, 0, 0)
    return about.st_ino, about.st_mtime_ns, about.st_size


def pattern_of(row: str) -> re.Pattern[str]:
    """What says how a cell holds id and name, as a regular expression; the name is as short as it can be."""
    if all(group in row for group in CELL):
        return re.compile(row)
    escaped = re.escape(row)
    for group, many in zip(GROUPS, (".+", ".+?"), strict=True):
        escaped = escaped.replace(re.escape(group), f"(?P<{group.strip('{}')}>{many})")
    return re.compile(escaped)


def splitter(row: str, names: Collection[str]) -> Callable[[str], tuple[str, str] | None]:
    """What takes a cell apart into id and name: the longest name that is known, or as `pattern_of` says; None for
    neither.
    """
    pattern, known = pattern_of(row), list[tuple[str, re.Pattern[str]]]()
    if not all(group in row for group in CELL):
        for name in sorted(names, key=len, reverse=True):
            fixed = re.escape(row).replace(re.escape("{name}"), re.escape(name))
            known.append((name, re.compile(fixed.replace(re.escape("{id}"), "(?P<id>.+)"))))

    def split(cell: str) -> tuple[str, str] | None:
        found = pattern.fullmatch(cell)
        if found is None:
            return None
        for name, one in known:
            own = one.fullmatch(cell) if name in cell else None
            if own is not None:
                return own["id"], name
        return found["id"], found["name"]

    return split
