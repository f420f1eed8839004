"""micro_f1: the F1 score of all tags of all rows together."""

import numpy as np

from pipeline.metrics import TAGS, Metric


def micro_f1(truth: np.ndarray, preds: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(truth, preds > 0.5, average="micro", zero_division=0))


ENTRY = Metric(TAGS, True, False, micro_f1)
