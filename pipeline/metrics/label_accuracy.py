"""label_accuracy: the share of tags, there or not, that are right."""

import numpy as np

from pipeline.metrics import TAGS, Metric


def label_accuracy(truth: np.ndarray, preds: np.ndarray) -> float:
    return float(((preds > 0.5) == (truth > 0.5)).mean())


ENTRY = Metric(TAGS, True, False, label_accuracy)
