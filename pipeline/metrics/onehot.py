"""Classes one by one: what metrics that look at each class against the rest are computed from."""

from collections.abc import Callable

import numpy as np

Curve = Callable[[np.ndarray, np.ndarray], float]


def mean_over_classes(truth: np.ndarray, preds: np.ndarray, of_one: Curve) -> float:
    """Of the second class for two, else the mean of one class against the rest; classes that all or none of the rows
    have are passed over. NaN where no class is left.

    `of_one` takes 0/1 (n,) and probabilities (n,).
    """
    if truth.ndim == 1 and preds.shape[1] == 2:
        columns = [((truth == 1).astype(float), preds[:, 1])]
    else:
        classes = range(preds.shape[1])
        columns = [((truth == c if truth.ndim == 1 else truth[:, c] > 0.5).astype(float), preds[:, c]) for c in classes]
    values = [of_one(own, scores) for own, scores in columns if 0 < own.sum() < len(own)]
    return float(np.mean(values)) if values else float("nan")
