"""r2: 1 - (squared errors) / (squared distances of the truth from its mean); no value where that is constant.

`weights` are of rows (n,): those of a leaderboard that pools targets (`{ name = "pooled", of = "r2", weights = ... }`).
"""

import numpy as np

from pipeline.metrics import NUMBER, Metric


def r2(truth: np.ndarray, preds: np.ndarray, weights: np.ndarray | None = None) -> float:
    rest = np.average((truth - preds.astype(np.float64)) ** 2, weights=weights)
    spread = np.average((truth - np.average(truth, weights=weights)) ** 2, weights=weights)
    return float(1 - rest / spread) if spread > 0 else float("nan")


ENTRY = Metric(NUMBER, True, False, r2, weighs_rows=True)
