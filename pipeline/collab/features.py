"""What is known about users and items as numbers: each column of a side table becomes some columns of 0 and 1."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.collab.config import RatingsData, SideTable
from pipeline.collab.ratings import read_side

BINS = 12  # of a column of numbers or dates
MOST_WORDS = 200  # different words of a column; one with more, such as a title or an address, tells nothing
LISTED = "|"  # separates the genres of "Action|Comedy"


def read_features(raw: Path, data: RatingsData, ids: Sequence[str], name: str) -> np.ndarray | None:
    """Features (rows, any) of users or items in the order of `ids`; zeros for one that the table does not name.

    None where the file names no table, or none of its columns tells anything.
    """
    side = getattr(data, name)
    if side is None:
        return None
    table = read_side(raw, side, data, f"data.{name}").reindex(list(ids), fill_value="")
    blocks = [encode(table.iloc[:, number]) for number in _columns(side, table)]
    blocks = [block for block in blocks if block.shape[1]]
    return np.concatenate(blocks, axis=1) if blocks else None


def _columns(side: SideTable, table: pd.DataFrame) -> list[int]:
    names = list(table.columns)
    if side.features is not None:
        return [column if isinstance(column, int) else names.index(column) for column in side.features]
    taken = {column if isinstance(column, int) else names.index(column) for column in (side.id, side.title) if column}
    return [number for number in range(len(names)) if number not in taken | ({0} if side.id == 0 else set())]


def encode(column: pd.Series) -> np.ndarray:
    """A column of text as 0 and 1: a flag as it is, numbers and dates in bins, words and lists of words by word."""
    said = column.str.strip()
    filled = said[said != ""]
    numbers = pd.to_numeric(filled, errors="coerce")
    if not len(filled):
        return np.zeros((len(column), 0))
    if numbers.notna().all() and numbers.nunique() > 2:
        return _binned(numbers, column.index)
    if numbers.isna().all() and filled.str.contains(r"\d").all():
        dates = pd.to_datetime(filled, errors="coerce", format="mixed")
        if dates.notna().all():
            return _binned(dates.dt.year + dates.dt.day_of_year / 366, column.index)
    if set(filled) <= {"0", "1"}:
        return (said == "1").to_numpy(dtype=np.float64)[:, None]
    words = said.str.get_dummies(sep=LISTED).drop(columns="", errors="ignore")
    return words.to_numpy(dtype=np.float64) if words.shape[1] <= MOST_WORDS else np.zeros((len(column), 0))


def _binned(values: pd.Series, index: pd.Index) -> np.ndarray:
    """Bins of about equally many rows; a row without a value is in none."""
    edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    onehot = np.zeros((len(index), len(edges) + 1))
    onehot[index.get_indexer(values.index), np.searchsorted(edges, values.to_numpy(), side="right")] = 1
    return onehot
