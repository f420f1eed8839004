"""mae: the mean absolute error."""

import numpy as np

from pipeline.metrics import NUMBER, Metric


def mae(truth: np.ndarray, preds: np.ndarray) -> float:
    return float(np.mean(np.abs(truth - preds)))


ENTRY = Metric(NUMBER, False, False, mae)
