"""decision: the class, the tags or the number that the predictions amount to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import RequestError
from pipeline.forms import Column, Form
from pipeline.targets import TargetSpec
from pipeline.targets.cells import looks_probable
from pipeline.targets.classes import some

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

    def doubt(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        if spec.vocab and looks_probable(cells) and not set(cells) <= set(spec.vocab):
            return f"look like probabilities, and classes would be written ({some(spec.vocab)})"
        try:
            problem = spec.target_kind.problem(spec, cells) if spec.vocab else None
            spec.target_kind.parse_cells("", cells)
        except RequestError:
            written = spec.target_kind.written
            return f"are no {written}, and {written} would be written"
        return None if problem is None else f"are not what would be written: {problem}, which has {some(spec.vocab)}"

    def read(self, spec: TargetSpec, columns: Sequence[Column], table: "pd.DataFrame") -> np.ndarray:
        kind, name = spec.target_kind, columns[0].name
        return kind.certain(spec, kind.truth_of(spec, kind.parse_cells(name, table[name])))


ENTRY = Decision()
