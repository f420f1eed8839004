"""average_precision: the area under the precision-recall curve as steps, sum of (R_n - R_n-1) P_n.

Of the second class for two, else the mean over classes; with `average = "micro"` of all cells together.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.onehot import OneClass, mean_over_classes, unknown_one


class Options(OneClass, frozen=True):
    """The mean over classes, or one curve of all cells."""

    average: Literal["macro", "micro"] = "macro"


def average_precision(truth: np.ndarray, preds: np.ndarray, options: Options, classes: Sequence[str] = ()) -> float:
    from sklearn.metrics import average_precision_score

    if options.average == "macro":
        return mean_over_classes(
            truth, preds, lambda own, scores: float(average_precision_score(own, scores)), options, classes
        )
    cells = truth > 0.5 if truth.ndim == 2 else truth[:, None] == np.arange(preds.shape[1])
    return float(average_precision_score(cells.ravel(), preds.ravel())) if cells.any() else float("nan")


ENTRY = Metric(
    ONE_OF | TAGS,
    True,
    True,
    average_precision,
    sorts_each_class=True,
    options=Options,
    takes_classes=True,
    problem=unknown_one,
)
