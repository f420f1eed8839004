"""Several files that are one image: each is some of its channels, in their order.

Where a path is kept as text such an image is one too: the path of its first file, and those of the others as they are
seen from that one's folder, `train/1_red.png|1_green.png|../masks/1.png`. A bar is in no name that travels.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

BETWEEN = "|"
Content = bytes | Sequence[bytes]  # of an image's one file, or of each of several


class State(NamedTuple):
    """Bytes, and the last change of the content and of the name or the attributes (ns), of all files of an image."""

    size: int
    mtime: int
    ctime: int


def joined(paths: Sequence[str]) -> str:
    """The files of one image as one path. Raises ValueError for a name with a bar."""
    first, *others = paths
    if any(BETWEEN in path for path in paths):
        raise ValueError(f"a bar is in the name of {next(path for path in paths if BETWEEN in path)}")
    folder = os.path.dirname(first) or "."
    return BETWEEN.join([first, *(os.path.relpath(other, folder) for other in others)])


def files_of(path: Path | str) -> list[str]:
    """The files of an image: one, unless its path is of several."""
    text = str(path)
    if BETWEEN not in text or os.path.isfile(text):
        return [text]
    first, *others = text.split(BETWEEN)
    folder = os.path.dirname(first)
    return [first, *(os.path.normpath(os.path.join(folder, other)) for other in others)]


def parts_of(pattern: str) -> list[str]:
    """Patterns, one a file, out of one for an image."""
    return pattern.split(BETWEEN)


def first_of(path: str) -> str:
    """The first file, or pattern, of several."""
    return parts_of(path)[0]


def is_several(pattern: str | None) -> bool:
    """Whether a pattern, or a path of the manifest, is of several files."""
    return pattern is not None and BETWEEN in pattern


def read_content(path: Path | str) -> Content:
    """The bytes of an image's file, or of each of its files. Raises OSError."""
    if BETWEEN not in str(path):
        return Path(path).read_bytes()
    files = [Path(file).read_bytes() for file in files_of(path)]
    return files[0] if len(files) == 1 else files


def digest_of(content: Content) -> str:
    """The SHA-256 of an image: of its bytes, or of the digests of its files."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha256("".join(digest_of(one) for one in content).encode()).hexdigest()


def state_of(path: Path | str) -> State:
    """The state of an image's files together. Raises OSError."""
    stats = [os.stat(file) for file in files_of(path)]
    newest = max(stat.st_mtime_ns for stat in stats), max(stat.st_ctime_ns for stat in stats)
    return State(sum(stat.st_size for stat in stats), *newest)
