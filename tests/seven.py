"""Writing 7z archives for tests: one solid block, or one a file, by any method that is read; packed headers or not."""

import bz2
import lzma
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from zlib import crc32

METHODS = {
    "copy": b"\0",
    "lzma": b"\x03\x01\x01",
    "lzma2": b"\x21",
    "deflate": b"\x04\x01\x08",
    "bzip2": b"\x04\x02\x02",
}


def write_seven(
    path: Path,
    files: Mapping[str, bytes | None],
    method: str = "lzma2",
    solid: bool = True,
    packed_header: bool = True,
    modes: Mapping[str, int] | None = None,
    code: bytes | None = None,
) -> None:
    """`files` by their names, folders with None; `modes` of Unix; `code` is said to be the method instead."""
    full = [content for content in files.values() if content]
    blocks = [full] if solid and full else [[content] for content in full]
    packed = [_pack(b"".join(block), method) for block in blocks]
    header = b"\x01"
    if blocks:
        header += b"\x04" + _streams(blocks, packed, method, code)
    header += b"\x05" + _files(files, modes or {}) + b"\0"
    body = b"".join(packed)
    if packed_header:
        small = _pack(header, "lzma")
        header = b"\x17" + _streams([[header]], [small], "lzma", None, len(body))
        body += small
    start = struct.pack("<QQI", len(body), len(header), crc32(header))
    signature = b"7z\xbc\xaf\x27\x1c\0\x04" + struct.pack("<I", crc32(start))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(signature + start + body + header)


def _pack(content: bytes, method: str) -> bytes:
    if method == "copy":
        return content
    if method == "deflate":
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(content) + packer.flush()
    if method == "bzip2":
        return bz2.compress(content)
    kind = lzma.FILTER_LZMA1 if method == "lzma" else lzma.FILTER_LZMA2
    return lzma.compress(content, lzma.FORMAT_RAW, filters=[{"id": kind, "dict_size": 1 << 20}])


def _coder(method: str, code: bytes | None) -> bytes:
    properties = {"lzma": b"\x5d" + struct.pack("<I", 1 << 20), "lzma2": b"\x10"}.get(method, b"")
    name = METHODS[method] if code is None else code
    flags = len(name) | (0x20 if properties else 0)
    return b"\x01" + bytes([flags]) + name + (number(len(properties)) + properties if properties else b"")


def _streams(
    blocks: Sequence[Sequence[bytes]], packed: Sequence[bytes], method: str, code: bytes | None, start: int = 0
) -> bytes:
    made = b"\x06" + number(start) + number(len(packed)) + b"\x09" + b"".join(number(len(p)) for p in packed) + b"\0"
    made += b"\x07\x0b" + number(len(blocks)) + b"\0" + _coder(method, code) * len(blocks)
    made += b"\x0c" + b"".join(number(sum(map(len, block))) for block in blocks)
    if all(len(block) == 1 for block in blocks):  # the block's checksum is the file's
        made += b"\x0a\x01" + b"".join(struct.pack("<I", crc32(block[0])) for block in blocks)
        return made + b"\0\0"
    sizes = b"".join(number(len(content)) for block in blocks for content in block[:-1])
    digests = b"".join(struct.pack("<I", crc32(content)) for block in blocks for content in block)
    made += b"\0\x08\x0d" + b"".join(number(len(block)) for block in blocks) + b"\x09" + sizes
    return made + b"\x0a\x01" + digests + b"\0\0"


def _files(files: Mapping[str, bytes | None], modes: Mapping[str, int]) -> bytes:
    made, names = number(len(files)), "".join(f"{name}\0" for name in files).encode("utf-16-le")
    empty = [not content for content in files.values()]
    if any(empty):
        made += _part(0x0E, _bits(empty)) + _part(0x0F, _bits([c == b"" for c in files.values() if not c]))
    made += _part(0x11, b"\0" + names)
    made += _part(0x14, b"\x01\0" + struct.pack("<Q", (1_600_000_000 + 11_644_473_600) * 10**7) * len(files))
    if modes:
        attributes = [modes.get(name, 0) << 16 | 0x8000 if name in modes else 0 for name in files]
        made += _part(0x15, b"\x01\0" + b"".join(struct.pack("<I", value) for value in attributes))
    return made + _part(0x19, b"\0\0") + b"\0"


def _part(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + number(len(content)) + content


def _bits(values: Sequence[bool]) -> bytes:
    padded = [*values, *[False] * (-len(values) % 8)]
    return bytes(sum(0x80 >> n for n, bit in enumerate(padded[k : k + 8]) if bit) for k in range(0, len(padded), 8))


def number(value: int) -> bytes:
    """7z's numbers: the first byte's leading ones count the bytes that follow, low ones first."""
    for more in range(8):
        if value < 1 << (7 * (more + 1)):
            first = (0xFF << (8 - more)) & 0xFF | value >> (8 * more)
            return bytes([first]) + (value & ((1 << (8 * more)) - 1)).to_bytes(more, "little")
    return b"\xff" + value.to_bytes(8, "little")
