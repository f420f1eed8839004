"""Raw ids are text, inner ids are row numbers of what was trained."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Ids:
    """The raw ids that a model was trained on, in the order of their inner ids; any other is `unknown`."""

    raw: tuple[str, ...]

    @classmethod
    def of(cls, column: pd.Series) -> "Ids":
        return cls(tuple(sorted(column.unique(), key=_natural)))

    @property
    def unknown(self) -> int:
        """The row behind all others: the mean of what was learned."""
        return len(self.raw)

    def inner(self, column: Sequence[str] | pd.Series) -> np.ndarray:
        """Inner ids (n,) int64 of raw ones."""
        found = pd.Index(self.raw).get_indexer(pd.Index(column))
        return np.where(found < 0, self.unknown, found).astype(np.int64)


def _natural(raw: str) -> tuple[int, int, str]:
    """Whole numbers in their order, before words."""
    return (0, int(raw), raw) if raw.isdecimal() and raw.isascii() else (1, 0, raw)
