"""spearman: the correlation of ranks, ties sharing the mean of theirs; no value where one side is constant."""

import numpy as np

from pipeline.metrics import NUMBER, Metric
from pipeline.metrics.pearson import pearson


def spearman(truth: np.ndarray, preds: np.ndarray) -> float:
    from scipy.stats import rankdata

    return pearson(rankdata(truth), rankdata(preds))


ENTRY = Metric(NUMBER, True, False, spearman)
