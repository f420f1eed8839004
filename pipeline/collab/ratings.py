"""Reading tables of ratings, users and items, as text."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.collab.config import Column, RatingsData, SideTable
from pipeline.data.tables import each_once, lines_of, need_column, read_table
from pipeline.errors import RequestError
from pipeline.freshness import digest
from pipeline.log import Log


def read_ratings(raw: Path, data: RatingsData, log: Log | None = None) -> pd.DataFrame:
    """All rated rows in the order of the file: user, item (text), rating (float), timestamp (seconds, or 0).

    Raises RequestError, naming the rows, for ids that are empty and ratings that are missing or no numbers.
    """
    table = _pairs(raw, data, data.table, "data.table", log)
    said = _column(table, data.rating, data.table, "data.rating")
    ratings = _numbers(said, f"data.rating: {data.table}", "rating")
    keep = {"user": _column(table, data.user, data.table, ""), "item": _column(table, data.item, data.table, "")}
    return pd.DataFrame({**keep, "rating": ratings, "timestamp": _times(table, data, data.table)})


def read_pairs(raw: Path, data: RatingsData, name: str, key: str, log: Log | None = None) -> pd.DataFrame:
    """The rows of a table without (or regardless of) ratings: user, item, timestamp."""
    table = _pairs(raw, data, name, key, log)
    keep = {"user": _column(table, data.user, name, ""), "item": _column(table, data.item, name, "")}
    return pd.DataFrame({**keep, "timestamp": _times(table, data, name)})


def read_side(raw: Path, side: SideTable, data: RatingsData, key: str, log: Log | None = None) -> pd.DataFrame:
    """A table of users or items as text, indexed by raw id; rows that are equal in every cell once.

    Raises RequestError for ids whose rows differ.
    """
    header = isinstance(side.id, str) or isinstance(data.user, str)  # one style of tables in a competition
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


def _pairs(raw: Path, data: RatingsData, name: str, key: str, log: Log | None = None) -> pd.DataFrame:
    path, header = find(raw, name, data.table, key), isinstance(data.user, str)
    table = read_table(path, key, header, data.separator, data.encoding, log)
    if not len(table):
        raise RequestError(f"{key}: {name} has no rows")
    if isinstance(data.user, int) and isinstance(data.item, int):
        _refuse_header(table, [data.user, data.item], name, key)
    for part, column in (("user", data.user), ("item", data.item)):
        ids = _column(table, column, name, f"data.{part}")
        empty = np.flatnonzero(ids.str.strip() == "")
        if len(empty):
            raise RequestError(f"data.{part}: {name} has {len(empty)} rows without {part}, the first is row {empty[0]}")
        if part == "user" and ids.str.contains("/", regex=False).any():
            bad = ids[ids.str.contains("/", regex=False)].iloc[0]
            raise RequestError(f"data.user: {name} has the user {bad!r}; ids of rows are <user>/<item>: no / in users")
    return table


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


def _times(table: pd.DataFrame, data: RatingsData, name: str) -> np.ndarray:
    """Seconds since 1970; dates are understood too; zeros where the file names no timestamp."""
    if data.timestamp is None:
        return np.zeros(len(table), dtype=np.int64)
    said = _column(table, data.timestamp, name, "data.timestamp")
    numbers = pd.to_numeric(said, errors="coerce")
    if numbers.isna().all():
        dates = pd.to_datetime(said, errors="coerce", utc=True)
        numbers = (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    numbers = numbers.astype(object).where(numbers.notna(), said)
    return _numbers(numbers, f"data.timestamp: {name}", "time").astype(np.int64)
