"""The metrics that a leaderboard may score, each on one target's predictions.

For a category or binary target `truth` is int codes (n,) and `preds` probabilities (n, classes); for a multilabel
target both are (n, classes); for a regression target both are (n,). `leaderboard` says which of them the competition
file asks for, with which options; `decisions` how predictions become labels before they are scored.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.registry import Registry
from pipeline.settings import NoOptions, Section
from pipeline.targets import KINDS, TargetSpec, label_kinds

if TYPE_CHECKING:
    from pipeline.metrics.decisions import Decision

ONE_OF = frozenset({"category", "binary"})
TAGS = frozenset({"multilabel"})
NUMBER = frozenset({"regression"})


def no_decision(options: Any, kinds: tuple[str, ...]) -> "Decision | None":
    """The largest probability decides, one half for tags, numbers are sent as they are."""
    return None


def no_problem(options: Any, spec: TargetSpec, truth: np.ndarray) -> str | None:
    """Any target of the right kind will do."""
    return None


@dataclass(frozen=True)
class Metric:
    """A number for predictions against truth, and which way it gets better.

    `compute` takes truth and predictions; where there are `options`, those (a caller may leave out what are defaults);
    where it `takes_classes`, the names of the classes after them; where it `weighs_rows`, a weight each as `weights`.
    It raises ValueError, or gives NaN, where the rows have no value. `decision` tells from the options and the kinds
    of target (its own first) how predictions are decided before. `problem` says of options, a target and its truth in
    train why there will be no value, before anything is trained.
    """

    kinds: frozenset[str]
    higher_is_better: bool
    needs_probabilities: bool
    compute: Callable[..., float]
    sorts_each_class: bool = False  # its time grows with the classes: with many it is not computed every epoch
    options: type[Section] = NoOptions
    takes_classes: bool = False
    weighs_rows: bool = False
    ranked: bool = False  # it scores the first k classes of a row, k an option: a submission lists them
    decision: Callable[[Any, tuple[str, ...]], "Decision | None"] = no_decision
    problem: Callable[[Any, TargetSpec, np.ndarray], str | None] = no_problem

    def __post_init__(self) -> None:
        if self.options is not NoOptions:
            object.__setattr__(self, "compute", _with_defaults(self.compute, self.options))

    def scores(self, kind: str) -> bool:
        """Whether it has a meaning for targets of this kind."""
        return not self.kinds.isdisjoint(label_kinds(kind))

    def gain(self, truth: np.ndarray, preds: np.ndarray) -> float:
        """The metric turned so that more is better, for choosing weights."""
        value = self.compute(truth, preds)
        return value if self.higher_is_better else -value


def _with_defaults(compute: Callable[..., float], options: type[Section]) -> Callable[..., float]:
    """The same, with the options' defaults where none are given."""

    def wrapped(truth: np.ndarray, preds: np.ndarray, given: Section | None = None, *rest: Any) -> float:
        return compute(truth, preds, options() if given is None else given, *rest)

    return wrapped


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
        "top_k_accuracy",
        "top3_accuracy",
        "top5_accuracy",
        "map_at_k",
        "map3",
        "map5",
        "f1",
        "f2",
        "fbeta",
        "weighted_f1",
        "samples_f1",
        "jaccard",
        "mcc",
        "probabilistic_f1",
        "multiclass_log_loss",
        "weighted_log_loss",
        "average_precision",
        "partial_auc",
        "weighted_auc",
        "mcrmse",
        "rmsle",
        "r2",
        "spearman",
        "pearson",
        "pinball",
    ),
)


def reported(kind: str, leaderboard: str | None) -> list[str]:
    """The metrics shown for a target of this kind: the leaderboard's if it fits, then the standard ones."""
    standard = KINDS[kind].standard_metrics
    fits = leaderboard is not None and (METRICS[leaderboard].scores(kind) or leaderboard in standard)
    first = [leaderboard] if leaderboard is not None and fits else []
    return [*first, *(name for name in standard if name not in first)]


def or_none(compute: Callable[[], float]) -> float | None:
    """A metric of rows that may have none: AUC of a single class, a plug-in's own. None for NaN and where it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = float(compute())
        except (ValueError, ArithmeticError):
            return None
    return None if math.isnan(value) else value
