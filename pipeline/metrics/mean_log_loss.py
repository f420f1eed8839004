"""mean_log_loss: the mean over the tags of minus the mean log-likelihood of each."""

import numpy as np

from pipeline.metrics import TAGS, Metric


def mean_log_loss(truth: np.ndarray, preds: np.ndarray) -> float:
    p = np.clip(preds.astype(np.float64), 1e-15, 1 - 1e-15)
    return float(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean())


ENTRY = Metric(TAGS, False, True, mean_log_loss)
