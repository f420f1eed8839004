"""weighted_f1: the mean of the classes' F1 scores, each weighted by its rows."""

from pipeline.metrics import ONE_OF, TAGS
from pipeline.metrics.overlap import Fitted, always, f_score, of_counts

ENTRY = of_counts(ONE_OF | TAGS, Fitted, always(f_score(1)), always("weighted"))
