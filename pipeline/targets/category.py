"""category: one of two or more classes."""

from pipeline.targets.classes import ExclusiveClasses


class Category(ExclusiveClasses):
    """One of two or more classes."""


ENTRY = Category()
