"""max: the image that says it loudest decides; for findings that show on some of the images only."""

import numpy as np

from pipeline.combinations import Combination


def of_each(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The largest of each tag, or number."""
    return np.maximum.reduceat(values, starts)


def of_class(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The largest of each class, by their sum, so that they are probabilities again."""
    largest = of_each(values, starts)
    return largest / largest.sum(axis=1, keepdims=True)


def of_binary(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The largest of the second class; the first has the rest."""
    second = np.maximum.reduceat(values[:, 1], starts)
    return np.column_stack([1 - second, second])


ENTRY = Combination({"category": of_class, "binary": of_binary, "multilabel": of_each, "regression": of_each})
