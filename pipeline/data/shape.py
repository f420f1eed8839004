"""The shape of delimited text: which records it has and how many cells each, by arrays over its bytes.

A separator or line break inside of quotes is none: an odd number of quotes is before it. That holds where quotes are
well-formed, which `quotes_in` checks; everything here is a few passes over the bytes, a tenth of the time of parsing.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

CHUNK = 1 << 24  # bytes at a time
END = "\x04"  # behind the last line, to see whether a quote is still open
BLANKS = " "  # stands for runs of blanks and tabs
LF, CR, QUOTE, BACKSLASH = 10, 13, 34, 92
WHITE = np.array([9, 32], np.uint8)
# How quotes are meant: around cells, doubled or escaped by a backslash inside of them; loosely, as a mark where a cell
# begins and a letter elsewhere; or as a letter everywhere.
Quoting = Literal["doubled", "escaped", "loose", "plain"]


@dataclass(frozen=True)
class Shape:
    """Records that are not blank: where each begins and ends (bytes, the line break left out), and its cells."""

    quoting: Quoting
    starts: np.ndarray
    ends: np.ndarray
    cells: np.ndarray

    def share(self, header: bool) -> float:
        """The part of records that have as many cells as the header, or as most have."""
        return float((self.cells == self.usual(header)).mean()) if len(self.cells) else 0.0

    def usual(self, header: bool) -> int:
        if not len(self.cells):
            return 0
        return int(self.cells[0]) if header else int(np.bincount(self.cells).argmax())


def shape_of(text: bytes, separator: str, header: bool, skipped: int, literal: bool = False) -> Shape | None:
    """The shape by the reading of quotes that fits best; None where a quote is not closed.

    `separator` is one character, or `BLANKS`; the first `skipped` bytes are no part of the table. `literal`: quotes
    are letters, where that fits as well as anything else.
    """
    best: Shape | None = None
    for shape in _readings(text, separator, skipped, literal):
        if shape.share(header) == 1:
            return _line_by_line(text, separator, header, skipped, shape)
        if best is None or shape.share(header) > best.share(header):
            best = shape
    return best


def _line_by_line(text: bytes, separator: str, header: bool, skipped: int, shape: Shape) -> Shape:
    """The shape itself, but with quotes as letters where its cells hold line breaks and yet each line is a row."""
    if not _swallows(text, shape):
        return shape
    plain = scanned(text, separator, None, "plain", skipped)
    return plain if plain.share(header) == 1 and plain.usual(header) == shape.usual(header) else shape


def _readings(text: bytes, separator: str, skipped: int, literal: bool) -> Iterator[Shape]:
    if text.find(b'"', skipped) < 0:
        yield scanned(text, separator, None, "plain", skipped)
        return
    if literal:
        yield scanned(text, separator, None, "plain", skipped)
    for quoting in ("doubled", "escaped"):
        if quoting == "doubled" or text.find(b'\\"', skipped) >= 0:
            quotes = quotes_in(np.frombuffer(text, np.uint8), separator, quoting == "escaped", skipped)
            if quotes is not None:
                yield scanned(text, separator, quotes, quoting, skipped)
    loose = _loose(text, separator, skipped) if separator != BLANKS else None
    if loose is not None:
        yield loose
    if not literal and (separator == "\t" or unclosed(text, separator, skipped) is None):
        yield scanned(text, separator, None, "plain", skipped)


def unclosed(text: bytes, separator: str, skipped: int) -> int | None:
    """Where the first cell begins with a quote that, in its line, it does not end with; None where there is none."""
    mark = rb" \t" if separator == BLANKS else re.escape(separator.encode())
    cell = re.compile(rb'(?:^|(?<=[%b\r\n]))"(?![^%b\r\n]*"(?:[^"%b\r\n]|$|[%b\r\n]))' % ((mark,) * 4))
    found = cell.search(text, skipped)
    return found.start() if found else None


def quotes_in(buffer: np.ndarray, separator: str, escaped: bool, skipped: int) -> np.ndarray | None:
    """Where quotes open and close, in turn; None where they are not well-formed."""
    at = np.flatnonzero(buffer[skipped:] == QUOTE) + skipped
    if escaped:
        at = at[~_after_backslash(buffer, at)]
    if len(at) % 2:
        return None
    bounds = np.array([*WHITE] if separator == BLANKS else [ord(separator)], np.uint8)
    bounds = np.append(bounds, [LF, CR, QUOTE]).astype(np.uint8)
    opening, closing = at[::2], at[1::2]
    before = buffer[opening[opening > skipped] - 1]
    after = buffer[closing[closing + 1 < len(buffer)] + 1]
    return at if np.isin(before, bounds).all() and np.isin(after, bounds).all() else None


def _after_backslash(buffer: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Whether an odd number of backslashes stands before each place."""
    odd, going, back = np.zeros(len(at), bool), np.ones(len(at), bool), 1
    while going.any():
        going &= (at >= back) & (buffer[np.maximum(at - back, 0)] == BACKSLASH)
        odd ^= going
        back += 1
    return odd


def scanned(text: bytes, separator: str, quotes: np.ndarray | None, quoting: Quoting, skipped: int) -> Shape:
    """The shape where quotes open and close at `quotes`."""
    buffer = np.frombuffer(text, np.uint8)
    old_mac = b"\r" in text and _lone_returns(text) > 0
    breaks, counts, seen = [], [], 0
    for low in range(skipped, len(buffer), CHUNK):
        part = buffer[low : low + CHUNK]
        ends = part == LF
        if old_mac:
            following = buffer[low + 1 : low + 1 + CHUNK]
            ends = ends | ((part == CR) & (np.append(following, LF)[: len(part)] != LF))
        ends, marks = np.flatnonzero(ends) + low, _marks(buffer, low, part, separator)
        if quotes is not None and len(quotes):
            ends, marks = (_outside(at, quotes, low, low + len(part)) for at in (ends, marks))
        breaks.append(ends)
        counts.append(seen + np.searchsorted(marks, ends))
        seen += len(marks)
    at = np.concatenate(breaks) if breaks else np.zeros(0, np.int64)
    upto = np.concatenate(counts) if counts else np.zeros(0, np.int64)
    starts = np.append(skipped, at + 1)
    ends = np.append(at, len(buffer))
    cells = np.diff(np.append(0, np.append(upto, seen))) + (separator != BLANKS)
    if b"\r" in text:
        ends = ends - ((ends > starts) & (buffer[np.maximum(ends - 1, 0)] == CR))
    kept = ~_blank(text, starts, ends, cells)
    return Shape(quoting, starts[kept], ends[kept], cells[kept])


def _marks(buffer: np.ndarray, low: int, part: np.ndarray, separator: str) -> np.ndarray:
    """Where a separator is; of runs of blanks, where a cell begins."""
    if separator != BLANKS:
        return np.flatnonzero(part == ord(separator)) + low
    white = np.isin(part, np.array([9, 10, 13, 32], np.uint8))
    before = np.append(low == 0 or bool(np.isin(buffer[low - 1], [9, 10, 13, 32])), white[:-1])
    return np.flatnonzero(~white & before) + low


def _outside(at: np.ndarray, quotes: np.ndarray, low: int, high: int) -> np.ndarray:
    """Those of the places from `low` to `high` that an even number of quotes is before."""
    first, last = np.searchsorted(quotes, [low, high])
    before = np.bincount(np.searchsorted(at, quotes[first:last], side="right"), minlength=len(at) + 1)
    return at[((first + np.cumsum(before[: len(at)])) & 1) == 0]


def _lone_returns(text: bytes) -> int:
    """Line breaks of old Macs."""
    return text.count(b"\r") - text.count(b"\r\n")


def _blank(text: bytes, starts: np.ndarray, ends: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Whether each record is empty, or of blanks alone."""
    blank = ends <= starts
    buffer = np.frombuffer(text, np.uint8)
    maybe = (cells <= 1) & ~blank
    maybe[maybe] = np.isin(buffer[starts[maybe]], WHITE)
    for number in np.flatnonzero(maybe):
        blank[number] = not text[starts[number] : ends[number]].strip()
    return blank


def _loose(text: bytes, separator: str, skipped: int) -> Shape | None:
    """As Python's csv takes quotes: a slow reading, for what is not well-formed. None where a quote is not closed."""
    starts, ends, cells, done = [], [], [], 0
    lines = list(io.StringIO(text[skipped:].decode(), newline=""))
    offsets = (np.append(0, np.cumsum([len(line.encode()) for line in lines])) + skipped).tolist()
    reader = csv.reader([*lines[:-1], lines[-1].rstrip("\r\n") + "\n", END] if lines else [END], delimiter=separator)
    row: list[str] = []
    try:
        for row in reader:
            low, done = offsets[done], reader.line_num
            if done > len(lines):
                break
            if len(row) > 1 or (row and row[0].strip()):
                starts.append(low)
                ends.append(low + len(text[low : offsets[done]].rstrip(b"\r\n")))
                cells.append(len(row))
    except csv.Error:
        return None
    if row != [END]:
        return None
    return Shape("loose", *(np.array(values, np.int64) for values in (starts, ends, cells)))


def _swallows(text: bytes, shape: Shape) -> bool:
    """Whether some record goes over several lines."""
    if shape.quoting == "plain" or not len(shape.starts):
        return False
    inner = text[int(shape.starts[0]) : int(shape.ends[-1])]
    lines = 1 + inner.count(b"\n") + (_lone_returns(inner) if b"\r" in inner else 0)
    return lines > len(shape.starts) and any(
        b"\n" in text[low:high] or b"\r" in text[low:high]
        for low, high in zip(shape.starts.tolist(), shape.ends.tolist(), strict=True)
    )
