"""weighted_log_loss: log loss with a weight for each class (`weights = { NAME = 2.0 }`, 1 for those not named).

One class a row, `mean = "classes"`: sum over classes of weight * (mean of -log p over its rows) / sum of the weights,
of classes that the rows have (Kaggle: PLAsTiCC). `mean = "rows"`: each row weighs as its true class (Kaggle: RSNA
lumbar spine). Tags: the weighted mean over tags of each one's log loss (Kaggle: RSNA intracranial hemorrhage).
Probabilities of one class a row are made to sum to 1 first; all are clipped to 1e-15.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.multiclass_log_loss import rescaled
from pipeline.settings import Section
from pipeline.targets import TargetSpec
from pipeline.targets.classes import unknown_class

TINY = 1e-15


class Options(Section, frozen=True):
    """The weights of classes by name, and what the mean is over."""

    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default={})
    mean: Literal["classes", "rows"] = "classes"


def weighted_log_loss(truth: np.ndarray, preds: np.ndarray, options: Options, classes: Sequence[str] = ()) -> float:
    weights = np.ones(preds.shape[1])
    for code, name in enumerate(classes):
        weights[code] = options.weights.get(name, 1.0)
    if truth.ndim == 2:
        p = np.clip(preds.astype(np.float64), TINY, 1 - TINY)
        return _mean(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean(axis=0), weights)
    each = -np.log(np.clip(rescaled(preds)[np.arange(len(truth)), truth], TINY, 1))
    if options.mean == "rows":
        return _mean(each, weights[truth])
    seen = np.unique(truth)
    return _mean(np.array([each[truth == code].mean() for code in seen]), weights[seen])


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    return float(np.average(values, weights=weights)) if weights.sum() > 0 else float("nan")


def _unknown_class(options: Options, spec: TargetSpec, truth: np.ndarray) -> str | None:
    problem = unknown_class(spec, options.weights)
    return f"weights: {problem}; it has {', '.join(spec.vocab[:12])}" if problem else None


ENTRY = Metric(
    ONE_OF | TAGS, False, True, weighted_log_loss, options=Options, takes_classes=True, problem=_unknown_class
)
