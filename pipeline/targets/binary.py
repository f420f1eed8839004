"""binary: one of two classes, of which a submission may say the probability of one."""

from collections.abc import Collection, Sequence

import numpy as np

from pipeline.errors import RequestError
from pipeline.targets.classes import ExclusiveClasses


class Binary(ExclusiveClasses):
    """One of two classes."""

    def vocabulary(self, target: str, labels: Collection[str]) -> tuple[str, ...]:
        classes = super().vocabulary(target, labels)
        if len(classes) != 2:
            raise RequestError(f"target {target!r} is binary but has {len(classes)} classes; kind = 'category'?")
        return classes

    def complete(self, values: np.ndarray, given: Sequence[int]) -> np.ndarray:
        """The other class has the rest of the probability."""
        if len(given) == 1:
            values[:, 1 - given[0]] = 1 - values[:, given[0]]
        return values


ENTRY = Binary()
