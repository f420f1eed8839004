"""How much each training row counts: a column of data.table."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.tables import need_column
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.vision.beside import bad_in_words
from pipeline.vision.data_config import ImageData

WEIGHT = "_weight"  # the manifest's column, which no target can be called


def weights_of(raw: Path, data: ImageData, table: pd.DataFrame, log: Log | None = None) -> dict[str, pd.Series]:
    """The manifest's column of weights by its name, row for row with `table`; empty where the file names none.

    What they are is said in the log.
    Raises RequestError, with lines, for cells that are no numbers from 0 up, and where no row counts.
    """
    if data.weight is None:
        return {}
    need_column(table, data.weight, str(data.table), "data.weight")
    weights = pd.to_numeric(table[data.weight].str.strip(), errors="coerce").astype(float)
    if not _is_weight(weights).all():
        count, said = bad_in_words(raw, data, table, str(data.table), [data.weight], _are_none)
        raise RequestError(
            f"data.weight: {count} cells of column {data.weight!r} of {data.table} are no numbers from 0 up: {said}; "
            "0 is a row that does not count"
        )
    if not weights.any():
        raise RequestError(f"data.weight: column {data.weight!r} of {data.table} is 0 in every row: none counts")
    if log is not None:
        nothing = int((weights == 0).sum())
        said = f"; {nothing:,} are 0, and train nothing" if nothing else ""
        log.say(f"data: training rows weigh {weights.min():g} to {weights.max():g} ({data.weight}){said}")
    return {WEIGHT: weights}


def _is_weight(weights: pd.Series) -> np.ndarray:
    numbers = weights.to_numpy()
    return np.isfinite(numbers) & (numbers >= 0)


def _are_none(cells: pd.DataFrame) -> np.ndarray:
    return ~_is_weight(pd.to_numeric(cells.iloc[:, 0], errors="coerce").astype(float))
