"""partial_auc: the area between the ROC curve and a true positive rate (`min_tpr = 0.8`), from 0 to 1 - min_tpr.

As Kaggle's ISIC 2024 computes it: classes and scores are turned around, scikit-learn's partial area up to the false
positive rate 1 - min_tpr is taken, and McClish's standardisation of it undone.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.onehot import OneClass, mean_over_classes, unknown_one


class Options(OneClass, frozen=True):
    """The true positive rate above which the area counts."""

    min_tpr: Annotated[float, Field(ge=0, lt=1)] = 0.8


def partial_auc(truth: np.ndarray, preds: np.ndarray, options: Options, classes: Sequence[str] = ()) -> float:
    from sklearn.metrics import roc_auc_score

    most = 1 - options.min_tpr

    def of_one(own: np.ndarray, scores: np.ndarray) -> float:
        standardised = float(roc_auc_score(1 - own, -scores, max_fpr=most))
        if most == 1:  # not standardised
            return standardised
        return 0.5 * most**2 + (most - 0.5 * most**2) / 0.5 * (standardised - 0.5)

    return mean_over_classes(truth, preds, of_one, options, classes)


ENTRY = Metric(
    ONE_OF | TAGS,
    True,
    True,
    partial_auc,
    sorts_each_class=True,
    options=Options,
    takes_classes=True,
    problem=unknown_one,
)
