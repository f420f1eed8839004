"""accuracy: the share of rows whose most probable class is the true one."""

import numpy as np

from pipeline.metrics import ONE_OF, Metric


def accuracy(truth: np.ndarray, preds: np.ndarray) -> float:
    return float((preds.argmax(axis=1) == truth).mean())


ENTRY = Metric(ONE_OF, True, False, accuracy)
