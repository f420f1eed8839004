"""Reading tables of ratings, users and items, as text."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.collab.config import Column, Keys, RatingsData, SideTable
from pipeline.collab.pairs import apart
from pipeline.data.tables import each_once, lines_of, need_column, read_table
from pipeline.errors import RequestError
from pipeline.freshness import digest
from pipeline.log import Log


@dataclass(frozen=True)
class Rows:
    """A table that tells of pairs: all of it, and `pairs` with the columns user, item and time, as text.

    `time` is missing where the table has no such column.
    """

    table: pd.DataFrame
    pairs: pd.DataFrame


def ratings_in(rows: Rows, data: RatingsData) -> pd.DataFrame:
    """Rows of the table of ratings in the order of the file: user, item, time (text, or missing), rating (float).

    Raises RequestError, naming the rows, for ratings that are missing or no numbers.
    """
    said = _column(rows.table, data.rating, data.table, "data.rating")
    if data.timestamp is not None:
        _column(rows.table, data.timestamp, data.table, "data.timestamp")  # here it must be there
    return rows.pairs.assign(rating=_numbers(said, f"data.rating: {data.table}", "rating"))


def read_rated(raw: Path, data: RatingsData, log: Log | None = None) -> Rows:
    """The table of ratings."""
    return read_rows(raw, data, data.table, "data.table", data.keys, log)


def read_asked(raw: Path, data: RatingsData, name: str, log: Log | None = None) -> Rows:
    """The test table."""
    rows, said = read_rows(raw, data, name, "data.test", data.asked, log), data.test_columns
    if said is not None and said.timestamp is not None:
        _column(rows.table, said.timestamp, name, "data.test_columns.timestamp")
    return rows


def refuse_moved(rated: Rows, asked: Rows, data: RatingsData) -> None:
    """Raise RequestError where columns are numbers that may mean others in a test table without the ratings."""
    keys, narrower = data.asked, asked.table.shape[1] < rated.table.shape[1]
    if keys.header or not narrower or data.test_columns is not None or not isinstance(data.rating, int):
        return
    named = [keys.pair] if keys.pair is not None else [keys.user, keys.item]
    spare = asked.table.shape[1] > len(named)  # a column that may be the time
    behind = [key for key in (*named, keys.timestamp if spare else None) if isinstance(key, int) and key > data.rating]
    if behind:
        raise RequestError(
            f"data.test: {data.test} has {asked.table.shape[1]} columns and {data.table} {rated.table.shape[1]}: "
            f"without the rating, column {data.rating}, those behind it may have moved up; say which are which, "
            "such as test_columns = { user = 0, item = 1, timestamp = 2 }"
        )


def read_rows(raw: Path, data: RatingsData, name: str, key: str, keys: Keys, log: Log | None = None) -> Rows:
    """The rows of a table, whatever else it holds."""
    table = read_table(find(raw, name, data.table, key), key, keys.header, data.separator, data.encoding, log)
    if not len(table):
        raise RequestError(f"{key}: {name} has no rows")
    pairs = _pairs(table, data, name, key, keys)
    for part in ("user", "item"):
        empty = np.flatnonzero(pairs[part].str.strip() == "")
        if len(empty):
            raise RequestError(f"data.{part}: {name} has {len(empty)} rows without {part}, the first is row {empty[0]}")
    slashed = pairs["user"][pairs["user"].str.contains("/", regex=False)]
    if len(slashed):
        raise RequestError(
            f"data.user: {name} has the user {slashed.iloc[0]!r}; ids of rows are <user>/<item>: no / in users"
        )
    return Rows(table, pairs.assign(time=table[keys.timestamp] if keys.timestamp in table.columns else None))


def read_side(raw: Path, side: SideTable, data: RatingsData, key: str, log: Log | None = None) -> pd.DataFrame:
    """A table of users or items as text, indexed by raw id; rows that are equal in every cell once.

    Raises RequestError for ids whose rows differ.
    """
    header = isinstance(side.id, str) or data.keys.header  # one style of tables in a competition
    path = find(raw, side.table, data.table, key)
    table = read_table(path, key, header, side.separator, data.encoding, log)
    if isinstance(side.id, int) and not header:
        _refuse_header(table, [side.id], side.table, key)
    table = each_once(table, _column(table, side.id, side.table, f"{key}.id"))
    ids = _column(table, side.id, side.table, f"{key}.id")
    if ids.duplicated().any():
        first = ids[ids.duplicated()].iloc[0]
        lines = lines_of(path, ids.index[ids == first][:2].tolist(), header, side.separator, data.encoding)
        raise RequestError(
            f"{key}: {side.table} has more than one row of id {first!r}, and they differ: lines "
            f"{' and '.join(map(str, lines))}"
        )
    for column in [side.title, *(side.features or [])]:
        if column is not None:
            _column(table, column, side.table, key)
    return table.set_index(ids)


def ids_of(users: Iterable[str], items: Iterable[str]) -> np.ndarray:
    """The id of each row: <user>/<item>."""
    return np.array([f"{user}/{item}" for user, item in zip(users, items, strict=True)], dtype=object)


def numbered(ids: np.ndarray) -> np.ndarray:
    """The ids of rows asked for: of a pair that comes again the second row is <user>/<item>/2."""
    count = pd.Series(ids).groupby(ids).cumcount().to_numpy()
    if not count.any():
        return ids
    return np.array([f"{id}/{n + 1}" if n else id for id, n in zip(ids, count, strict=True)], dtype=object)


def find(raw: Path, name: str, table: str, key: str) -> Path:
    """A file below the raw folder, or beside the table of ratings. Raises RequestError if it is in neither."""
    places = places_of(raw, name, table)
    for place in places:
        if place.is_file():
            return place
    folder = next((place.parent for place in reversed(places) if place.parent.is_dir()), raw)
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    near = difflib.get_close_matches(Path(name).name, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"{folder} holds {', '.join(names[:6]) or 'nothing'}"
    raise RequestError(f"{key}: no file {name!r} in {raw}; {hint}")


def places_of(raw: Path, name: str, table: str) -> list[Path]:
    """Where a file may be: below the raw folder, or beside the table of ratings."""
    return [raw / name, (raw / table).parent / name]


def digest_of(raw: Path, name: str, table: str) -> str | None:
    """SHA-256 of such a file; None while there is none."""
    return next(filter(None, map(digest, places_of(raw, name, table))), None)


def _pairs(table: pd.DataFrame, data: RatingsData, name: str, key: str, keys: Keys) -> pd.DataFrame:
    """User and item, from a column each, or where those are not there from the one that holds both."""
    apart_there = {keys.user, keys.item} <= set(table.columns)
    if data.pair is not None and keys.pair is not None and not (apart_there and keys.header):
        return apart(_column(table, keys.pair, name, "data.pair"), data.pair.pattern, name)
    if isinstance(keys.user, int) and isinstance(keys.item, int):
        _refuse_header(table, [keys.user, keys.item], name, key)
    found = {part: _column(table, column, name, f"data.{part}") for part, column in keys.columns.items()}
    return pd.DataFrame(found)


def _refuse_header(table: pd.DataFrame, columns: Sequence[int], name: str, key: str) -> None:
    """Raise RequestError where columns are numbered and yet the first row is one of names: words above numbers."""
    if len(table) < 2 or max(columns) >= table.shape[1]:
        return
    numbers = table[list(columns)].apply(pd.to_numeric, errors="coerce").notna()
    if not numbers.iloc[0].any() and numbers.iloc[1:].all(axis=None):
        raise RequestError(
            f"{key}: the first row of {name} is a header ({', '.join(table.iloc[0])}); then columns are "
            f"called by their names: user = {table.iloc[0, columns[0]]!r}"
        )


def _column(table: pd.DataFrame, column: Column, where: str, key: str) -> pd.Series:
    if isinstance(column, int):
        if column >= table.shape[1]:
            hint = "; data.separator says what stands between them" if table.shape[1] == 1 else ""
            raise RequestError(
                f"{key}: {where} has {table.shape[1]} columns, numbered from 0; there is no {column}{hint}"
            )
        return table.iloc[:, column]
    need_column(table, column, where, key, otherwise=_no_header(table.columns))
    return table[column]


def _no_header(names: Iterable[object]) -> str:
    """A hint where what should be names of columns looks like the first row."""
    numbers = pd.to_numeric(pd.Series(list(names), dtype=str), errors="coerce").notna()
    return "; where a table has no header, columns are numbers: user = 0, item = 1, ..." if numbers.any() else ""


def _numbers(said: pd.Series, where: str, what: str) -> np.ndarray:
    values = pd.to_numeric(said, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        shown = ", ".join(f"{said.iloc[row]!r} in row {row}" for row in bad[:3])
        raise RequestError(
            f"{where}: {len(bad)} of {len(said)} rows have no {what} that is a number: {shown}; "
            "correct them or take the rows out"
        )
    return values
