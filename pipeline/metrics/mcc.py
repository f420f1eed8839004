"""mcc: Matthews' correlation of decided and true classes, 0 where one of them is constant (Gorodkin 2004)."""

import numpy as np

from pipeline.metrics import ONE_OF, Metric
from pipeline.metrics.decisions import by_threshold
from pipeline.metrics.overlap import Fitted


def mcc(truth: np.ndarray, preds: np.ndarray, options: Fitted) -> float:
    classes, n, decided = preds.shape[1], len(truth), preds.argmax(axis=1)
    t, p = (np.bincount(codes, minlength=classes).astype(float) for codes in (truth, decided))
    spread = np.sqrt((n**2 - p @ p) * (n**2 - t @ t))
    return float(((decided == truth).sum() * n - t @ p) / spread) if spread > 0 else 0.0


ENTRY = Metric(ONE_OF, True, False, mcc, options=Fitted, decision=by_threshold)
