"""map_at_k: the mean over rows of the average precision of the k likeliest classes (`{ name = ..., k = 5 }`).

With one true class a row that is 1 / its place, 0 beyond k (Kaggle: humpback whales, hotels). With tags it is
sum over i <= k of precision(i) * [i-th is a tag] / min(tags, k); a row without tags has 0 (Kaggle's `apk`).
"""

import numpy as np

from pipeline.metrics import ONE_OF, TAGS, Metric
from pipeline.metrics.ranked import NOT_LISTED, First, best, places


def map_at_k(truth: np.ndarray, preds: np.ndarray, options: First) -> float:
    if truth.ndim == 1:
        place = places(truth, preds)
        return float(np.where(place < options.k, 1 / (place + 1.0), 0.0).mean())
    hits = np.take_along_axis((truth > 0.5) & (preds > NOT_LISTED), best(preds, options.k), axis=1)
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    most = np.minimum((truth > 0.5).sum(axis=1), options.k)
    return float(((precision * hits).sum(axis=1) / np.maximum(most, 1)).mean())


ENTRY = Metric(ONE_OF | TAGS, True, False, map_at_k, options=First, ranked=True)
