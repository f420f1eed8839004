"""jaccard: intersection over union of decided and true labels, averaged as f1."""

from pipeline.metrics import ONE_OF, TAGS
from pipeline.metrics.overlap import Averaged, always, as_said, jaccard_index, no_second_class, of_counts

ENTRY = of_counts(ONE_OF | TAGS, Averaged, always(jaccard_index), as_said, no_second_class)
