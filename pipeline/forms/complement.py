"""complement: 1 - the probability of one class, such as that of any change where the class is none (ALASKA2)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.forms import Column
from pipeline.forms.probability import Probability
from pipeline.targets import TargetSpec
from pipeline.targets.cells import numbers_in

if TYPE_CHECKING:
    import pandas as pd


class Complement(Probability):
    """A number from 0 to 1: how sure it is that a row is not of the class."""

    turned = True

    def cells(self, spec: TargetSpec, column: Column, values: np.ndarray) -> np.ndarray:
        return np.clip(1 - super().cells(spec, column, values), 0, 1)

    def read(self, spec: TargetSpec, columns: Sequence[Column], table: "pd.DataFrame") -> np.ndarray:
        turned = {column.name: 1 - numbers_in(column.name, table[column.name]) for column in columns}
        return super().read(spec, columns, table.assign(**turned))

    def answers(self, name: str, cells: "pd.Series") -> np.ndarray:
        return 1 - numbers_in(name, cells)


ENTRY = Complement()
