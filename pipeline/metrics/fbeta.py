"""fbeta: the F score with recall counted beta times as much as precision, averaged as f1 (`beta`, `average`)."""

from pipeline.metrics import ONE_OF, TAGS
from pipeline.metrics.overlap import Averaged, Beta, as_said, f_score, no_second_class, of_counts


class Options(Averaged, frozen=True):
    """How much recall counts; above which probability a label is decided; the mean that is taken."""

    beta: Beta = 1.0


ENTRY = of_counts(ONE_OF | TAGS, Options, lambda options: f_score(options.beta), as_said, no_second_class)
