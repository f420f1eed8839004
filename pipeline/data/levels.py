"""From 16 and 32 bits, whole or floating, to 8: one range for all such images of a set, so that they stay comparable.

The range is that of the training images, rounded up to what their makers mean by white (`range_of`); the audit finds
it, and everything that reads an image of the set is given it. What lies beyond is clipped. A range from each image
would make a dark picture as bright as any other, which is what X-rays and micrographs differ in.

Arrays, and images of several files, have one range for all their channels too, so that these stay comparable; but each
channel its own where that of some channel is less than half as wide as that of all: it would be left with few levels.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

Range = tuple[float, float]  # what becomes 0, and what becomes 255
Levels = Mapping[str, Range]  # by the sort of value: I for whole numbers, F for floats; F:2 for those of channel 2
WORDS = {"I": "whole numbers", "F": "floats"}
BYTE: Range = (0.0, 255.0)
NARROW = 0.5  # of the range of all channels
SHOWN = 8  # ranges that are told


def sort_of(mode: str) -> str | None:
    """I or F for one of Pillow's modes of more than 8 bits (I;16, I, F); None for all others."""
    return mode[0] if mode and mode[0] in WORDS else None


def sort_of_values(dtype: np.dtype) -> str | None:
    """As `sort_of`, of the values of an array; None for bytes and truth."""
    if dtype == np.uint8 or dtype.kind == "b":
        return None
    return "F" if dtype.kind == "f" else "I"


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

    `facts`: readable, mode, low and high, and where there are arrays sorts, lows and highs; `train` (rows,) bool.
    """
    found: dict[str, Range] = {}
    if "sorts" in facts:
        return _levels_of_channels(facts[facts["readable"]], train[facts["readable"].to_numpy(bool)])
    sorts = facts["mode"].map(sort_of).where(facts["readable"])
    for sort in WORDS:
        own = (sorts == sort).to_numpy(bool)
        if own.any():
            rows = facts[own & train] if (own & train).any() else facts[own]
            found[sort] = range_of(sort, float(rows["low"].min()), float(rows["high"].max()))
    return found


def _levels_of_channels(facts: pd.DataFrame, train: np.ndarray) -> Levels:
    """One range for all channels of a sort; one for each, where one of them is narrow."""
    found: dict[str, Range] = {}
    seen = [[*_channels_in(row)] for row in zip(*(facts[name] for name in CHANNELS), strict=True)]
    for sort in WORDS:
        own = [[channel for channel in row if channel[0] == sort] for row in seen]
        ours = [row for row, is_train in zip(own, train, strict=True) if is_train and row]
        pairs: dict[int, list[Range]] = {}
        for row in ours or own:
            for _, channel, low, high in row:
                pairs.setdefault(channel, []).append((low, high))
        ranges = {k: (min(low for low, _ in each), max(high for _, high in each)) for k, each in sorted(pairs.items())}
        if not ranges:
            continue
        low, high = range_of(sort, min(low for low, _ in ranges.values()), max(high for _, high in ranges.values()))
        each = {f"{sort}:{channel}": range_of(sort, *pair) for channel, pair in ranges.items()}
        narrow = len(each) > 1 and any(top - bottom < NARROW * (high - low) for bottom, top in each.values())
        found |= each if narrow else {sort: (low, high)}
    return found


CHANNELS = ("mode", "low", "high", "sorts", "lows", "highs")  # columns of facts, as `_channels_in` wants them


def _channels_in(row: tuple) -> Iterator[tuple[str, int, float, float]]:
    """Sort, number, least and greatest value of each deep channel of an image; a picture has one."""
    mode, low, high, sorts, lows, highs = row
    if isinstance(sorts, str) and sorts:
        yield from ((sort, k, lows[k], highs[k]) for k, sort in enumerate(sorts) if sort in WORDS)
    elif sort_of(mode):
        yield mode[0], 0, low, high


def _range_in(levels: Levels, sort: str, channel: int) -> Range | None:
    return levels.get(f"{sort}:{channel}") or levels.get(sort)


def beyond(facts: pd.DataFrame, levels: Levels) -> np.ndarray:
    """Which images (rows,) hold values that are clipped."""
    if "sorts" in facts:
        rows = zip(*(facts[name] for name in CHANNELS), strict=True)
        return np.array([any(_is_beyond(levels, *channel) for channel in _channels_in(row)) for row in rows], bool)
    pairs = [levels.get(sort_of(mode) or "", (-np.inf, np.inf)) for mode in facts["mode"]]
    low, high = np.array(pairs, dtype=float).reshape(-1, 2).T
    return ((facts["low"] < low) | (facts["high"] > high)).to_numpy(bool)


def _is_beyond(levels: Levels, sort: str, channel: int, low: float, high: float) -> bool:
    pair = _range_in(levels, sort, channel)
    return pair is not None and (low < pair[0] or high > pair[1])


def to_rgb(image: Image.Image, levels: Levels | None) -> Image.Image:
    """An image of more than 8 bits in RGB. Without `levels` it is a set of its own. Raises ValueError without a number.

    Where 255 is white already it is Pillow's conversion, as for all else. What is no number is black.
    """
    values, sort = np.asarray(image), sort_of(image.mode) or ""
    low, high = (levels or {}).get(sort) or range_of(sort, *extremes(values))
    if (low, high) == BYTE:
        return image.convert("RGB")
    return Image.fromarray(_scaled(values, low, high)).convert("RGB")


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    inside = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low).clip(low, high)
    scaled = (inside - low) * (255 / (high - low) if high > low else 0.0)
    return (scaled + 0.5).astype(np.uint8)


def to_bytes(parts: Sequence[np.ndarray], levels: Levels | None) -> np.ndarray:
    """Values of any sort, each part (height, width, some channels), side by side as uint8 (height, width, channels).

    As `to_rgb` does with a picture: bytes stay as they are, and without `levels` an image is a set of its own.
    """
    levels = levels_in(parts) if levels is None else levels
    out = np.empty((*parts[0].shape[:2], sum(part.shape[2] for part in parts)), dtype=np.uint8)
    start = 0
    for part in parts:
        into, sort = out[:, :, start : start + part.shape[2]], sort_of_values(part.dtype)
        if sort is None:
            into[:] = _bytes_in(part)
        elif sort in levels:
            into[:] = _scaled(part, *levels[sort])
        else:
            for channel in range(part.shape[2]):
                pair = _range_in(levels, sort, start + channel) or range_of(sort, *extremes(part))
                into[:, :, channel] = _scaled(part[:, :, channel], *pair)
        start += part.shape[2]
    return out


def stretched(parts: Sequence[np.ndarray]) -> np.ndarray:
    """As `to_bytes`, each deep channel from its own least to its own greatest value: to compare images by."""
    planes = []
    for part in parts:
        for plane in np.moveaxis(part, 2, 0):
            if sort_of_values(part.dtype) is None:
                planes.append(_bytes_in(plane))
                continue
            finite = np.isfinite(plane)
            low, high = extremes(plane) if finite.any() else (0.0, 0.0)
            planes.append(_scaled(plane, low, high))
    return np.stack(planes, axis=2)


def _bytes_in(values: np.ndarray) -> np.ndarray:
    return values.astype(np.uint8) * np.uint8(255) if values.dtype.kind == "b" else values


def found_in(parts: Sequence[np.ndarray]) -> dict[str, Any]:
    """What the audit notes of an image's values: of each channel its sort (B for bytes), least and greatest value, and
    these over all that have more than 8 bits. Empty for bytes alone. Raises ValueError where no value is a number.
    """
    planes = [plane for part in parts for plane in np.moveaxis(part, 2, 0)]
    sorts = [sort_of_values(plane.dtype) or "B" for plane in planes]
    deep = [part for part in parts if sort_of_values(part.dtype)]
    if not deep:
        return {}
    found = [extremes(part) for part in deep]
    whole = min(low for low, _ in found), max(high for _, high in found)
    pairs = [BYTE if sort == "B" else _extremes_or(whole, plane) for sort, plane in zip(sorts, planes, strict=True)]
    lows, highs = (tuple(values) for values in zip(*pairs, strict=True))
    return {"low": whole[0], "high": whole[1], "sorts": "".join(sorts), "lows": lows, "highs": highs}


def _extremes_or(whole: Range, plane: np.ndarray) -> Range:
    """Those of a channel; of one without a number those of all."""
    return extremes(plane) if plane.dtype.kind != "f" or np.isfinite(plane).any() else whole


def levels_in(parts: Sequence[np.ndarray]) -> Levels:
    """The ranges of one image, as if it were a set."""
    found = found_in(parts)
    if not found:
        return {}
    return levels_of(pd.DataFrame([{"mode": "", "readable": True, **found}]), np.ones(1, bool))


def in_words(levels: Levels) -> dict[str, str]:
    """The ranges that are not those of a byte, as they are compared and shown: empty where pixels are as they were
    before there were ranges."""
    return {_named(key): _shown(pair) for key, pair in levels.items() if tuple(pair) != BYTE}


def said_of(levels: Levels) -> str:
    """All the ranges, for a person; channels of one range together."""
    alike: dict[tuple[str, Range], list[int]] = {}
    for key, pair in levels.items():
        sort, _, channel = key.partition(":")
        alike.setdefault((sort, (pair[0], pair[1])), []).extend([int(channel) + 1] if channel else [])
    parts = [
        f"{WORDS[sort]}{_numbered(own)} from {_shown(pair)} become 0 to 255" for (sort, pair), own in alike.items()
    ]
    return "; ".join(parts[:SHOWN]) + (f"; and {len(parts) - SHOWN} more ranges" if len(parts) > SHOWN else "")


def _numbered(channels: Sequence[int]) -> str:
    if not channels:
        return ""
    return f" of channel{'s' if len(channels) > 1 else ''} {', '.join(map(str, channels))}"


def _named(key: str) -> str:
    sort, _, channel = key.partition(":")
    return f"{WORDS[sort]}{_numbered([int(channel) + 1] if channel else [])}"


def _shown(pair: Range) -> str:
    return " to ".join(f"{value:,.0f}" if float(value).is_integer() else f"{value:g}" for value in pair)
