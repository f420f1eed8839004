"""micro_f1: the F1 score of all labels of all rows together."""

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.overlap import AtHalf, averaged, by_counts, f_score


def micro_f1(truth: np.ndarray, preds: np.ndarray, options: AtHalf) -> float:
    return averaged(truth, preds, f_score(1), "micro")


ENTRY = Metric(
    ONE_OF | TAGS, True, False, micro_f1, options=AtHalf, decision=by_counts(lambda _: f_score(1), lambda _: "micro")
)
