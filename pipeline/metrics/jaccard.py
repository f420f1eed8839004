"""jaccard: intersection over union of decided and true labels, averaged as f1."""

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.decisions import by_threshold
from pipeline.metrics.overlap import Averaged, averaged, jaccard_index, no_second_class


def jaccard(truth: np.ndarray, preds: np.ndarray, options: Averaged) -> float:
    return averaged(truth, preds, jaccard_index, options.average)


ENTRY = Metric(ONE_OF | TAGS, True, False, jaccard, options=Averaged, decision=by_threshold, problem=no_second_class)
