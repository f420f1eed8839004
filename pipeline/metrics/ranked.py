"""Where the truth stands among the classes when they are ordered by probability, for metrics of the first k."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.settings import Section

Count = Annotated[int, Field(ge=1)]


class First(Section, frozen=True):
    """How many of the likeliest classes count."""

    k: Count = 5


class First3(Section, frozen=True):
    """How many of the likeliest classes count."""

    k: Count = 3


def places(truth: np.ndarray, preds: np.ndarray) -> np.ndarray:
    """The place (n,) of each row's true class, from 0; of equal probabilities the first class comes first, as in a
    submission."""
    own = preds[np.arange(len(truth)), truth][:, None]
    before = (preds > own) | ((preds == own) & (np.arange(preds.shape[1]) < truth[:, None]))
    return before.sum(axis=1)


def best(preds: np.ndarray, k: int) -> np.ndarray:
    """The codes (n, up to k) of the likeliest classes, best first."""
    return np.argsort(-preds, axis=1, kind="stable")[:, :k]
