"""decision: the class, the tags or the number that the predictions amount to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.forms import Column, Form
from pipeline.targets import TargetSpec

if TYPE_CHECKING:
    import pandas as pd


class Decision(Form):
    """A column a target; as a prediction it counts as certain."""

    of_class = False
    gives_probabilities = False

    def cells(self, spec: TargetSpec, column: Column, values: np.ndarray) -> np.ndarray:
        return spec.target_kind.decode(spec, values)

    def problem(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        return spec.target_kind.problem(spec, cells)

    def read(self, spec: TargetSpec, columns: Sequence[Column], table: "pd.DataFrame") -> np.ndarray:
        kind, name = spec.target_kind, columns[0].name
        return kind.certain(spec, kind.truth_of(spec, kind.parse_cells(name, table[name])))


ENTRY = Decision()
