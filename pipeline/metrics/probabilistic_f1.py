"""probabilistic_f1: the F score of the second class with probabilities as counts (Yacouby and Axman 2020).

precision = sum of p over positives / sum of p, recall = sum of p over positives / positives, as in Kaggle's RSNA
breast cancer detection; 0 where nothing is predicted. A threshold ("fitted") makes 0 and 1 of probabilities.
"""

import numpy as np

from pipeline.metrics import ONE_OF, Metric
from pipeline.metrics.decisions import by_threshold
from pipeline.metrics.overlap import AtHalf, Beta, no_two_classes


class Options(AtHalf, frozen=True):
    """How much recall counts."""

    beta: Beta = 1.0


def probabilistic_f1(truth: np.ndarray, preds: np.ndarray, options: Options) -> float:
    chance = np.clip(preds[:, 1].astype(np.float64), 0, 1)
    positives, hits, square = (truth == 1).sum(), chance[truth == 1].sum(), options.beta**2
    if not positives:
        return float("nan")
    return float((1 + square) * hits / (square * positives + chance.sum()))


ENTRY = Metric(ONE_OF, True, False, probabilistic_f1, options=Options, decision=by_threshold, problem=no_two_classes)
