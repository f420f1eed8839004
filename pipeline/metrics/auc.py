"""auc: area under the ROC curve."""

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.onehot import mean_over_classes


def auc(truth: np.ndarray, preds: np.ndarray) -> float:
    """Of class 1 for two classes, else the mean of one class against the rest."""
    from sklearn.metrics import roc_auc_score

    return mean_over_classes(truth, preds, lambda own, scores: float(roc_auc_score(own, scores)))


ENTRY = Metric(ONE_OF | TAGS, True, True, auc, sorts_each_class=True)
