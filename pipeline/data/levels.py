"""From 16 and 32 bits, whole or floating, to 8: one range for all such images of a set, so that they stay comparable.

The range is that of the training images, rounded up to what their makers mean by white (`range_of`); the audit finds
it, and everything that reads an image of the set is given it. What lies beyond is clipped. A range from each image
would make a dark picture as bright as any other, which is what X-rays and micrographs differ in.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from PIL import Image

Range = tuple[float, float]  # what becomes 0, and what becomes 255
Levels = Mapping[str, Range]  # by the sort of value: I for whole numbers, F for floats
WORDS = {"I": "whole numbers", "F": "floats"}
BYTE: Range = (0.0, 255.0)


def sort_of(mode: str) -> str | None:
    """I or F for one of Pillow's modes of more than 8 bits (I;16, I, F); None for all others."""
    return mode[0] if mode and mode[0] in WORDS else None


def extremes(values: np.ndarray) -> Range:
    """The least and the greatest of the values that are numbers. Raises ValueError where none is."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        raise ValueError("holds no finite number")
    return float(values.min()), float(values.max())


def range_of(sort: str, low: float, high: float) -> Range:
    """What becomes 0 and 255, where a set's values lie between `low` and `high`.

    Whole numbers from 0 to the greatest of as few bits as hold them, of 8 at least (255, 4,095, 65,535). Floats from 0
    to 1 or to 255, where they lie within and come beyond half of that. All others, and where some are negative, from
    the least to the greatest that is found.
    """
    if low >= 0 and sort == "I":
        return 0.0, float((1 << max(8, int(high).bit_length())) - 1)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if low >= 0 and BYTE[1] / 2 < high <= BYTE[1]:
        return BYTE
    return low, high


def levels_of(facts: pd.DataFrame, train: np.ndarray) -> Levels:
    """The range of each sort of value in a set, from what the audit found in its training images; where none of them
    is of that sort, in the others. Empty for a set of 8 bits.

    `facts`: readable, mode, low and high; `train` (rows,) bool.
    """
    found: dict[str, Range] = {}
    sorts = facts["mode"].map(sort_of).where(facts["readable"])
    for sort in WORDS:
        own = (sorts == sort).to_numpy(bool)
        if own.any():
            rows = facts[own & train] if (own & train).any() else facts[own]
            found[sort] = range_of(sort, float(rows["low"].min()), float(rows["high"].max()))
    return found


def beyond(facts: pd.DataFrame, levels: Levels) -> np.ndarray:
    """Which images (rows,) hold values that are clipped."""
    pairs = [levels.get(sort_of(mode) or "", (-np.inf, np.inf)) for mode in facts["mode"]]
    low, high = np.array(pairs, dtype=float).reshape(-1, 2).T
    return ((facts["low"] < low) | (facts["high"] > high)).to_numpy(bool)


def to_rgb(image: Image.Image, levels: Levels | None) -> Image.Image:
    """An image of more than 8 bits in RGB. Without `levels` it is a set of its own. Raises ValueError without a number.

    Where 255 is white already it is Pillow's conversion, as for all else. What is no number is black.
    """
    values, sort = np.asarray(image), sort_of(image.mode) or ""
    low, high = (levels or {}).get(sort) or range_of(sort, *extremes(values))
    if (low, high) == BYTE:
        return image.convert("RGB")
    inside = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low).clip(low, high)
    scaled = (inside - low) * (255 / (high - low) if high > low else 0.0)
    return Image.fromarray((scaled + 0.5).astype(np.uint8)).convert("RGB")


def in_words(levels: Levels) -> dict[str, str]:
    """The ranges that are not those of a byte, as they are compared and shown: empty where pixels are as they were
    before there were ranges."""
    return {WORDS[sort]: _shown(pair) for sort, pair in levels.items() if tuple(pair) != BYTE}


def said_of(levels: Levels) -> str:
    """All the ranges, for a person."""
    return "; ".join(f"{WORDS[sort]} from {_shown(pair)} become 0 to 255" for sort, pair in levels.items())


def _shown(pair: Range) -> str:
    return " to ".join(f"{value:,.0f}" if float(value).is_integer() else f"{value:g}" for value in pair)
