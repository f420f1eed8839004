"""Which images are for training and which are the test set, and where the labels are: what the data section says."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.looking.tables import Table


@dataclass
class Sides:
    """`table` is None where labels are in names or folders; `label` are then the keys of the target."""

    id: str
    images: str | list[str]
    paths: Sequence[str]  # some training images
    table: Table | None = None
    test: str | list[str] | None = None
    test_table: Table | None = None
    id_in_sample: str | None = None
    case: str | None = None
    label: dict[str, object] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    valid: str | None = None
    why: str = ""
    why_test: str = ""
    sure: bool = True
    used: set[str] = field(default_factory=set)  # columns that name rows and files
    doubts: list[str] = field(default_factory=list)
