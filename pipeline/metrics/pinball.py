"""pinball: the loss of a quantile (`quantile = 0.5`): q * (truth - pred), or (q - 1) times it where it is below 0."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.metrics import NUMBER, Metric
from pipeline.settings import Section


class Options(Section, frozen=True):
    """The quantile that is predicted."""

    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5


def pinball(truth: np.ndarray, preds: np.ndarray, options: Options) -> float:
    missing = truth - preds.astype(np.float64)
    return float(np.mean(np.maximum(options.quantile * missing, (options.quantile - 1) * missing)))


ENTRY = Metric(NUMBER, False, False, pinball, options=Options)
