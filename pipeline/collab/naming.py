"""How rows are named outside: by user and item, by a pair in one cell, or by the test table's own ids."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from pipeline.collab.config import RATING, Column, RatingsData
from pipeline.collab.pairs import apart, matches, together
from pipeline.collab.ratings import ids_of, numbered, read_asked
from pipeline.errors import RequestError

PAIR = "pair"  # the first column of `own_ids`: <user>/<item>


def with_pairs(table: pd.DataFrame, data: RatingsData, raw: Path, said: str | None = None) -> pd.DataFrame:
    """A submission, sample or solution with <user>/<item> in its id column, and no other columns of keys.

    `said` is the column of ids where the file names it. As it is where its rows are named in no way that is known.
    """
    found = _by_columns(table, data)
    if found is not None:
        return found
    if not len(table):
        return table
    for way in (_by_pair, _by_own_ids, _by_place):
        found = way(table, data, raw, said)
        if found is not None:
            return found
    return table


def own_sample(data: RatingsData, test: pd.Series, raw: Path) -> pd.DataFrame:
    """A sample for the ids `test`, in the test table's own ids, or in its pairs, where there are such."""
    own = own_ids(data, raw)
    if own is not None and data.id in own:
        ids = own[data.id]
    elif data.pair is not None:
        parts = test.str.split("/", n=1)
        ids = pd.Series(together(parts.str[0], parts.str[1], data.pair.pattern))
    else:
        ids = test
    return pd.DataFrame({data.id: ids.to_numpy(), RATING: ""})


def own_ids(data: RatingsData, raw: Path) -> pd.DataFrame | None:
    """The test table's <user>/<item> as `pair`, and beside it what may be its own ids: data.id, or where there is no
    such column all others with a cell of its own in each row. None without any."""
    if data.test is None:
        return None
    asked, keys = read_asked(raw, data, data.test), data.asked
    table = asked.table
    if data.id in table.columns and table[data.id].duplicated().any():
        raise RequestError(f"data.id: column {data.id!r} of {data.test} repeats ids")
    taken = (
        {keys.user, keys.item, data.rating, keys.timestamp} if keys.header else {keys.user, keys.item, keys.timestamp}
    )
    names = [data.id] if data.id in table.columns else [name for name in table.columns if name not in taken]
    names = [name for name in names if not table[name].duplicated().any()]
    own = table[names]
    own.insert(0, PAIR, numbered(ids_of(asked.pairs["user"], asked.pairs["item"])), allow_duplicates=True)
    return own if names else None


def in_words(data: RatingsData) -> str:
    """How a sample may name rows."""
    pair = "" if data.pair is None else f"{data.pair.pattern!r}, "
    if not data.keys.header:
        return f"ids are {pair}<user>/<item>, or the test table's own"
    return f"ids are {pair}<user>/<item>, or columns {data.user} and {data.item}"


def _by_columns(table: pd.DataFrame, data: RatingsData) -> pd.DataFrame | None:
    for keys in (data.keys, data.asked):
        names = [name for name in (keys.user, keys.item) if name in table.columns]
        if len(names) == 2:
            return _named(table, names, [keys.timestamp, keys.pair, data.id], data)
    return None


def _named(
    table: pd.DataFrame, names: Sequence[Column], others: Sequence[Column | None], data: RatingsData
) -> pd.DataFrame:
    rest = table.drop(columns=[name for name in (*names, *others) if name in table.columns])
    rest.insert(0, data.id, numbered(ids_of(table[names[0]], table[names[1]])))
    return rest


def _asked_columns(table: pd.DataFrame, data: RatingsData, said: str | None) -> Iterator[str]:
    """The columns that may hold ids: the one that is said or called as usual, else all."""
    for name in dict.fromkeys((said, data.keys.pair, data.asked.pair, data.id)):
        if name in table.columns:
            yield str(name)
            return
    yield from map(str, table.columns)


def _by_pair(table: pd.DataFrame, data: RatingsData, raw: Path, said: str | None) -> pd.DataFrame | None:
    if data.pair is None:
        return None
    for name in _asked_columns(table, data, said):
        if matches(table[name], data.pair.pattern).all():
            pairs = apart(table[name], data.pair.pattern, f"the column {name!r}")
            return table.assign(**{name: numbered(ids_of(pairs["user"], pairs["item"]))})
    return None


def _by_own_ids(table: pd.DataFrame, data: RatingsData, raw: Path, said: str | None) -> pd.DataFrame | None:
    own = own_ids(data, raw)
    if own is None:
        return None
    asked = next(([name] for name in (said, data.id) if name in table.columns), table.columns)
    for column, name in itertools.product(own.columns[1:], asked):
        if not table[name].duplicated().any() and table[name].isin(own[column]).all():
            return table.assign(**{str(name): own.set_index(column)[PAIR].loc[table[name]].to_numpy()})
    return None


def _by_place(table: pd.DataFrame, data: RatingsData, raw: Path, said: str | None) -> pd.DataFrame | None:
    """User and item where the test table, which has no header, has them."""
    keys = data.asked
    if data.test is None or not isinstance(keys.user, int) or not isinstance(keys.item, int):
        return None
    if max(keys.user, keys.item) >= table.shape[1]:
        return None
    pairs = read_asked(raw, data, data.test).pairs
    names = [table.columns[keys.user], table.columns[keys.item]]
    if not set(ids_of(table[names[0]], table[names[1]])) <= set(ids_of(pairs["user"], pairs["item"])):
        return None
    return _named(table, names, [], data)
