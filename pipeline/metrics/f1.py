"""f1: the F1 score of decided labels: the mean over rows with tags, of two classes the second's, else the mean."""

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.overlap import Averaged, as_said, averaged, by_counts, f_score, no_second_class


def f1(truth: np.ndarray, preds: np.ndarray, options: Averaged) -> float:
    return averaged(truth, preds, f_score(1), options.average)


ENTRY = Metric(
    ONE_OF | TAGS,
    True,
    False,
    f1,
    options=Averaged,
    decision=by_counts(lambda _: f_score(1), as_said),
    problem=no_second_class,
)
