"""The metrics that a leaderboard may score, each on one target's predictions.

For a category or binary target `truth` is int codes (n,) and `preds` probabilities (n, classes); for a
multilabel target both are (n, classes); for a regression target both are (n,). scikit-learn computes them.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.registry import Registry
from pipeline.targets import KINDS, label_kinds

ONE_OF = frozenset({"category", "binary"})
TAGS = frozenset({"multilabel"})
NUMBER = frozenset({"regression"})


@dataclass(frozen=True)
class Metric:
    """A number for predictions against truth, and which way it gets better."""

    kinds: frozenset[str]
    higher_is_better: bool
    needs_probabilities: bool
    compute: Callable[[np.ndarray, np.ndarray], float]
    sorts_each_class: bool = False  # its time grows with the classes: with many it is not computed every epoch

    def scores(self, kind: str) -> bool:
        """Whether it has a meaning for targets of this kind."""
        return not self.kinds.isdisjoint(label_kinds(kind))

    def gain(self, truth: np.ndarray, preds: np.ndarray) -> float:
        """The metric turned so that more is better, for choosing weights."""
        value = self.compute(truth, preds)
        return value if self.higher_is_better else -value


METRICS: Registry[Metric] = Registry(
    "metric",
    __name__,
    (
        "accuracy",
        "error_rate",
        "log_loss",
        "macro_f1",
        "balanced_accuracy",
        "quadratic_kappa",
        "auc",
        "micro_f1",
        "label_accuracy",
        "mean_log_loss",
        "rmse",
        "mae",
    ),
)


def reported(kind: str, leaderboard: str) -> list[str]:
    """The metrics shown for a target of this kind: the leaderboard's if it fits, then the standard ones."""
    standard = KINDS[kind].standard_metrics
    first = [leaderboard] if METRICS[leaderboard].scores(kind) or leaderboard in standard else []
    return [*first, *(name for name in standard if name not in first)]


def value_or_none(name: str, truth: np.ndarray, preds: np.ndarray) -> float | None:
    """The metric of a part of the rows, which may have none there: AUC of a single class, a plug-in's of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = float(METRICS[name].compute(truth, preds))
        except (ValueError, ArithmeticError):
            return None
    return None if math.isnan(value) else value
