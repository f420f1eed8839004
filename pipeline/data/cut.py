"""A file that is cut into parts, `train.zip.001`, `train.zip.002`, ...: read as the one that they make together."""

import io
import os
import re
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, cast

from pipeline.errors import WorkFailed

FIRST = ".001"
PART = re.compile(r"\.\d{3,}")


def parts_of(path: Path) -> list[Path]:
    """The parts of a file by its first one, in their order; any other file is its only part.

    Raises WorkFailed where one before the last is missing.
    """
    if path.suffix != FIRST:
        return [path]
    there = {
        entry.suffix for entry in path.parent.iterdir() if entry.stem == path.stem and PART.fullmatch(entry.suffix)
    }
    found = [path.with_suffix(f".{number:03}") for number in range(1, max(int(end[1:]) for end in there) + 1)]
    missing = next((part for part in found if part.suffix not in there), None)
    if missing is not None:
        raise WorkFailed(f"{missing} is missing, between {path.name} and {found[-1].name}; download it")
    return found


def size_of(path: Path) -> int:
    """Bytes of a file with all its parts."""
    return sum(part.stat().st_size for part in parts_of(path))


def open_whole(path: Path) -> BinaryIO:
    """A file, or all parts of it one behind the other, to be read."""
    parts = parts_of(path)
    return path.open("rb") if len(parts) == 1 else cast(BinaryIO, io.BufferedReader(_Parts(parts)))


class _Parts(io.RawIOBase):
    """Files, one behind the other; each is open while it is read."""

    def __init__(self, parts: list[Path]) -> None:
        self._parts = parts
        self._ends = list(accumulate(part.stat().st_size for part in parts))
        self._place, self._number, self._file = 0, -1, cast("BinaryIO | None", None)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._ends[-1]}[whence]
        if place < 0:
            raise ValueError(f"negative place {place}")
        self._place = place
        return place

    def readinto(self, buffer: memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        number = bisect_right(self._ends, self._place)
        if number == len(self._parts):
            return 0
        if number != self._number or self._file is None:
            self._close_part()
            self._number, self._file = number, self._parts[number].open("rb")
        start = self._ends[number - 1] if number else 0
        self._file.seek(self._place - start)
        read = self._file.read(min(len(buffer), self._ends[number] - self._place))
        buffer[: len(read)] = read
        self._place += len(read)
        return len(read)

    def close(self) -> None:
        self._close_part()
        super().close()

    def _close_part(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
