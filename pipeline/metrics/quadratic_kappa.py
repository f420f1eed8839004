"""quadratic_kappa: agreement beyond chance, errors weighed by the squared distance of the codes (Cohen 1968)."""

import numpy as np

from pipeline.metrics import ONE_OF, Metric


def quadratic_kappa(truth: np.ndarray, preds: np.ndarray) -> float:
    from sklearn.metrics import cohen_kappa_score

    codes = np.arange(preds.shape[1])
    return float(cohen_kappa_score(truth, preds.argmax(axis=1), labels=codes, weights="quadratic"))


ENTRY = Metric(ONE_OF, True, False, quadratic_kappa)
