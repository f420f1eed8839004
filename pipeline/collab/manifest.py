"""The manifest of a rating competition: one row a pair of user and item, with its id, split, time and rating."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.collab.config import RATING, RatingsData
from pipeline.collab.naming import own_ids
from pipeline.collab.oddities import refuse_one_only, refuse_outside, say_oddities
from pipeline.collab.ratings import (
    Rows,
    ids_of,
    numbered,
    ratings_in,
    read_asked,
    read_rated,
    read_rows,
    read_side,
    refuse_moved,
)
from pipeline.collab.times import seconds_of
from pipeline.errors import RequestError
from pipeline.log import Log

NO_TIME = float("nan")  # of a test row whose table has no times, beside training rows that have
FEW = 0.5  # a table of users or items that lacks more than this part is warned of
COLUMNS = ["id", "split", "user", "item", "timestamp", "copies", "contradicts", RATING]


def build_manifest(raw: Path, data: RatingsData, log: Log | None = None) -> pd.DataFrame:
    """Sorted by split and id. Of several ratings of one pair the latest counts; `copies` says how many there were,
    `contradicts` whether they differ. What might not be meant goes to `log`. Raises RequestError for anything that
    cannot be read as ratings.
    """
    table = read_rated(raw, data, log)
    asked = None if data.test is None else read_asked(raw, data, data.test, log)
    if asked is not None:
        refuse_moved(table, asked, data)
    rated = ratings_in(table, data)
    refuse_one_only(rated, data.table)
    times = _times(data, rated, asked, log)
    rated = rated.assign(timestamp=times.get(data.table, 0))
    parts = [_latest(rated.assign(id=ids_of(rated["user"], rated["item"]))).assign(split="train")]
    if asked is not None:
        parts.append(_test(asked.pairs, data, raw).assign(timestamp=times.get(str(data.test), NO_TIME if times else 0)))
    manifest = pd.concat(parts, ignore_index=True)[COLUMNS]
    refuse_outside(manifest[manifest["split"] == "train"], data)
    if log is not None:
        say_oddities(manifest, data, log)
    for part, side in (("item", data.items), ("user", data.users)):
        if side is not None:  # what is wrong there is said now, not after training
            known = read_side(raw, side, data, f"data.{part}s", log)
            _compare(manifest[part], known, side.table, data.table, part, log)
    return manifest.sort_values(["split", "id"], ascending=[False, True], ignore_index=True)


def _compare(rated: pd.Series, table: pd.DataFrame, name: str, ratings: str, part: str, log: Log | None) -> None:
    """Whether a table of users or items is about those of the ratings: ids may be spelled in another way there."""
    ids = pd.Index(rated.unique())
    lacking = ids[~ids.isin(table.index)]
    if len(lacking) == len(ids):
        there = repr(table.index[0]) if len(table) else "nobody"
        raise RequestError(
            f"data.{part}s: {name} has none of the {len(ids)} {part}s of {ratings}, where the first is {ids[0]!r}; "
            f"here the first of {len(table)} is {there}; is data.{part}s.id the right column?"
        )
    if log is not None and len(lacking) > FEW * len(ids):
        other = table.index[~table.index.isin(ids)]
        others = f"it has others, such as {other[0]!r}" if len(other) else "it has no others"
        lacks = f"{name} lacks {len(lacking)} of the {len(ids)} {part}s of {ratings}, such as {lacking[0]!r}"
        log.warn(f"data.{part}s: {lacks}; {others}")


def _latest(rated: pd.DataFrame) -> pd.DataFrame:
    grouped = rated.groupby("id", sort=False)[RATING]
    rated = rated.assign(copies=grouped.transform("size"), contradicts=grouped.transform("nunique") > 1)
    return rated.sort_values("timestamp", kind="stable").drop_duplicates("id", keep="last")


def _times(data: RatingsData, rated: pd.DataFrame, asked: Rows | None, log: Log | None) -> dict[str, np.ndarray]:
    """Seconds (n,) of the tables that have times, by their names."""
    if data.timestamp is None:
        return {}
    said = {data.table: rated["time"]}
    if asked is not None and asked.pairs["time"].notna().all():
        said[str(data.test)] = asked.pairs["time"]
    elif asked is not None and log is not None:
        log.warn(
            f"data.timestamp: {data.test} has no column {data.asked.timestamp or data.timestamp!r}, so times count in "
            "training alone: what is predicted, out of fold too, is predicted without them"
        )
    return seconds_of(said, data.day_first, log)


def _test(pairs: pd.DataFrame, data: RatingsData, raw: Path) -> pd.DataFrame:
    test = pairs.assign(id=ids_of(pairs["user"], pairs["item"]), split="test", copies=1, contradicts=False)
    repeated = test["id"][test["id"].duplicated()]
    if len(repeated) and own_ids(data, raw) is None:
        raise RequestError(
            f"data.test: {data.test} asks {len(repeated)} pairs twice, for example {repeated.iloc[0]}; take them out, "
            "or tell them apart by a column of ids (data.id)"
        )
    test = test.assign(id=numbered(test["id"].to_numpy()))  # which ids of the table's own tell apart
    return test.assign(**{RATING: np.nan})


def published_folds(raw: Path, data: RatingsData, files: str, n: int, ids: pd.Series) -> np.ndarray:
    """The fold of each training id, from one file of held-out rows a fold; they must share all rows out."""
    fold_of = pd.Series(-1, index=ids.to_numpy())
    for fold in range(n):
        name = files.format(k=fold + 1)
        pairs = read_rows(raw, data, name, "folds.files", data.keys).pairs
        held_out = ids_of(pairs["user"], pairs["item"])
        unknown = np.setdiff1d(held_out.astype(str), ids.to_numpy(dtype=str))
        if len(unknown):
            raise RequestError(
                f"folds.files: {len(unknown)} rows of {name} are not in {data.table}, for example {unknown[0]}"
            )
        taken = held_out[fold_of.loc[held_out].to_numpy() >= 0]
        if len(taken):
            raise RequestError(f"folds.files: {len(taken)} rows of {name} are in an earlier fold too: {taken[0]}")
        fold_of.loc[held_out] = fold
    left = fold_of.index[fold_of < 0]
    if len(left):
        raise RequestError(
            f"folds.files: {len(left)} rows of {data.table} are held out in none of the {n} folds, for example "
            f"{left[0]}; is folds.n right?"
        )
    return fold_of.to_numpy()


def random_folds(rows: int, n: int, seed: int) -> np.ndarray:
    """Fold numbers (rows,) of equal shares, at random."""
    if rows < n:
        raise RequestError(f"folds.n = {n}, but there are {rows} ratings")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(rows)
    fold_of = np.empty(rows, dtype=np.int64)
    fold_of[order] = np.arange(rows) % n
    return fold_of
