"""Classes one by one: what metrics that look at each class against the rest are computed from."""

from collections.abc import Callable, Sequence

import numpy as np
from pydantic import model_validator

from pipeline.settings import Section
from pipeline.targets import TargetSpec
from pipeline.targets.classes import unknown_class

Curve = Callable[[np.ndarray, np.ndarray], float]


class OneClass(Section, frozen=True):
    """Which class alone is looked at: its own probability (`of`), or that of any other one (`against`)."""

    of: str | None = None
    against: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "OneClass":
        if self.of is not None and self.against is not None:
            raise ValueError("one of both: the class itself, or that which all others stand against")
        return self


def unknown_one(options: OneClass, spec: TargetSpec, truth: np.ndarray) -> str | None:
    """In words, that the class which alone is looked at is none of the target's."""
    problem = unknown_class(spec, [name for name in (options.of, options.against) if name is not None])
    return f"{problem}; it has {', '.join(spec.vocab[:12])}" if problem else None


def mean_over_classes(
    truth: np.ndarray, preds: np.ndarray, of_one: Curve, options: OneClass | None = None, classes: Sequence[str] = ()
) -> float:
    """Of the second class for two, else the mean of one class against the rest; classes that all or none of the rows
    have are passed over. NaN where no class is left. Of one class, or against it, where `options` say so.

    `of_one` takes 0/1 (n,) and probabilities (n,).
    """
    chosen = None if options is None else options.of or options.against
    if chosen is not None and chosen in classes:
        own, scores = _column(truth, preds, list(classes).index(chosen))
        columns = [(own, scores) if options is None or options.of else (1 - own, 1 - scores)]
    elif truth.ndim == 1 and preds.shape[1] == 2:
        columns = [_column(truth, preds, 1)]
    else:
        columns = [_column(truth, preds, code) for code in range(preds.shape[1])]
    values = [of_one(own, scores) for own, scores in columns if 0 < own.sum() < len(own)]
    return float(np.mean(values)) if values else float("nan")


def _column(truth: np.ndarray, preds: np.ndarray, code: int) -> tuple[np.ndarray, np.ndarray]:
    """0/1 (n,) and probabilities (n,) of one class."""
    own = truth == code if truth.ndim == 1 else truth[:, code] > 0.5
    return own.astype(float), preds[:, code]
