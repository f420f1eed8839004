"""samples_f1: the mean over rows of the F1 score of their tags (Kaggle's mean F1 score)."""

import numpy as np

from pipeline.metrics import TAGS, Metric
from pipeline.metrics.overlap import Fitted, averaged, by_counts, f_score


def samples_f1(truth: np.ndarray, preds: np.ndarray, options: Fitted) -> float:
    return averaged(truth, preds, f_score(1), "samples")


ENTRY = Metric(
    TAGS, True, False, samples_f1, options=Fitted, decision=by_counts(lambda _: f_score(1), lambda _: "samples")
)
