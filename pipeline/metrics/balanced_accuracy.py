"""balanced_accuracy: the mean of the classes' recalls."""

import numpy as np

from pipeline.metrics import ONE_OF, Metric


def balanced_accuracy(truth: np.ndarray, preds: np.ndarray) -> float:
    decided = preds.argmax(axis=1)
    return float(np.mean([(decided[truth == code] == code).mean() for code in np.unique(truth)]))


ENTRY = Metric(ONE_OF, True, False, balanced_accuracy)
