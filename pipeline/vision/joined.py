"""Further tables beside the one that has a row an image: joined by columns of both, never to more rows."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.tables import each_once, lines_of, need_column
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.targets.classes import some
from pipeline.vision.data_config import ImageData, Joined
from pipeline.vision.tables import has_names, need_beside, read_one

KEY = "data.tables"


def with_tables(
    raw: Path, data: ImageData, table: pd.DataFrame, name: str, log: Log | None, wanted: Collection[str] | None = None
) -> pd.DataFrame:
    """The rows of `table`, in their order, with the columns of data.tables beside theirs; blank where one has no row.

    With `wanted`, of the tables that have one of these columns alone, where they can be joined. Rows that do not match
    are told. Raises RequestError for a table that would multiply rows, that has no row for any of them, or whose
    columns are called as others and hold something else.
    """
    for joined in data.tables:
        other = read_one(raw, data, joined.table, KEY, log)
        if wanted is not None:
            missing = set(wanted) - set(table.columns)
            if not missing & set(other.columns) or not set(_keys(joined, data).values()) <= set(table.columns):
                continue
        table = _joined(raw, data, table, name, joined, other, log, wanted is None)
    return table


def _keys(joined: Joined, data: ImageData) -> dict[str, str]:
    """The columns by which a table is joined: there, and here."""
    if isinstance(joined.on, dict):
        return joined.on
    column = data.id if joined.on is None else joined.on
    return {column: column}


def _joined(
    raw: Path,
    data: ImageData,
    table: pd.DataFrame,
    name: str,
    joined: Joined,
    other: pd.DataFrame,
    log: Log | None,
    both_ways: bool,
) -> pd.DataFrame:
    keys = _keys(joined, data)
    for there, here in keys.items():
        need_column(other, there, joined.table, f"{KEY}: on")
        need_beside(raw, data, table, here, name, f"{KEY}: on")
    for column in joined.take or ():
        need_column(other, column, joined.table, f"{KEY}: take")
    taken = [column for column in joined.take or list(other.columns) if column not in keys]
    other = other[[*keys, *taken]]
    wanted, offered = _as_one(table[list(keys.values())]), _as_one(other[list(keys)])
    once = each_once(other, offered)
    offered = offered[once.index]
    used = offered.isin(wanted)
    _refuse_multiplying(raw, data, joined, name, offered[used])
    places = pd.Index(offered[used]).get_indexer(pd.Index(wanted))
    surplus = int((~used).sum()) if both_ways else 0
    _tell_unmatched(joined, name, keys, wanted, offered, places, surplus, log)
    found = once[used]
    fresh = _fresh(table, name, joined, found, taken, places)
    cells = found[fresh].to_numpy(dtype=object)
    rows = np.full((len(table), len(fresh)), "", dtype=object)
    rows[places >= 0] = cells[places[places >= 0]]
    return pd.concat([table, pd.DataFrame(rows, columns=fresh, index=table.index, dtype=str)], axis=1)


def _as_one(keys: pd.DataFrame) -> pd.Series:
    """Several columns as one text a row."""
    texts = keys.apply(lambda column: column.str.strip())
    first = texts.iloc[:, 0]
    return first if texts.shape[1] == 1 else first.str.cat(texts.iloc[:, 1:], sep="\x1f")


def _refuse_multiplying(raw: Path, data: ImageData, joined: Joined, name: str, used: pd.Series) -> None:
    again = used[used.duplicated()]
    if not len(again):
        return
    key, rows = again.iloc[0], used.index[used == again.iloc[0]][:2].tolist()
    lines = lines_of(
        raw / joined.table, rows, not has_names(data, joined.table, KEY), data.separator, data.encoding
    )  # fmt: skip
    raise RequestError(
        f"{KEY}: {joined.table} has several rows for {again.nunique()} keys of {name}, which would multiply its rows: "
        f"lines {' and '.join(map(str, lines))} are of {_shown(key)} and differ; take = [...] names columns that do not"
    )


def _tell_unmatched(
    joined: Joined,
    name: str,
    keys: dict[str, str],
    wanted: pd.Series,
    offered: pd.Series,
    places: np.ndarray,
    surplus: int,
    log: Log | None,
) -> None:
    lacking = wanted[places < 0]
    here, there = ("/".join(map(repr, columns)) for columns in (keys.values(), keys))
    if len(lacking) == len(wanted):
        raise RequestError(
            f"{KEY}: {joined.table} has no row for any of {len(wanted):,} rows of {name}: {here} holds "
            f"{_shown(wanted.iloc[0])}, {there} there {_shown(offered.iloc[0]) if len(offered) else 'nothing'}; "
            "on = 'COLUMN' joins by another column"
        )
    if log is None:
        return
    more = f"; {surplus:,} of its own are of no row there" if surplus else ""
    if len(lacking):
        log.warn(
            f"{KEY}: {joined.table} has no row for {len(lacking):,} of {len(wanted):,} rows of {name} "
            f"({some(lacking.map(_shown))}): their cells are blank{more}"
        )
    elif surplus:
        log.say(f"data: {joined.table} has a row for all {len(wanted):,} rows of {name}{more}")


def _fresh(
    table: pd.DataFrame, name: str, joined: Joined, found: pd.DataFrame, taken: list[str], places: np.ndarray
) -> list[str]:
    """The columns that are not there yet. Raises RequestError for one that is, and says something else."""
    rows = np.flatnonzero(places >= 0)
    for column in taken:
        if column in table.columns:
            ours, theirs = table[column].to_numpy()[rows], found[column].to_numpy()[places[rows]]
            odd = np.flatnonzero(ours != theirs)
            if len(odd):
                raise RequestError(
                    f"{KEY}: {joined.table} and {name} both have a column {column!r}, and {len(odd):,} rows differ "
                    f"({ours[odd[0]]!r}, here {theirs[odd[0]]!r}); take = [...] names the columns that are meant"
                )
    return [column for column in taken if column not in table.columns]


def _shown(key: str) -> str:
    return repr(key.replace("\x1f", "/"))
