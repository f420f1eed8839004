"""micro_f1: the F1 score of all tags of all rows together."""

import numpy as np

from pipeline.metrics import TAGS, Metric


def micro_f1(truth: np.ndarray, preds: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    # 0 is documented; without stubs the checker knows the default, a word, alone.
    return float(f1_score(truth, preds > 0.5, average="micro", zero_division=0))  # pyright: ignore[reportArgumentType]


ENTRY = Metric(TAGS, True, False, micro_f1)
