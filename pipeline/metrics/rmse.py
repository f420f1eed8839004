"""rmse: the root of the mean squared error."""

import numpy as np

from pipeline.metrics import NUMBER, Metric


def rmse(truth: np.ndarray, preds: np.ndarray, weights: np.ndarray | None = None) -> float:
    return float(np.sqrt(np.average((truth - preds) ** 2.0, weights=weights)))


ENTRY = Metric(NUMBER, False, False, rmse, weighs_rows=True)
