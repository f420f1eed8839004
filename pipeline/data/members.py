"""What an archive declares and what of it is allowed: its members, listed and checked one by one.

Nothing here writes. Each pass over an archive lists and checks anew, and relies on nothing seen before.
"""

import bz2
import copy
import errno
import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from pipeline.data.cut import size_of
from pipeline.data.member import BUFFER, DISTRUST, Chunks, Member, Refused
from pipeline.data.seven import MAGIC, list_7z
from pipeline.errors import WorkFailed

MAX_MEMBERS = 5_000_000
MAX_DEPTH = 100  # shutil.rmtree recurses: a deeper tree could be written, but not removed again
MAX_HOPS = 40  # links followed in one path, as in the Linux kernel
MAX_PADDING = 64 << 20  # zeros after the end mark of a tar; real ones have a few kB
# Photos reach a ratio of 1 and tables of text about 20; only a bomb, or a file of zeros, passes 200.
# Small totals may: a folder of empty masks is harmless, and so is a bomb that fills less than 1 GB.
MAX_RATIO, RATIO_FROM_BYTES = 200, 10**9

FIRST_BYTES = {MAGIC: "7z", b"PK": "zip", b"\x1f\x8b": "tar.gz", b"BZh": "tar.bz2", b"\xfd7zXZ\0": "tar.xz"}


class Stream(Protocol):
    """What is read of a file, compressed or not."""

    def read(self, count: int, /) -> bytes: ...
    def seek(self, place: int, /) -> int: ...
    def tell(self) -> int: ...


UNTAR: dict[str, Callable[[BinaryIO], Stream]] = {
    "tar": lambda file: file,
    "tar.gz": gzip.open,
    "tar.bz2": bz2.open,
    "tar.xz": lzma.open,
}
UNZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
# What the standard library raises on broken input, besides an OSError without a number (gzip, bz2).
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, MemoryError)
BROKEN += (ValueError, LookupError, ArithmeticError, RuntimeError)  # numbers, offsets, recursion
# The header that tarfile finds at the end mark; its type stubs leave it out.
END_MARK: type[tarfile.HeaderError] = tarfile.EOFHeaderError  # pyright: ignore[reportAttributeAccessIssue]
CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f]")
ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")


@contextmanager
def reading(archive: Path) -> Iterator[None]:
    """Turn what the standard library raises on an unreadable or broken archive into WorkFailed."""
    try:
        yield
    except (*BROKEN, OSError) as error:
        number = getattr(error, "errno", None)
        if number not in (None, errno.EINVAL):  # EINVAL: an offset in the archive that no file can have
            raise WorkFailed(f"cannot read {archive}: {error.strerror}; check the file") from error
        reason = str(error)[:150].replace("\n", " ") or type(error).__name__
        raise WorkFailed(
            f"{archive} is damaged or cut short ({reason}), or holds no tar or zip archive.\n"
            "Delete it and download it again."
        ) from error


# --- what the archive declares ---


def detect_format(archive: Path, file: BinaryIO) -> str:
    """Return zip, 7z, tar, tar.gz, tar.bz2 or tar.xz, by the contents; WorkFailed when it is none of them."""
    with reading(archive):
        head = file.read(512)
        try:
            # First, and with its checksum: a tar begins with a member's name, which may be "PK" or "BZh".
            tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
            return "tar"
        except END_MARK:
            return "tar"  # begins with the end mark: no members
        except tarfile.HeaderError:
            pass
        for magic, form in FIRST_BYTES.items():
            if head.startswith(magic):
                return form
        if zipfile.is_zipfile(file):  # a program that unpacks itself has the zip at its end
            return "zip"
    raise WorkFailed(
        f"{archive} is neither a zip nor a tar archive, it begins with {head[:20]!r}.\n"
        "Delete it and download it again; a download that asks for a login saves a web page."
    )


def _list_members(archive: Path, file: BinaryIO, form: str) -> Iterator[tuple[Member, Chunks]]:
    with reading(archive):
        file.seek(0)
        if form in LISTED:
            yield from LISTED[form](file)
        else:
            yield from _list_tar(UNTAR[form](file))


def _list_zip(file: BinaryIO) -> Iterator[tuple[Member, Chunks]]:
    with zipfile.ZipFile(file) as zipped:
        for info in zipped.infolist():
            yield _zip_member(info), partial(_read_zip, zipped, info)


LISTED = {"zip": _list_zip, "7z": list_7z}


def _zip_member(info: zipfile.ZipInfo) -> Member:
    # zipfile cuts a name at a NUL; the uncut one is refused further on
    name = info.orig_filename if "\0" in info.orig_filename else info.filename
    mode = stat.S_IFMT(info.external_attr >> 16)
    kind = "folder" if name.endswith("/") or mode == stat.S_IFDIR else "file"
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Refused(name, "is a link, a device, a pipe or a socket inside a zip")
    if kind == "folder" and info.file_size:
        raise Refused(name, "is a folder with contents of its own")
    if info.flag_bits & 0x41:
        raise Refused(name, "is encrypted", "Unpack it yourself with its password, and use the folder.")
    if info.compress_type not in UNZIP_METHODS:
        why = f"uses compression method {info.compress_type}, which Python cannot read"
        raise Refused(name, why, "Unpack it with 7-Zip, and use the folder.")
    return Member(name, kind, info.file_size, "", _zip_mtime(info))


def _zip_mtime(info: zipfile.ZipInfo) -> float:
    try:
        return datetime(*info.date_time).timestamp()
    except (ValueError, OverflowError):  # month 0 and the like: common, and no reason to refuse
        return -1.0


def _read_zip(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    # zipfile silently cuts a member at its declared size: ask for one byte more, to see a longer one.
    asked = copy.copy(info)
    asked.file_size += 1
    # For bzip2 and lzma, zipfile inflates all of what it read at once; 4 kB become at most about 100 MB.
    step = BUFFER if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else 4096
    with zipped.open(asked) as source:
        while chunk := source.read(step):
            yield chunk


class _StrictHeader(tarfile.TarInfo):
    """tarfile takes a broken header for the end of the archive; here only the end mark ends it."""

    __slots__ = ()

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            header = super().fromtarfile(tar)
        except END_MARK:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error
        if header.size < 0:  # would send older tarfile versions back to an earlier header, forever
            raise tarfile.ReadError("negative size")
        return header


class _Bounded:
    """File object for tarfile, which reads a header of any declared length into memory."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self.seek, self.tell = stream, stream.seek, stream.tell

    def read(self, count: int) -> bytes:
        if not 0 <= count <= BUFFER:
            raise tarfile.ReadError(f"header of {count} bytes")
        return self._stream.read(count)


def _list_tar(stream: Stream) -> Iterator[tuple[Member, Chunks]]:
    bounded = cast(BinaryIO, _Bounded(stream))  # all that tarfile uses where it reads alone
    tar = tarfile.TarFile(fileobj=bounded, tarinfo=_StrictHeader, encoding="utf-8", errors="surrogateescape")
    while (info := tar.next()) is not None:
        # tarfile keeps every header, 2 kB each; getmembers() would read on to the end.
        tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
        kind = _tar_kind(info)
        size = info.size if kind == "file" else 0
        yield Member(info.name, kind, size, info.linkname, info.mtime), partial(_read_tar, tar, info)
    # Reading on to the end makes gzip, bzip2 and xz verify their checksums.
    padding = 0
    while chunk := stream.read(BUFFER):
        padding += len(chunk)
        if padding > MAX_PADDING or chunk.count(0) != len(chunk):
            raise tarfile.ReadError("more data after the end mark")


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isdev():
        raise Refused(info.name, "is a device file or a pipe")
    tests = {"file": info.isreg, "folder": info.isdir, "symlink": info.issym, "hardlink": info.islnk}
    for kind, test in tests.items():
        if test():
            return kind
    raise Refused(info.name, f"has the unknown type {info.type!r}")


def _read_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    source = tar.extractfile(info)
    if source is None:
        raise tarfile.ReadError(f"{info.name!r} is no file")
    with source:
        while chunk := source.read(BUFFER):
            yield chunk


# --- what is allowed ---


def check_members(
    archive: Path, file: BinaryIO, form: str, check: Callable[[int, int], None]
) -> Iterator[tuple[str, Member, Chunks]]:
    """Yield (clean path, member, its data) for each member, checked against all members before it.

    `check(count, total bytes)` as from `budget_check`. Raises Refused, also while a member's data is read,
    and WorkFailed where the archive is broken.
    """
    tree, total = _Tree(), 0
    for count, (member, chunks) in enumerate(_list_members(archive, file, form), start=1):
        path = clean_path(member.name)
        tree.add(path, member)
        total += member.size
        check(count, total)
        yield path, member, partial(_measured, archive, member, chunks)
    tree.check_links()


def _measured(archive: Path, member: Member, chunks: Chunks) -> Iterator[bytes]:
    left = member.size
    with reading(archive):
        for chunk in chunks():
            left -= len(chunk)
            if left < 0:
                raise Refused(member.name, f"holds more than the {member.size} bytes that it declares")
            yield chunk
        if left:
            raise EOFError(f"{member.name!r} lacks {left} bytes")


def clean_path(name: str) -> str:
    """Return the path without '.' and double slashes; '' is the folder itself."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not name:
        raise Refused(name, "has no name")
    if CONTROL.search(name):
        raise Refused(name, "has a NUL or control character in its name")
    if ABSOLUTE.match(name):
        raise Refused(name, "has an absolute path")
    if ".." in re.split(r"[/\\]", name):
        raise Refused(name, "leads out of the folder with '..'")
    if len(parts) > MAX_DEPTH:
        raise Refused(name, f"lies more than {MAX_DEPTH} folders deep")
    try:
        too_long = max((len(os.fsencode(part)) for part in parts), default=0) > 255
    except UnicodeEncodeError:
        raise Refused(name, "has a name that this system cannot write") from None
    if too_long:
        raise Refused(name, "has a name of more than 255 bytes")
    return "/".join(parts)


class _Tree:
    """The files, folders and links that the members so far would make."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {"": "folder"}
        self.links: dict[str, str] = {}

    def add(self, path: str, member: Member) -> None:
        """Refuse a member that would replace another one, or be written through one."""
        if path in self.kinds and (self.kinds[path], member.kind) != ("folder", "folder"):
            raise Refused(member.name, "has the same path as another member" if path else "has no name")
        parent = path
        while parent:
            parent = parent.rpartition("/")[0]
            known = self.kinds.setdefault(parent, "folder")
            if known != "folder":
                why = "through the link" if known == "symlink" else "below the file"
                raise Refused(member.name, f"would be written {why} {parent[:80]!r}")
        if member.kind == "symlink":
            self._add_symlink(path, member)
        # A second name for a symbolic link is not allowed either: from there, it leads elsewhere.
        if member.kind == "hardlink" and self.kinds.get(clean_path(member.target)) != "file":
            raise Refused(member.name, f"is a hard link to {member.target[:80]!r}, which is no earlier file")
        # A hard link is one more name of a file, and from here on counts as that file.
        self.kinds[path] = "file" if member.kind == "hardlink" else member.kind

    def _add_symlink(self, path: str, member: Member) -> None:
        target = member.target
        back = "\\" in target and ".." in re.split(r"[/\\]", target)
        if not target or len(target) > 4000 or CONTROL.search(target) or ABSOLUTE.match(target) or back:
            raise Refused(member.name, f"is a link out of the folder or to nowhere: {target[:80]!r}")
        self.links[path] = target

    def check_links(self) -> None:
        """Refuse links that leave the folder or run in a circle."""
        for path, target in self.links.items():
            if (why := self._escape(path)) is not None:
                raise Refused(path, f"is a link {why}: {target[:80]!r}")

    def _escape(self, path: str) -> str | None:
        """Follow one link, and the links on its way, as the system would; return what is wrong with it."""
        here, ahead, hops = [], path.split("/")[::-1], 0
        while ahead:
            part = ahead.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not here:
                    return "out of the folder"
                here.pop()
                continue
            link = self.links.get("/".join((*here, part)))
            if link is None:
                here.append(part)
                continue
            hops += 1
            if hops > MAX_HOPS:
                return f"that runs in a circle or through more than {MAX_HOPS} others"
            ahead += link.split("/")[::-1]
        return None


def budget_check(archive: Path, destination: Path, limit: int | None) -> Callable[[int, int], None]:
    """Return check(count, total bytes), which raises WorkFailed as soon as the archive is too large."""
    folder = next(path for path in (destination.absolute(), *destination.absolute().parents) if path.exists())
    free, archive_bytes = shutil.disk_usage(folder).free, size_of(archive)
    if limit is None:
        most, room = int(free * 0.95), f"{folder} has {free / 1e9:.2f} GB free, of which 5 % are kept"
    else:
        most, room = limit, f"the limit is {limit / 1e9:.2f} GB ({free / 1e9:.2f} GB are free)"

    def check(count: int, total: int) -> None:
        if count > MAX_MEMBERS:
            raise WorkFailed(f"{archive} has more than {MAX_MEMBERS:,} members.\n{DISTRUST}")
        grown = f"{archive} would grow to {total / 1e9:.2f} GB or more"
        if total > RATIO_FROM_BYTES and total > MAX_RATIO * archive_bytes:
            raise WorkFailed(f"{grown}, {MAX_RATIO} times its size: it looks like a bomb.\n{DISTRUST}")
        if total > most:
            raise WorkFailed(f"{grown}, and {room}.\nFree some space, or choose another folder.")

    return check
