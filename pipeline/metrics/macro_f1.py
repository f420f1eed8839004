"""macro_f1: the mean of the classes' F1 scores."""

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.overlap import AtHalf, averaged, by_counts, f_score


def macro_f1(truth: np.ndarray, preds: np.ndarray, options: AtHalf) -> float:
    return averaged(truth, preds, f_score(1), "macro")


ENTRY = Metric(
    ONE_OF | TAGS, True, False, macro_f1, options=AtHalf, decision=by_counts(lambda _: f_score(1), lambda _: "macro")
)
