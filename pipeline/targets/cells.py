"""Cells of a submission or a solution, which are text."""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd


def numbers_in(name: str, cells: "pd.Series") -> np.ndarray:
    """The column `name` as numbers (n,). Raises RequestError if some are none."""
    import pandas as pd

    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float)
    bad = ~np.isfinite(numbers)
    if bad.any():
        raise RequestError(f"column {name!r} should hold numbers, but {bad.sum()} cells do not: {cells[bad].iloc[0]!r}")
    return numbers


def looks_probable(cells: "pd.Series") -> bool:
    """Whether all cells are numbers from 0 to 1, and some of them fractions."""
    import pandas as pd

    numbers = pd.to_numeric(cells, errors="coerce")
    return bool(numbers.between(0, 1).all() and (numbers % 1 != 0).any())
