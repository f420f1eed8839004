"""Columns beside the label (weights, boxes, cases): found for test rows too, and what to say of cells that are none."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.tables import lines_of
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.targets.classes import some
from pipeline.vision.data_config import ImageData
from pipeline.vision.joined import with_tables
from pipeline.vision.tables import TEST, has_names, read_one


def stripped(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of a table, without blanks around their cells."""
    return table[list(columns)].apply(lambda column: column.str.strip())


def bad_in_words(
    raw: Path,
    data: ImageData,
    table: pd.DataFrame,
    name: str,
    columns: Sequence[str],
    is_bad: Callable[[pd.DataFrame], np.ndarray],
) -> tuple[int, str]:
    """How many rows of a table hold cells that are not what they should be, and the first of them with their lines.

    Where the columns are joined to it, with their ids. `is_bad` says which (rows,) of stripped cells.
    """
    key = TEST if name == data.test_table else "data.table"
    own = read_one(raw, data, name, key)
    inside = set(columns) <= set(own.columns)
    cells = stripped(own if inside else table, columns)
    bad = np.flatnonzero(is_bad(cells))
    first = bad[:3].tolist()
    if inside:
        header = not has_names(data, name, key)
        places = [f"in line {line}" for line in lines_of(raw / name, first, header, data.separator, data.encoding)]
    else:
        places = [f"of {id}" for id in table[data.id].iloc[first]]
    shown = [", ".join(cell or "blank" for cell in cells.iloc[row]) for row in first]
    shown = [f"({cell})" if len(columns) > 1 else cell for cell in shown]
    said = ", ".join(f"{cell} {place}" for cell, place in zip(shown, places, strict=True))
    return len(bad), said + (", ..." if len(bad) > len(first) else "")


def for_test(
    raw: Path, data: ImageData, table: pd.DataFrame, name: str | None, columns: Sequence[str], key: str, log: Log | None
) -> tuple[pd.DataFrame, str]:
    """A table with these columns, and its name, row for row with test images that a table names, or a folder (None).

    The table itself, with data.tables beside it, or else the rows of data.table that have their ids. Raises
    RequestError where they are in none.
    """
    where = name or f"folder {data.test!r}"
    if not set(columns) <= set(table.columns):
        table = with_tables(raw, data, table, where, log, columns)
    if set(columns) <= set(table.columns):
        return table, where
    main = str(data.table)
    known = with_tables(raw, data, read_one(raw, data, main, "data.table"), main, None)
    by_id = known.drop_duplicates(data.id).set_index(data.id, drop=False)
    missing = table[data.id][~table[data.id].isin(by_id.index)]
    if len(missing):
        raise RequestError(
            f"{key}: test images need {', '.join(map(repr, columns))} too; {where} does not have that, nor has {main} "
            f"a row for {some(missing)}; data.test_table names the table that has it"
        )
    return by_id.loc[table[data.id]].reset_index(drop=True), main
