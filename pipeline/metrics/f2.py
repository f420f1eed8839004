"""f2: the F2 score, recall counting for more, averaged as f1 (Kaggle: planet, iMet 2019: the mean over rows)."""

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.overlap import Averaged, as_said, averaged, by_counts, f_score, no_second_class


def f2(truth: np.ndarray, preds: np.ndarray, options: Averaged) -> float:
    return averaged(truth, preds, f_score(2), options.average)


ENTRY = Metric(
    ONE_OF | TAGS,
    True,
    False,
    f2,
    options=Averaged,
    decision=by_counts(lambda _: f_score(2), as_said),
    problem=no_second_class,
)
