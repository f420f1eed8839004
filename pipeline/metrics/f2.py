"""f2: the F2 score, recall counting for more, averaged as f1 (Kaggle: planet, iMet 2019: the mean over rows)."""

from pipeline.metrics import ONE_OF, TAGS
from pipeline.metrics.overlap import Averaged, always, as_said, f_score, no_second_class, of_counts

ENTRY = of_counts(ONE_OF | TAGS, Averaged, always(f_score(2)), as_said, no_second_class)
