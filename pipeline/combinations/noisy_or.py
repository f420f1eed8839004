"""noisy_or: that at least one image shows it, as if they were independent: 1 - (1 - p1) (1 - p2) ... (Pearl 1988)."""

import numpy as np

from pipeline.combinations import Combination

SURE = 1 - 1e-12  # beyond it the logarithm of the rest is lost


def of_tags(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """For a yes or no of each class."""
    return -np.expm1(np.add.reduceat(np.log1p(-np.clip(values, 0, SURE)), starts))


def of_binary(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """For the second class; the first has the rest."""
    second = of_tags(values[:, 1:], starts)
    return np.column_stack([1 - second, second])


ENTRY = Combination({"binary": of_binary, "multilabel": of_tags})
