"""rmse: the root of the mean squared error."""

import numpy as np

from pipeline.metrics import NUMBER, Metric


def rmse(truth: np.ndarray, preds: np.ndarray) -> float:
    return float(np.sqrt(np.mean((truth - preds) ** 2.0)))


ENTRY = Metric(NUMBER, False, False, rmse)
