"""binary: one of two classes, of which a submission may say the probability of one."""

from collections.abc import Collection

from pipeline.errors import RequestError
from pipeline.targets.classes import ExclusiveClasses


class Binary(ExclusiveClasses):
    """One of two classes."""

    def vocabulary(self, target: str, labels: Collection[str]) -> tuple[str, ...]:
        classes = super().vocabulary(target, labels)
        if len(classes) != 2:
            raise RequestError(f"target {target!r} is binary but has {len(classes)} classes; kind = 'category'?")
        return classes


ENTRY = Binary()
