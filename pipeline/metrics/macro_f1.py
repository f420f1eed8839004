"""macro_f1: the mean of the classes' F1 scores."""

from pipeline.metrics import ONE_OF, TAGS
from pipeline.metrics.overlap import AtHalf, always, f_score, of_counts

ENTRY = of_counts(ONE_OF | TAGS, AtHalf, always(f_score(1)), always("macro"))
