"""The metrics that a leaderboard may score, each on one target's predictions.

For a category or binary target `truth` is int codes (n,) and `preds` probabilities (n, classes); for a
multilabel target both are (n, classes); for a regression target both are (n,). scikit-learn computes them.
"""

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
    """The metrics shown for a target of this kind: the standard ones, then the leaderboard's if it fits."""
    names = list(KINDS[kind].standard_metrics)
    if leaderboard not in names and METRICS[leaderboard].scores(kind):
        names.append(leaderboard)
    return names
