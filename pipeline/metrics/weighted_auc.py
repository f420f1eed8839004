"""weighted_auc: the area under the ROC curve with a weight for each band of true positive rates, divided by its most.

By default that of Kaggle's ALASKA2: rates up to 0.4 weigh twice. Between ties the curve is straight; without ties it is
the published code's number.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.onehot import OneClass, mean_over_classes, unknown_one

Rate = Annotated[float, Field(ge=0, le=1)]


class Options(OneClass, frozen=True):
    """The bands' borders, from 0 to 1, and each band's weight."""

    tpr: list[Rate] = Field(default=[0.0, 0.4, 1.0])
    weights: list[Annotated[float, Field(ge=0)]] = Field(default=[2.0, 1.0])

    @model_validator(mode="after")
    def _bands(self) -> "Options":
        rising = all(low < high for low, high in pairwise(self.tpr))
        if len(self.tpr) != len(self.weights) + 1 or not rising or not sum(self.weights):
            raise ValueError("borders that rise, and one weight fewer than borders, not all 0")
        return self


def weighted_auc(truth: np.ndarray, preds: np.ndarray, options: Options, classes: Sequence[str] = ()) -> float:
    from sklearn.metrics import roc_curve

    borders, weights = np.array(options.tpr), np.array(options.weights)
    most = float(np.diff(borders) @ weights)

    def of_one(own: np.ndarray, scores: np.ndarray) -> float:
        fpr, tpr, _ = roc_curve(own, scores)
        areas = [area_within(fpr, tpr, *band) for band in pairwise(borders)]
        return float(np.dot(areas, weights)) / most

    return mean_over_classes(truth, preds, of_one, options, classes)


def area_within(x: np.ndarray, y: np.ndarray, low: float, high: float) -> float:
    """The area below a rising curve of straight lines, of what lies between two heights."""
    rises = np.diff(y) > 0
    crossings = [x[:-1][rises] + np.diff(x)[rises] * (at - y[:-1][rises]) / np.diff(y)[rises] for at in (low, high)]
    crossed = [(y[:-1][rises] < at) & (at < y[1:][rises]) for at in (low, high)]
    extra_x = np.concatenate([where[hit] for where, hit in zip(crossings, crossed, strict=True)])
    extra_y = np.concatenate([np.full(hit.sum(), at) for at, hit in zip((low, high), crossed, strict=True)])
    all_x, all_y = np.concatenate([x, extra_x]), np.concatenate([y, extra_y])
    order = np.lexsort((all_y, all_x))  # both rise along the curve
    return float(np.trapezoid(np.clip(all_y[order], low, high) - low, all_x[order]))


ENTRY = Metric(
    ONE_OF | TAGS,
    True,
    True,
    weighted_auc,
    sorts_each_class=True,
    options=Options,
    takes_classes=True,
    problem=unknown_one,
)
