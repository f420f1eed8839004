"""A column of a table by id: what folds are made of beside labels."""

import difflib
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.tables import read_table
from pipeline.errors import RequestError


def column_of(
    raw: Path, table: str, id_column: str, column: str, ids: pd.Series, key: str, also: str = ""
) -> np.ndarray:
    """Cells (ids,) of `column` as text without blanks around, in the order of `ids`, by the table's `id_column`.

    `key` is the setting that names the column, `also` what else it may say. Raises RequestError where there is no
    such column or a row is missing, or where two rows of one id differ.
    """
    cells = read_table(raw / table, key)
    for name, said in ((id_column, "data.id"), (column, key)):
        if name not in cells.columns:
            near = difflib.get_close_matches(name, list(cells.columns), 1)
            hint = (f" ({also})" if also and said == key else "") + (f"; did you mean {near[0]!r}?" if near else "")
            raise RequestError(f"{said}: {table} has no column {name!r}; it has {', '.join(cells.columns)}{hint}")
    known = pd.DataFrame({"id": cells[id_column], "cell": cells[column].str.strip()}).drop_duplicates()
    unclear = known["id"][known["id"].duplicated()]
    if len(unclear):
        raise RequestError(
            f"{key}: {table} says several things of {unclear.nunique()} ids in column {column!r}: {_some(unclear)}"
        )
    known = known.set_index("id")["cell"]
    missing = ids[~ids.isin(known.index)]
    if len(missing):
        raise RequestError(
            f"{key}: {table} has no row for {len(missing)} of {len(ids)} training ids: {_some(missing)}; "
            f"its column {id_column!r} holds {_some(known.index[:3])}"
        )
    return known.loc[ids].to_numpy(dtype=str)


def _some(values: pd.Series | pd.Index) -> str:
    shown = list(dict.fromkeys(values))
    return ", ".join(map(str, shown[:3])) + (", ..." if len(shown) > 3 else "")
