"""The text of a file: out of gzip or a zip of one table, from UTF-8, UTF-16, Latin-1, or the encoding that is said."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from pipeline.data.encodings import latin_text, letters_beyond, looks_latin, others_in_words
from pipeline.data.member import Refused
from pipeline.data.seven import MAGIC, list_7z

ENDINGS = (".zip", ".gz", ".bz2", ".xz", ".7z")  # of tables that are packed
LIMIT = 16 << 30  # bytes that a compressed table may unpack to
HEAD = 1 << 16  # bytes that show whether UTF-16 has lost its byte-order mark
CHANCE = 2  # letters beyond ASCII
PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))
FOREIGN = {
    b"PAR1": "Parquet", b"\xd0\xcf\x11\xe0": "an Excel workbook", b"\x89HDF": "HDF5", b"SQLite format 3": "SQLite",
    b"\x93NUMPY": "a NumPy array", b"ARROW1": "Arrow", b"FEA1": "Feather", b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "compressed by zstd", b"\x80\x04\x95": "a Python pickle",
}  # fmt: skip
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF8, "utf-8-sig"),
)  # fmt: skip


class Unreadable(ValueError):
    """Why a file is no table, in words that follow its name."""


class Text(NamedTuple):
    """A text as UTF-8 without a byte-order mark; where it was taken for Latin-1, a word of it that shows so."""

    content: bytes
    latin: str | None = None


def text_of(path: Path, encoding: str | None = None, most: int | None = None) -> Text:
    """The text of a file. `encoding`: what it is in where it is not UTF-8, nor UTF-16 with its mark.

    With `most`, of a file that is longer and not compressed the whole lines of so many bytes. Raises OSError, or
    Unreadable for what is no text, or no text in any of these.
    """
    path = as_it_lies(path)
    data = _unpacked(_lines(path, most) or path.read_bytes())
    if len(data) > LIMIT:
        raise Unreadable(f"it unpacks to more than {LIMIT >> 30} GB")
    for magic, what in FOREIGN.items():
        if data.startswith(magic):
            raise Unreadable(f"it is {what}; save it as CSV in UTF-8")
    return _utf8(data, encoding)


def as_it_lies(path: Path) -> Path:
    """The file, or the one of its name that is packed, train.csv.zip, where it is not there."""
    if path.exists():
        return path
    return next((packed for end in ENDINGS if (packed := path.with_name(path.name + end)).is_file()), path)


def _lines(path: Path, most: int | None) -> bytes:
    """The first whole lines of a long file; nothing of any other."""
    if most is None or path.stat().st_size <= most:
        return b""
    with path.open("rb") as file:
        data = file.read(most)
    packed = data.startswith((b"PK\x03\x04", MAGIC, *(magic for magic, _ in PACKED)))
    return b"" if packed else data[: data.rfind(b"\n") + 1]


def _unpacked(data: bytes) -> bytes:
    try:
        if data.startswith(b"PK\x03\x04"):
            return _only_member(data)
        if data.startswith(MAGIC):
            return _only_file(data)
        for magic, open_packed in PACKED:
            if data.startswith(magic):
                with open_packed(io.BytesIO(data), "rb") as file:
                    return file.read(LIMIT + 1)
    except Unreadable:
        raise
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as e:
        raise Unreadable(f"it is compressed, and broken: {e}") from None
    return data


def _only_file(data: bytes) -> bytes:
    """The one file of a 7z archive."""
    try:
        files = [(member, chunks) for member, chunks in list_7z(io.BytesIO(data)) if member.kind == "file"]
        if len(files) != 1:
            shown = ", ".join(member.name for member, _ in files[:4]) + (", ..." if len(files) > 4 else "")
            raise Unreadable(f"a 7z that is read as a table holds one file, and this one {len(files)}: {shown}")
        member, chunks = files[0]
        if member.size > LIMIT:
            raise Unreadable(f"it unpacks to more than {LIMIT >> 30} GB")
        return b"".join(chunks())
    except Refused as refusal:
        raise Unreadable(str(refusal).replace("\n", " ")) from None


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


def _utf8(data: bytes, said: str | None) -> Text:
    mark = next((encoding for mark, encoding in MARKS if data.startswith(mark)), None)
    if mark is None and said is None:
        mark = _without_mark(data)
    if mark is not None:
        try:
            text = data.decode(mark)
        except UnicodeDecodeError as error:
            raise Unreadable(f"its first bytes say {mark.removesuffix('-sig')}, but {error.reason}") from None
        if mark != "utf-8-sig" and "\n" not in text and "\r" not in text:
            raise Unreadable(f"as {mark} it has no line of text")
        data = text.encode("utf-8", "surrogatepass")
    elif said is not None and (data.isascii() or not _is_utf8(data)):
        data = _by(data, said)
    if b"\x00" in data:
        raise Unreadable("it is no text: it holds NUL bytes")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        _refuse_broken(data, error.start)
        return _latin(data)
    return Text(data)


def _is_utf8(data: bytes) -> bool:
    """Whether a text is UTF-8 by more than chance: one or two letters of GBK or EUC may be so."""
    try:
        return sum(letter > "\x7f" for letter in set(data.decode())) > CHANCE
    except UnicodeDecodeError:
        return False


def _by(data: bytes, said: str) -> bytes:
    """The text by the encoding that is said."""
    try:
        return data.decode(said).encode()
    except UnicodeDecodeError as error:
        line = 1 + data.count(b"\n", 0, error.start)
        raise Unreadable(f"it is not in {said!r}, as data.encoding says: line {line}, {error.reason}") from None


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
        raise Unreadable(
            f"it is UTF-8 but for {broken} bytes, the first of them in line {line}; save it anew as UTF-8, or say "
            "data.encoding"
        )


def _latin(data: bytes) -> Text:
    """By Windows' Latin-1, where its letters look so: nothing else tells 8-bit encodings apart."""
    text = latin_text(data)
    words = letters_beyond(text)
    if not looks_latin(words):
        raise Unreadable(
            f"it is not UTF-8, and as Latin-1 its words look wrong, such as {max(words, key=len)[:20]!r}; say "
            f"data.encoding, {others_in_words(data, words)}"
        )
    return Text(text.encode(), next((word for word in words if len(word) > 1), next(iter(words), text[:20])))
