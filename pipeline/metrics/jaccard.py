"""jaccard: intersection over union of decided and true labels, averaged as f1."""

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.overlap import Averaged, as_said, averaged, by_counts, jaccard_index, no_second_class


def jaccard(truth: np.ndarray, preds: np.ndarray, options: Averaged) -> float:
    return averaged(truth, preds, jaccard_index, options.average)


ENTRY = Metric(
    ONE_OF | TAGS,
    True,
    False,
    jaccard,
    options=Averaged,
    decision=by_counts(lambda _: jaccard_index, as_said),
    problem=no_second_class,
)
