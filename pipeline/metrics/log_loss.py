"""log_loss: minus the mean logarithm of the true class's probability."""

import numpy as np

from pipeline.metrics import ONE_OF, Metric


def log_loss(truth: np.ndarray, preds: np.ndarray) -> float:
    chosen = preds[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.clip(chosen, 1e-15, 1)).mean())


ENTRY = Metric(ONE_OF, False, True, log_loss)
