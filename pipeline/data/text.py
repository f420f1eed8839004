"""The text of a file: out of gzip or a zip of one table, from UTF-8, UTF-16 or Windows' and Unix' Latin-1."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zipfile
import zlib
from pathlib import Path

LIMIT = 16 << 30  # bytes that a compressed table may unpack to
HEAD = 1 << 16  # bytes that show whether UTF-16 has lost its byte-order mark
PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))
FOREIGN = {
    b"PAR1": "Parquet", b"\xd0\xcf\x11\xe0": "an Excel workbook", b"\x89HDF": "HDF5", b"SQLite format 3": "SQLite",
    b"\x93NUMPY": "a NumPy array", b"ARROW1": "Arrow", b"FEA1": "Feather", b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive", b"\x28\xb5\x2f\xfd": "compressed by zstd", b"\x80\x04\x95": "a Python pickle",
}  # fmt: skip
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF8, "utf-8-sig"),
)  # fmt: skip


class Unreadable(ValueError):
    """Why a file is no table, in words that follow its name."""


def text_of(path: Path) -> bytes:
    """The text of a file as UTF-8 without a byte-order mark. Raises OSError, or Unreadable for what is no text."""
    data = _unpacked(path.read_bytes())
    if len(data) > LIMIT:
        raise Unreadable(f"it unpacks to more than {LIMIT >> 30} GB")
    for magic, what in FOREIGN.items():
        if data.startswith(magic):
            raise Unreadable(f"it is {what}; save it as CSV in UTF-8")
    return _utf8(data)


def _unpacked(data: bytes) -> bytes:
    try:
        if data.startswith(b"PK\x03\x04"):
            return _only_member(data)
        for magic, open_packed in PACKED:
            if data.startswith(magic):
                with open_packed(io.BytesIO(data), "rb") as file:
                    return file.read(LIMIT + 1)
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as e:
        raise Unreadable(f"it is compressed, and broken: {e}") from None
    return data


def _only_member(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if "[Content_Types].xml" in archive.namelist():
            raise Unreadable("it is an Excel workbook; save it as CSV in UTF-8")
        hidden = re.compile(r"(^|/)(\.|__MACOSX/)")
        names = [name for name in archive.namelist() if not name.endswith("/") and not hidden.search(name)]
        if len(names) != 1:
            shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
            raise Unreadable(f"a zip that is read as a table holds one file, and this one {len(names)}: {shown}")
        with archive.open(names[0]) as file:
            return file.read(LIMIT + 1)


def _utf8(data: bytes) -> bytes:
    mark = next((encoding for mark, encoding in MARKS if data.startswith(mark)), None) or _without_mark(data)
    if mark is not None:
        try:
            text = data.decode(mark)
        except UnicodeDecodeError as error:
            raise Unreadable(f"its first bytes say {mark.removesuffix('-sig')}, but {error.reason}") from None
        if mark != "utf-8-sig" and "\n" not in text and "\r" not in text:
            raise Unreadable(f"as {mark} it has no line of text")
        data = text.encode("utf-8", "surrogatepass")
    if b"\x00" in data:
        raise Unreadable("it is no text: it holds NUL bytes")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        _refuse_broken(data, error.start)
        return _latin(data).encode()
    return data


def _without_mark(data: bytes) -> str | None:
    """UTF-16 without its mark: of ASCII, every other byte is a NUL."""
    even, odd = data[:HEAD:2].count(0), data[1:HEAD:2].count(0)
    half = min(len(data), HEAD) / 2
    if len(data) % 2 or even + odd < 0.4 * half:
        return None
    return "utf-16-le" if odd > 8 * even else "utf-16-be" if even > 8 * odd else None


def _refuse_broken(data: bytes, first: int) -> None:
    """UTF-8 with a few broken bytes is no Latin-1: as such its other letters would be wrong."""
    beyond = re.findall("[^\x00-\x7f]", data.decode("utf-8", "surrogateescape"))
    broken = sum("\udc80" <= letter <= "\udcff" for letter in beyond)
    if broken < len(beyond) - broken:
        line = data.count(b"\n", 0, first) + 1
        raise Unreadable(f"it is UTF-8 but for {broken} bytes, the first of them in line {line}; save it anew as UTF-8")


def _latin(data: bytes) -> str:
    try:
        return data.decode("cp1252")  # Latin-1 with quotes and dashes where that has control characters
    except UnicodeDecodeError:
        return data.decode("latin-1")
