"""micro_f1: the F1 score of all labels of all rows together."""

from pipeline.metrics import ONE_OF, TAGS
from pipeline.metrics.overlap import AtHalf, always, f_score, of_counts

ENTRY = of_counts(ONE_OF | TAGS, AtHalf, always(f_score(1)), always("micro"))
