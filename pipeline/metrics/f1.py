"""f1: the F1 score of decided labels: the mean over rows with tags, of two classes the second's, else the mean."""

from pipeline.metrics import ONE_OF, TAGS
from pipeline.metrics.overlap import Averaged, always, as_said, f_score, no_second_class, of_counts

ENTRY = of_counts(ONE_OF | TAGS, Averaged, always(f_score(1)), as_said, no_second_class)
