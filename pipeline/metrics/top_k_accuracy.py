"""top_k_accuracy: the share of rows whose true class is among the k most probable (`{ name = ..., k = 5 }`)."""

import numpy as np

from pipeline.metrics import ONE_OF, Metric
from pipeline.metrics.ranked import First, places


def top_k_accuracy(truth: np.ndarray, preds: np.ndarray, options: First) -> float:
    return float((places(truth, preds) < options.k).mean())


ENTRY = Metric(ONE_OF, True, False, top_k_accuracy, options=First, ranked=True)
