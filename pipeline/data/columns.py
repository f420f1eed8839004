"""A column of a table by id: what folds are made of beside labels."""

import numpy as np
import pandas as pd

from pipeline.data.tables import need_column
from pipeline.errors import RequestError
from pipeline.targets.classes import some


def column_of(
    cells: pd.DataFrame, table: str, id_column: str, column: str, ids: pd.Series, key: str, also: str = ""
) -> np.ndarray:
    """Cells (ids,) of `column` as text without blanks around, in the order of `ids`, by the `id_column` of `cells`.

    `table` is where they are from, `key` the setting that names the column, `also` what else it may say. Raises
    RequestError where there is no such column or a row is missing, or where two rows of one id differ.
    """
    need_column(cells, id_column, table, "data.id")
    need_column(cells, column, table, key, f" ({also})" if also else "")
    known = pd.DataFrame({"id": cells[id_column], "cell": cells[column].str.strip()}).drop_duplicates()
    unclear = known["id"][known["id"].duplicated()].unique()
    if len(unclear):
        raise RequestError(
            f"{key}: {table} says several things of {len(unclear)} ids in column {column!r}: {some(unclear)}"
        )
    known = known.set_index("id")["cell"]
    missing = ids[~ids.isin(known.index)]
    if len(missing):
        raise RequestError(
            f"{key}: {table} has no row for {len(missing)} of {len(ids)} training ids: {some(missing)}; "
            f"its column {id_column!r} holds {some(known.index[:3])}"
        )
    return known.loc[ids].to_numpy(dtype=str)
