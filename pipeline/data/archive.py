"""Archives: zip, tar, tar.gz, tar.bz2 and tar.xz, unpacked as a whole or not at all.

An archive comes from the network, so it is not trusted. Every member is checked before the first byte is
written, and again while writing: the second pass relies on nothing that the first one saw.
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
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO

from pipeline.errors import WorkFailed

BUFFER = 1 << 20
MAX_MEMBERS = 5_000_000
MAX_DEPTH = 100  # shutil.rmtree recurses: a deeper tree could be written, but not removed again
MAX_HOPS = 40  # links followed in one path, as in the Linux kernel
MAX_PADDING = 64 << 20  # zeros after the end mark of a tar; real ones have a few kB
# Photos reach a ratio of 1 and tables of text about 20; only a bomb, or a file of zeros, passes 200.
# Small totals may: a folder of empty masks is harmless, and so is a bomb that fills less than 1 GB.
MAX_RATIO, RATIO_FROM_BYTES = 200, 10**9

FIRST_BYTES = {b"PK": "zip", b"\x1f\x8b": "tar.gz", b"BZh": "tar.bz2", b"\xfd7zXZ\0": "tar.xz"}
UNTAR: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    "tar": lambda file: file,
    "tar.gz": partial(gzip.GzipFile, None, "rb", 9),
    "tar.bz2": bz2.BZ2File,
    "tar.xz": lzma.LZMAFile,
}
UNZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
# What the standard library raises on broken input, besides an OSError without a number (gzip, bz2).
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, MemoryError)
BROKEN += (ValueError, LookupError, ArithmeticError, RuntimeError)  # numbers, offsets, recursion
CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f]")
ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")
DISTRUST = "Do not use this archive: download it again, or get it from another source."

Progress = Callable[[int, int], None]
Chunks = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Member:
    """What the archive declares; `size` in bytes, `mtime` in seconds since 1970, `name` still untrusted."""

    name: str
    kind: str  # file | folder | symlink | hardlink
    size: int
    target: str
    mtime: float


class _Refused(Exception):
    def __init__(self, name: str, why: str, advice: str = DISTRUST):
        shown = name if len(name) <= 120 else f"{name[:80]}...{name[-30:]}"
        super().__init__(f"member {shown!r} {why}, so the archive was not unpacked.\n{advice}")


def unpack(
    archive: Path, destination: Path, limit_bytes: int | None = None, progress: Progress | None = None
) -> None:
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
            os.rename(temporary, destination)
            _sync_folder(destination.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # the first error counts; the next run tries again
        raise


def extract(
    archive: Path, destination: Path, limit_bytes: int | None = None, progress: Progress | None = None
) -> None:
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
    with _reading(archive):
        file = archive.open("rb")
    with file:
        try:
            form = _detect_format(archive, file)
            with _writing(destination):
                check = _budget_check(archive, destination, limit_bytes)
            total = sum(member.size for _, member, _ in _checked(archive, file, form, check))
            with _writing(destination):
                destination.mkdir(mode=0o755, parents=True, exist_ok=True)
            counts = _write_members(destination, _checked(archive, file, form, check))
            _report(counts, total, progress or (lambda done, total: None))
        except _Refused as refusal:
            raise WorkFailed(f"{archive}: {refusal}") from None


# --- errors ---


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
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


# --- what the archive declares ---


def _detect_format(archive: Path, file: BinaryIO) -> str:
    with _reading(archive):
        head = file.read(512)
        try:
            # First, and with its checksum: a tar begins with a member's name, which may be "PK" or "BZh".
            tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
            return "tar"
        except tarfile.EOFHeaderError:
            return "tar"  # begins with the end mark: no members
        except tarfile.HeaderError:
            forms = [form for magic, form in FIRST_BYTES.items() if head.startswith(magic)]
        if forms or zipfile.is_zipfile(file):  # a program that unpacks itself has the zip at its end
            return (*forms, "zip")[0]
    raise WorkFailed(
        f"{archive} is neither a zip nor a tar archive, it begins with {head[:20]!r}.\n"
        "Delete it and download it again; a download that asks for a login saves a web page."
    )


def _list_members(archive: Path, file: BinaryIO, form: str) -> Iterator[tuple[Member, Chunks]]:
    with _reading(archive):
        file.seek(0)
        yield from _list_zip(file) if form == "zip" else _list_tar(UNTAR[form](file))


def _list_zip(file: BinaryIO) -> Iterator[tuple[Member, Chunks]]:
    with zipfile.ZipFile(file) as zipped:
        for info in zipped.infolist():
            yield _zip_member(info), partial(_read_zip, zipped, info)


def _zip_member(info: zipfile.ZipInfo) -> Member:
    # zipfile cuts a name at a NUL; the uncut one is refused further on
    name = info.orig_filename if "\0" in info.orig_filename else info.filename
    mode = stat.S_IFMT(info.external_attr >> 16)
    kind = "folder" if name.endswith("/") or mode == stat.S_IFDIR else "file"
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _Refused(name, "is a link, a device, a pipe or a socket inside a zip")
    if kind == "folder" and info.file_size:
        raise _Refused(name, "is a folder with contents of its own")
    if info.flag_bits & 0x41:
        raise _Refused(name, "is encrypted", "Unpack it yourself with its password, and use the folder.")
    if info.compress_type not in UNZIP_METHODS:
        why = f"uses compression method {info.compress_type}, which Python cannot read"
        raise _Refused(name, why, "Unpack it with 7-Zip, and use the folder.")
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
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error
        if header.size < 0:  # would send older tarfile versions back to an earlier header, forever
            raise tarfile.ReadError("negative size")
        return header


class _Bounded:
    """File object for tarfile, which reads a header of any declared length into memory."""

    def __init__(self, stream: BinaryIO):
        self._stream, self.seek, self.tell = stream, stream.seek, stream.tell

    def read(self, count: int) -> bytes:
        if not 0 <= count <= BUFFER:
            raise tarfile.ReadError(f"header of {count} bytes")
        return self._stream.read(count)


def _list_tar(stream: BinaryIO) -> Iterator[tuple[Member, Chunks]]:
    tar = tarfile.TarFile(
        fileobj=_Bounded(stream), tarinfo=_StrictHeader, encoding="utf-8", errors="surrogateescape"
    )
    while (info := tar.next()) is not None:
        tar.members.clear()  # tarfile keeps every header, 2 kB each
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
        raise _Refused(info.name, "is a device file or a pipe")
    tests = {"file": info.isreg, "folder": info.isdir, "symlink": info.issym, "hardlink": info.islnk}
    for kind, test in tests.items():
        if test():
            return kind
    raise _Refused(info.name, f"has the unknown type {info.type!r}")


def _read_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    with tar.extractfile(info) as source:
        while chunk := source.read(BUFFER):
            yield chunk


# --- what is allowed ---


def _checked(
    archive: Path, file: BinaryIO, form: str, check: Callable[[int, int], None]
) -> Iterator[tuple[str, Member, Chunks]]:
    """Yield (clean path, member, its data) for each member, checked against all members before it."""
    tree, total = _Tree(), 0
    for count, (member, chunks) in enumerate(_list_members(archive, file, form), start=1):
        path = _clean_path(member.name)
        tree.add(path, member)
        total += member.size
        check(count, total)
        yield path, member, partial(_measured, archive, member, chunks)
    tree.check_links()


def _clean_path(name: str) -> str:
    """Return the path without '.' and double slashes; '' is the folder itself."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not name:
        raise _Refused(name, "has no name")
    if CONTROL.search(name):
        raise _Refused(name, "has a NUL or control character in its name")
    if ABSOLUTE.match(name):
        raise _Refused(name, "has an absolute path")
    if ".." in re.split(r"[/\\]", name):
        raise _Refused(name, "leads out of the folder with '..'")
    if len(parts) > MAX_DEPTH:
        raise _Refused(name, f"lies more than {MAX_DEPTH} folders deep")
    try:
        too_long = max((len(os.fsencode(part)) for part in parts), default=0) > 255
    except UnicodeEncodeError:
        raise _Refused(name, "has a name that this system cannot write") from None
    if too_long:
        raise _Refused(name, "has a name of more than 255 bytes")
    return "/".join(parts)


class _Tree:
    """The files, folders and links that the members so far would make."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {"": "folder"}
        self.links: dict[str, str] = {}

    def add(self, path: str, member: Member) -> None:
        """Refuse a member that would replace another one, or be written through one."""
        if path in self.kinds and not self.kinds[path] == member.kind == "folder":
            raise _Refused(member.name, "has the same path as another member" if path else "has no name")
        parent = path
        while parent:
            parent = parent.rpartition("/")[0]
            known = self.kinds.setdefault(parent, "folder")
            if known != "folder":
                why = "through the link" if known == "symlink" else "below the file"
                raise _Refused(member.name, f"would be written {why} {parent[:80]!r}")
        if member.kind == "symlink":
            self._add_symlink(path, member)
        # A second name for a symbolic link is not allowed either: from there, it leads elsewhere.
        if member.kind == "hardlink" and self.kinds.get(_clean_path(member.target)) != "file":
            raise _Refused(member.name, f"is a hard link to {member.target[:80]!r}, which is no earlier file")
        # A hard link is one more name of a file, and from here on counts as that file.
        self.kinds[path] = "file" if member.kind == "hardlink" else member.kind

    def _add_symlink(self, path: str, member: Member) -> None:
        target = member.target
        back = "\\" in target and ".." in re.split(r"[/\\]", target)
        if not target or len(target) > 4000 or CONTROL.search(target) or ABSOLUTE.match(target) or back:
            raise _Refused(member.name, f"is a link out of the folder or to nowhere: {target[:80]!r}")
        self.links[path] = target

    def check_links(self) -> None:
        """Refuse links that leave the folder or run in a circle."""
        for path, target in self.links.items():
            if (why := self._escape(path)) is not None:
                raise _Refused(path, f"is a link {why}: {target[:80]!r}")

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
                return "that runs in a circle"
            ahead += link.split("/")[::-1]
        return None


def _budget_check(archive: Path, destination: Path, limit: int | None) -> Callable[[int, int], None]:
    """Return check(count, total bytes), which raises WorkFailed as soon as the archive is too large."""
    folder = next(path for path in (destination.absolute(), *destination.absolute().parents) if path.exists())
    free, archive_bytes = shutil.disk_usage(folder).free, archive.stat().st_size
    room = f"{folder} has {free / 1e9:.2f} GB free, of which 5 % are kept"
    if limit is not None:
        room = f"the limit is {limit / 1e9:.2f} GB ({free / 1e9:.2f} GB are free)"
    most = int(free * 0.95) if limit is None else limit

    def check(count: int, total: int) -> None:
        if count > MAX_MEMBERS:
            raise WorkFailed(f"{archive} has more than {MAX_MEMBERS:,} members.\n{DISTRUST}")
        grown = f"{archive} would grow to {total / 1e9:.2f} GB or more"
        if total > RATIO_FROM_BYTES and total > MAX_RATIO * archive_bytes:
            raise WorkFailed(f"{grown}, {MAX_RATIO} times its size: it looks like a bomb.\n{DISTRUST}")
        if total > most:
            raise WorkFailed(f"{grown}, and {room}.\nFree some space, or choose another folder.")

    return check


# --- writing ---


def _measured(archive: Path, member: Member, chunks: Chunks) -> Iterator[bytes]:
    left = member.size
    with _reading(archive):
        for chunk in chunks():
            left -= len(chunk)
            if left < 0:
                raise _Refused(member.name, f"holds more than the {member.size} bytes that it declares")
            yield chunk
        if left:
            raise EOFError(f"{member.name!r} lacks {left} bytes")


def _write_members(destination: Path, members: Iterator[tuple[str, Member, Chunks]]) -> Iterator[int]:
    """Write the members, yielding the number of bytes after each piece; symbolic links come last of all."""
    links = []
    for path, member, chunks in members:
        full = os.path.join(destination, path)
        with _writing(full):
            os.makedirs(full if member.kind == "folder" else os.path.dirname(full), 0o755, exist_ok=True)
            if member.kind == "hardlink":
                original = os.path.join(destination, _clean_path(member.target))
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


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
