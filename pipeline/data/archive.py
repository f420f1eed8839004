"""Archives: zip, 7z, tar, tar.gz, tar.bz2 and tar.xz, cut into parts or not, unpacked as a whole or not at all.

An archive comes from the network, so it is not trusted. Every member is checked before the first byte is
written, and again while writing: the second pass relies on nothing that the first one saw.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.data.cut import FIRST, open_whole
from pipeline.data.member import BUFFER, Chunks, Member, Refused
from pipeline.data.members import (
    budget_check,
    check_members,
    clean_path,
    detect_format,
    reading,
)
from pipeline.errors import WorkFailed
from pipeline.workspace import swap_folder

ENDINGS = (".zip", ".7z", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ENDINGS += tuple(f"{ending}{FIRST}" for ending in ENDINGS)  # of archives in parts
Progress = Callable[[int, int], None]


def unpack(archive: Path, destination: Path, limit_bytes: int | None = None, progress: Progress | None = None) -> None:
    """Extract into `.<name>.extracting` beside `destination` and rename it: all of the files or none.

    One process at a time for one destination. Arguments and errors as in `extract`; WorkFailed also when
    `destination` exists. What a killed run left behind is removed first.
    """
    destination = Path(destination)
    if os.path.lexists(destination):
        raise WorkFailed(f"{destination} exists already; remove or rename it to unpack {archive} there")
    temporary = destination.with_name(f".{destination.name}.extracting")
    with _writing(temporary):
        if os.path.lexists(temporary):
            shutil.rmtree(temporary)
    try:
        extract(archive, temporary, limit_bytes, progress)
        with _writing(destination):
            swap_folder(temporary, destination)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # the first error counts; the next run tries again
        raise


def extract(archive: Path, destination: Path, limit_bytes: int | None = None, progress: Progress | None = None) -> None:
    """Check every member, then write them into the new or empty folder `destination`.

    `limit_bytes` bounds the sum of the declared sizes (default: the free disk space less 5 %).
    `progress(done_bytes, total_bytes)` is called about once per MB and at the end. Modes follow the umask
    (at most 644 and 755), owners are dropped. Backslashes are kept as part of a name, as Linux does.
    Raises WorkFailed if the archive is unsafe, broken, too large or of no known format, and if the disk
    does not take it. A refused archive has written nothing; other failures leave half-filled folders.
    """
    archive, destination = Path(archive), Path(destination)
    with _writing(destination):
        if os.path.lexists(destination) and (destination.is_symlink() or any(destination.iterdir())):
            raise WorkFailed(f"{destination} is a link or not empty; unpack {archive} into a new folder")
    with reading(archive):
        file = open_whole(archive)
    with file:
        try:
            form = detect_format(archive, file)
            with _writing(destination):
                check = budget_check(archive, destination, limit_bytes)
            total = sum(member.size for _, member, _ in check_members(archive, file, form, check))
            with _writing(destination):
                destination.mkdir(mode=0o755, parents=True, exist_ok=True)
            counts = _write_members(destination, check_members(archive, file, form, check))
            _report(counts, total, progress or (lambda done, total: None))
        except Refused as refusal:
            raise WorkFailed(f"{archive}: {refusal}") from None


@contextmanager
def _writing(path: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"disk full while writing {path}; free some space and run again"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            message = f"no permission to write {path}; change its rights or choose another folder"
        else:
            message = f"cannot write {path}: {error.strerror or error}; choose another folder"
        raise WorkFailed(message) from error


def _write_members(destination: Path, members: Iterator[tuple[str, Member, Chunks]]) -> Iterator[int]:
    """Write the members, yielding the number of bytes after each piece; symbolic links come last of all."""
    links = []
    for path, member, chunks in members:
        full = os.path.join(destination, path)
        with _writing(full):
            os.makedirs(full if member.kind == "folder" else os.path.dirname(full), 0o755, exist_ok=True)
            if member.kind == "hardlink":
                original = os.path.join(destination, clean_path(member.target))
                os.link(original, full, follow_symlinks=False)
        if member.kind == "file":
            yield from _write_file(full, member, chunks())
        elif member.kind == "symlink":
            links.append((member.target, full))
    for target, full in links:
        with _writing(full):
            os.symlink(target, full)


def _write_file(full: str, member: Member, chunks: Iterator[bytes]) -> Iterator[int]:
    with _writing(full), _create(full) as out:
        for chunk in chunks:
            out.write(chunk)
            yield len(chunk)
        out.flush()  # a later write would set the time again
        if 0 <= member.mtime < 2**32:
            os.utime(out.fileno(), (member.mtime, member.mtime))


def _create(full: str) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(full, flags, 0o644), "wb")


def _report(counts: Iterator[int], total: int, progress: Progress) -> None:
    done = shown = 0
    for piece, count in enumerate(counts):
        done += count
        if done - shown >= BUFFER or piece % 64 == 0:
            progress(done, total)
            shown = done
    progress(done, total)
