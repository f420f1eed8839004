"""auc: area under the ROC curve."""

from collections.abc import Sequence

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.onehot import OneClass, mean_over_classes, unknown_one


def auc(truth: np.ndarray, preds: np.ndarray, options: OneClass, classes: Sequence[str] = ()) -> float:
    """Of class 1 for two classes, else the mean of one class against the rest."""
    from sklearn.metrics import roc_auc_score

    return mean_over_classes(truth, preds, lambda own, scores: float(roc_auc_score(own, scores)), options, classes)


ENTRY = Metric(
    ONE_OF | TAGS,
    True,
    True,
    auc,
    sorts_each_class=True,
    options=OneClass,
    takes_classes=True,
    problem=unknown_one,
)
