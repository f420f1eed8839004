"""How much each training row counts: a column of data.table."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.tables import lines_of, need_column, read_table
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.vision.config import ImageData

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
        raise RequestError(_bad_cells(raw, data))
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


def _bad_cells(raw: Path, data: ImageData) -> str:
    """In words, which cells of the table, as it is in the file, are no weights."""
    cells = read_table(raw / str(data.table), "data.table", separator=data.separator)[str(data.weight)].str.strip()
    bad = np.flatnonzero(~_is_weight(pd.to_numeric(cells, errors="coerce").astype(float)))
    lines = lines_of(raw / str(data.table), bad[:3].tolist(), separator=data.separator)
    shown = ", ".join(f"{cells.iloc[row] or 'blank'} in line {line}" for row, line in zip(bad, lines, strict=False))
    return (
        f"data.weight: {len(bad)} cells of column {data.weight!r} of {data.table} are no numbers from 0 up: {shown}"
        f"{', ...' if len(bad) > len(lines) else ''}; 0 is a row that does not count"
    )
