"""pearson: the correlation of numbers; no value where one side is constant."""

import numpy as np

from pipeline.metrics import NUMBER, Metric


def pearson(truth: np.ndarray, preds: np.ndarray) -> float:
    if len(truth) < 2 or (truth == truth[0]).all() or (preds == preds[0]).all():
        return float("nan")
    own, other = truth - truth.mean(), preds.astype(np.float64) - preds.mean(dtype=np.float64)
    return float(own @ other / np.sqrt((own @ own) * (other @ other)))


ENTRY = Metric(NUMBER, True, False, pearson)
