"""Layouts of tables: from the text of a file to its cells.

A plug-in file may add one, which goes before the built-in ones:

LAYOUTS.add("fixed_width", FixedWidth())
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.registry import Registry

if TYPE_CHECKING:
    import pandas as pd


class Layout(ABC):
    """How the text of a table holds its cells. Texts are UTF-8; nothing is taken for missing but empty cells."""

    @abstractmethod
    def fits(self, name: str, text: bytes) -> bool:
        """Whether a file of this name is so laid out."""

    @abstractmethod
    def read(self, text: bytes, header: bool, separator: str | None) -> "pd.DataFrame":
        """All cells as text; columns are numbered without a header.

        Raises Unreadable, with the number of the first such line, for rows that do not fit the header.
        """

    @abstractmethod
    def lines(self, text: bytes, header: bool, separator: str | None, rows: Sequence[int]) -> list[int]:
        """In which lines of the file, counted from 1, these rows begin."""


LAYOUTS: Registry[Layout] = Registry("layout of tables", __name__, ("coco", "json_records", "delimited"))


def layout_of(name: str, text: bytes) -> Layout:
    """That of a file: a plug-in's before the built-in ones, of which `delimited` takes what is left."""
    names = sorted(LAYOUTS.names(), key=lambda entry: LAYOUTS.code_of(entry) is None)
    return next(LAYOUTS[entry] for entry in names if LAYOUTS[entry].fits(name, text))


def own_layouts() -> dict[str, str]:
    """The code of what plug-ins bring: how every table is read may depend on it."""
    codes = {name: LAYOUTS.code_of(name) for name in LAYOUTS.names()}
    return {name: code for name, code in codes.items() if code is not None}
