"""Grades in an order, as a regression learns them: their places 0, 1, 2, ... are the numbers."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import RequestError
from pipeline.targets import TargetSpec
from pipeline.targets.classes import refuse_empty, refuse_unlisted, some
from pipeline.targets.numbers import Numbers

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


class Grades(Numbers):
    """The manifest, submissions and solutions hold the grades' names; predictions and truth are numbers."""

    written = "grades"

    def __init__(self, order: Sequence[str]) -> None:
        self.order = tuple(order)
        self.places = {name: place for place, name in enumerate(order)}

    def parse_labels(self, target: str, labels: "pd.Series", ids: "pd.Series") -> "pd.Series":
        refuse_empty(target, labels, ids)
        refuse_unlisted(target, labels.map(lambda label: (label,)), self.order, ids)
        return labels

    def truth_of(self, spec: TargetSpec, labels: Collection[Any]) -> np.ndarray:
        unknown = sorted({str(label) for label in labels} - set(self.order))
        if unknown:
            raise RequestError(f"{some(unknown)}: no grade of {spec.name!r}, which has {', '.join(self.order[:12])}")
        return self._numbers(labels)

    def strata(self, spec: TargetSpec, labels: Collection[Any]) -> np.ndarray:
        """The grades."""
        return self._numbers(labels).astype(np.int64)

    def class_counts(self, spec: TargetSpec, labels: Collection[Any]) -> dict[str, int]:
        counts = Counter(labels)
        return {name: counts[name] for name in self.order}

    def sample_label(self, label: Any) -> float:
        return float(self.places[label])

    def label_scale(self, labels: Collection[Any]) -> tuple[float, float]:
        """Mean and standard deviation of the places."""
        return super().label_scale(self._numbers(labels))

    def options_from(self, labels: Collection[Any]) -> dict[str, str]:
        return super().options_from(self._numbers(labels))

    def show(self, spec: TargetSpec, encoded: "Tensor") -> str:
        return self._names(np.array([float(encoded[0])]))[0]

    def decode(self, spec: TargetSpec, values: np.ndarray) -> np.ndarray:
        """The nearest grade; after a decision by cut points that is the decided one."""
        return self._names(values[:, 0])

    def problem(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        unknown = sorted(set(cells) - set(self.order))
        return f"{unknown[0]!r} is no grade of {spec.name!r}" if unknown else None

    def parse_cells(self, name: str, cells: "pd.Series") -> "pd.Series":
        unknown = cells[~cells.isin(self.order)]
        if len(unknown):
            raise RequestError(f"column {name!r} should hold {some(self.order)}, but a cell does not: {some(unknown)}")
        return cells

    def _numbers(self, labels: Collection[Any]) -> np.ndarray:
        return np.array([self.places[label] for label in labels], dtype=np.float64)

    def _names(self, numbers: np.ndarray) -> np.ndarray:
        places = np.clip(np.rint(numbers.astype(np.float64)), 0, len(self.order) - 1).astype(np.int64)
        return np.asarray(self.order, dtype=object)[places]
