"""probability: that of one class, a column for each class that is asked for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import RequestError
from pipeline.forms import Column, Decimals, Form
from pipeline.targets import TargetSpec
from pipeline.targets.cells import numbers_in

if TYPE_CHECKING:
    import pandas as pd


class Probability(Form):
    """A number from 0 to 1; a class without a column has none, unless it follows from the others."""

    of_class = True
    gives_probabilities = True
    options = Decimals

    def cells(self, spec: TargetSpec, column: Column, values: np.ndarray) -> np.ndarray:
        return values[:, column.code(spec)].astype(np.float64)

    def problem(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        outside = ~cells.between(0, 1)
        return f"{int(outside.sum())} values outside of 0 to 1" if outside.any() else None

    def doubt(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        try:
            numbers_in("", cells)
        except RequestError:
            return "are no numbers, and probabilities would be written"
        return None

    def read(self, spec: TargetSpec, columns: Sequence[Column], table: "pd.DataFrame") -> np.ndarray:
        values, codes = np.zeros((len(table), spec.width)), [column.code(spec) for column in columns]
        for code, column in zip(codes, columns, strict=True):
            values[:, code] = numbers_in(column.name, table[column.name])
        return spec.target_kind.complete(values, codes)


ENTRY = Probability()
