"""fbeta: the F score with recall counted beta times as much as precision, averaged as f1 (`beta`, `average`)."""

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.overlap import Averaged, Beta, as_said, averaged, by_counts, f_score, no_second_class


class Options(Averaged, frozen=True):
    """How much recall counts; above which probability a label is decided; the mean that is taken."""

    beta: Beta = 1.0


def fbeta(truth: np.ndarray, preds: np.ndarray, options: Options) -> float:
    return averaged(truth, preds, f_score(options.beta), options.average)


ENTRY = Metric(
    ONE_OF | TAGS,
    True,
    False,
    fbeta,
    options=Options,
    decision=by_counts(lambda options: f_score(options.beta), as_said),
    problem=no_second_class,
)
