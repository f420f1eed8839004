"""What is fitted to `data.features` alone, by the name that the competition file says behind "table:".

An estimator is fitted by scikit-learn and kept as arrays, from which it predicts: no object is ever unpickled. Its
module is loaded when the file's options are read, scikit-learn when something is fitted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from pipeline.registry import Registry
from pipeline.settings import NoOptions, Section

Arrays: TypeAlias = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Answers:
    """The truth of one target (n, width): one 1 a row, any number of ones, or numbers of mean 0 and deviation 1.

    `weights` (n,) say how much a row counts; None where all count alike.
    """

    sort: Literal["one", "any", "number"]
    values: np.ndarray
    weights: np.ndarray | None = None

    @property
    def width(self) -> int:
        return self.values.shape[1]


@dataclass(frozen=True)
class Estimator:
    """`fit` from inputs (n, d) float64 without gaps, answers, options and a seed to arrays; `predict` from those and
    inputs to (n, width): log-probabilities, log-odds, or the numbers.
    """

    fit: Callable[[np.ndarray, Answers, Any, int], Arrays]
    predict: Callable[[Arrays, np.ndarray], np.ndarray]
    options: type[Section] = NoOptions


ESTIMATORS: Registry[Estimator] = Registry("estimator", __name__, ("linear", "forest", "boosting"))
