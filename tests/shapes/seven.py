"""Writing a 7z archive, as far as a drawn download needs it: one solid block of LZMA2, names, sizes, checksums."""

import lzma
import struct
from pathlib import Path
from zlib import crc32

DICTIONARY, DICTIONARY_SAID = 1 << 20, 16  # 2 << (16 / 2 + 11) bytes


def write_7z(place: Path, path: Path, above: Path) -> None:
    """A 7z archive of a file, or of all files below a folder, named by their paths below `above`."""
    files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
    contents = [file.read_bytes() for file in files]
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": DICTIONARY}]
    packed = lzma.compress(b"".join(contents), lzma.FORMAT_RAW, filters=filters)
    names = "".join(file.relative_to(above).as_posix() + "\0" for file in files).encode("utf-16-le")
    header = b"\x01\x04" + _streams(packed, contents) + b"\x05" + _number(len(files))
    header += b"\x11" + _number(len(names) + 1) + b"\0" + names + b"\0\0"
    start = struct.pack("<QQI", len(packed), len(header), crc32(header))
    signature = b"7z\xbc\xaf\x27\x1c\0\x04" + struct.pack("<I", crc32(start))
    path.write_bytes(signature + start + packed + header)


def _streams(packed: bytes, contents: list[bytes]) -> bytes:
    """One packed stream, one coder, and the files that its output is cut into."""
    pack = b"\x06\0\x01\x09" + _number(len(packed)) + b"\0"
    coder = b"\x07\x0b\x01\0\x01\x21\x21\x01" + bytes([DICTIONARY_SAID])
    coder += b"\x0c" + _number(sum(map(len, contents))) + b"\0"
    parts = b"\x08\x0d" + _number(len(contents))
    if len(contents) > 1:
        parts += b"\x09" + b"".join(_number(len(content)) for content in contents[:-1])
    digests = b"".join(struct.pack("<I", crc32(content)) for content in contents)
    return pack + coder + parts + b"\x0a\x01" + digests + b"\0\0"


def _number(value: int) -> bytes:
    """7z's numbers: the first byte's leading ones count the bytes that follow, low ones first."""
    for more in range(8):
        if value < 1 << (7 * (more + 1)):
            first = (0xFF << (8 - more)) & 0xFF | value >> (8 * more)
            return bytes([first]) + (value & ((1 << (8 * more)) - 1)).to_bytes(more, "little")
    return b"\xff" + value.to_bytes(8, "little")
