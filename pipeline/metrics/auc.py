"""auc: area under the ROC curve."""

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric


def auc(truth: np.ndarray, preds: np.ndarray) -> float:
    """Of class 1 for two classes, else the mean of one class against the rest."""
    from sklearn.metrics import roc_auc_score

    onehot = truth if truth.ndim == 2 else np.eye(preds.shape[1])[truth]
    if truth.ndim == 1 and preds.shape[1] == 2:
        onehot, preds = onehot[:, 1:], preds[:, 1:]
    mixed = [c for c in range(onehot.shape[1]) if 0 < onehot[:, c].sum() < len(onehot)]
    return float(np.mean([roc_auc_score(onehot[:, c], preds[:, c]) for c in mixed])) if mixed else float("nan")


ENTRY = Metric(ONE_OF | TAGS, True, True, auc, sorts_each_class=True)
