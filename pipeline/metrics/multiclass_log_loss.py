"""multiclass_log_loss: log_loss of probabilities that are made to sum to 1 in each row first, as Kaggle does."""

import numpy as np

from pipeline.metrics import ONE_OF, Metric
from pipeline.metrics.log_loss import log_loss


def multiclass_log_loss(truth: np.ndarray, preds: np.ndarray) -> float:
    return log_loss(truth, rescaled(preds))


def rescaled(preds: np.ndarray) -> np.ndarray:
    """Rows that sum to 1; a row of nothing but 0 stays so."""
    sums = preds.sum(axis=1, keepdims=True, dtype=np.float64)
    return np.divide(preds, sums, out=np.zeros(preds.shape), where=sums > 0)


ENTRY = Metric(ONE_OF, False, True, multiclass_log_loss)
