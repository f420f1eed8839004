"""mae: the mean absolute error."""

import numpy as np

from pipeline.metrics import NUMBER, Metric


def mae(truth: np.ndarray, preds: np.ndarray, weights: np.ndarray | None = None) -> float:
    return float(np.average(np.abs(truth - preds), weights=weights))


ENTRY = Metric(NUMBER, False, False, mae, weighs_rows=True)
