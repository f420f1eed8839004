"""weighted_f1: the mean of the classes' F1 scores, each weighted by its rows."""

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.overlap import Fitted, averaged, by_counts, f_score


def weighted_f1(truth: np.ndarray, preds: np.ndarray, options: Fitted) -> float:
    return averaged(truth, preds, f_score(1), "weighted")


ENTRY = Metric(
    ONE_OF | TAGS,
    True,
    False,
    weighted_f1,
    options=Fitted,
    decision=by_counts(lambda _: f_score(1), lambda _: "weighted"),
)
