"""rmsle: the root of the mean squared difference of log(1 + x); what is predicted below 0 is sent as 0."""

import numpy as np

from pipeline.metrics import NUMBER, Metric
from pipeline.metrics.decisions import Decision, Floor
from pipeline.settings import Section
from pipeline.targets import TargetSpec


def rmsle(truth: np.ndarray, preds: np.ndarray) -> float:
    return float(np.sqrt(np.mean((np.log1p(truth) - np.log1p(np.maximum(preds, 0).astype(np.float64))) ** 2)))


def _from_zero(options: Section, kinds: tuple[str, ...]) -> Decision:
    return Floor()


def _below_zero(options: Section, spec: TargetSpec, truth: np.ndarray) -> str | None:
    below = truth[truth < 0]
    return f"{len(below)} labels are below 0, such as {below[0]:g}: it is of numbers from 0" if len(below) else None


ENTRY = Metric(NUMBER, False, False, rmsle, decision=_from_zero, problem=_below_zero)
