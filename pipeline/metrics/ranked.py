"""Where the truth stands among the classes when they are ordered by probability, for metrics of the first k."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.settings import Section

NOT_LISTED = -np.inf  # of a class that a submission leaves out of its first k
Count = Annotated[int, Field(ge=1)]


class First(Section, frozen=True):
    """How many of the likeliest classes count."""

    k: Count = 5


class First3(First, frozen=True):
    """The same, three unless it is said."""

    k: Count = 3


def places(truth: np.ndarray, preds: np.ndarray) -> np.ndarray:
    """The place (n,) of each row's true class, from 0; of equal probabilities the first class comes first, as in a
    submission. Behind any k where it is not listed."""
    own = preds[np.arange(len(truth)), truth][:, None]
    before = (preds > own) | ((preds == own) & (np.arange(preds.shape[1]) < truth[:, None]))
    return np.where(own[:, 0] == NOT_LISTED, np.iinfo(np.int32).max, before.sum(axis=1))


def best(preds: np.ndarray, k: int) -> np.ndarray:
    """The codes (n, up to k) of the likeliest classes, best first."""
    return np.argsort(-preds, axis=1, kind="stable")[:, :k]
