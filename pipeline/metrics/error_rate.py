"""error_rate: the share of rows whose most probable class is another than the true one."""

import numpy as np

from pipeline.metrics import ONE_OF, Metric
from pipeline.metrics.accuracy import accuracy


def error_rate(truth: np.ndarray, preds: np.ndarray) -> float:
    return 1 - accuracy(truth, preds)


ENTRY = Metric(ONE_OF, False, False, error_rate)
