"""A member of an archive, as it is declared: name and sizes are not to be trusted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

BUFFER = 1 << 20
DISTRUST = "Do not use this archive: download it again, or get it from another source."

Chunks = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Member:
    """What the archive declares; `size` in bytes, `mtime` in seconds since 1970, `name` still untrusted."""

    name: str
    kind: str  # file | folder | symlink | hardlink
    size: int
    target: str
    mtime: float


class Refused(Exception):
    """A member is not allowed; the message names it and says why, but not in which archive."""

    def __init__(self, name: str, why: str, advice: str = DISTRUST) -> None:
        shown = name if len(name) <= 120 else f"{name[:80]}...{name[-30:]}"
        super().__init__(f"member {shown!r} {why}, so the archive was not unpacked.\n{advice}")


class NotRead(Refused):
    """An archive is made in a way that nothing here reads."""

    def __init__(self, why: str, advice: str) -> None:
        Exception.__init__(self, f"it {why}, so it was not unpacked.\n{advice}")
