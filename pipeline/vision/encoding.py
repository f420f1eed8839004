"""Features as tensors: numbers standardised, words as codes, both as a fold's training rows show them."""

from collections import Counter
from typing import Self

import numpy as np
import pandas as pd

from pipeline.errors import RequestError
from pipeline.settings import Section
from pipeline.vision.features import NUMBER, PREFIX, sorts_in

UNKNOWN = 0  # the code of a word that no training row has


class NumberFeature(Section, frozen=True):
    """A column of numbers: (x - mean) / std; where some training rows are blank (`gaps`), a second one that says so."""

    name: str
    mean: float
    std: float
    gaps: bool

    def encode(self, numbers: pd.Series) -> np.ndarray:
        """(n, 1), or with gaps (n, 2). A blank is the mean."""
        blank = numbers.isna().to_numpy()
        scaled = np.where(blank, 0.0, (numbers.to_numpy(dtype=np.float64) - self.mean) / self.std)
        return np.stack([scaled, blank], axis=1) if self.gaps else scaled[:, None]


class WordFeature(Section, frozen=True):
    """A column of words, the most frequent first; their codes count from 1. A blank is a word like others."""

    name: str
    words: tuple[str, ...]

    def encode(self, cells: pd.Series) -> np.ndarray:
        """(n, 1)."""
        codes = {word: code for code, word in enumerate(self.words, UNKNOWN + 1)}
        return cells.map(codes).fillna(UNKNOWN).to_numpy(dtype=np.float64)[:, None]


class Features(Section, frozen=True):
    """The columns that a model reads besides: in the tensor numbers come first, then words."""

    numbers: tuple[NumberFeature, ...] = ()
    words: tuple[WordFeature, ...] = ()

    @classmethod
    def of(cls, train: pd.DataFrame) -> Self:
        """As a fold's training rows show them (rows of the manifest, with their features)."""
        sorts = sorts_in(train)
        if not sorts:
            raise RequestError("no features are kept of the rows; run `pipeline data --force`")
        numbers = [_number(name, train[PREFIX + name]) for name, sort in sorts.items() if sort == NUMBER]
        words = [_word(name, train[PREFIX + name]) for name, sort in sorts.items() if sort != NUMBER]
        return cls(numbers=tuple(numbers), words=tuple(words))

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in (*self.numbers, *self.words)]

    @property
    def width(self) -> int:
        """Columns of numbers in the tensor, blanks' own included; those of words come behind."""
        return sum(1 + feature.gaps for feature in self.numbers)

    @property
    def sizes(self) -> list[int]:
        """How many codes each column of words has."""
        return [UNKNOWN + 1 + len(feature.words) for feature in self.words]

    def encode(self, rows: pd.DataFrame) -> np.ndarray:
        """float32 (n, numbers + words). Raises RequestError for rows that lack a column."""
        lacking = [name for name in self.names if PREFIX + name not in rows.columns]
        if lacking:
            raise RequestError(
                f"the model reads {len(self.names)} feature(s) beside the image, and the rows lack {lacking[0]!r}"
            )
        parts = [feature.encode(rows[PREFIX + feature.name]) for feature in (*self.numbers, *self.words)]
        return np.concatenate(parts, axis=1).astype(np.float32)


def _number(name: str, numbers: pd.Series) -> NumberFeature:
    known = numbers.dropna()
    mean, std = (float(known.mean()), float(known.std(ddof=0))) if len(known) else (0.0, 0.0)
    varies = std > 1e-9 * max(1.0, abs(mean))
    return NumberFeature(name=name, mean=mean, std=std if varies else 1.0, gaps=len(known) < len(numbers))


def _word(name: str, cells: pd.Series) -> WordFeature:
    counts = Counter(cells)
    return WordFeature(name=name, words=tuple(sorted(counts, key=lambda word: (-counts[word], word))))
