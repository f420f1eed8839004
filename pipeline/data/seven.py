"""7z archives by the standard library: of LZMA, LZMA2 (with filters), Deflate, BZip2 or no compression.

Its header lists folders (here blocks: what is compressed as one stream) and the files that each block's output is cut
into, in their order. Numbers in it are not trusted: whatever does not fit is ValueError or EOFError.
"""

import bz2
import lzma
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO, Protocol

from pipeline.data.member import BUFFER, Chunks, Member, NotRead, Refused

MAGIC = b"7z\xbc\xaf\x27\x1c"
MAX_HEADER = 1 << 29  # bytes: 5 million names of 50 letters
MAX_DICTIONARY = 1 << 30  # bytes of memory that a stream may ask for; 7-Zip's ultra takes 64 MB
END, HEADER, MAIN_STREAMS, FILES, PACK, UNPACK, SUBSTREAMS, SIZE, CRC = 0, 1, 4, 5, 6, 7, 8, 9, 10
BLOCKS, SIZES, COUNTS, EMPTY, EMPTY_FILE, ANTI, NAMES, MTIME, ATTRIBUTES, ENCODED = (
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    20,
    21,
    23,
)
COPY, LZMA1, LZMA2, DEFLATE, BZIP2 = b"\0", b"\x03\x01\x01", b"\x21", b"\x04\x01\x08", b"\x04\x02\x02"
# Filters that stand before LZMA2, by their long names and their short ones.
DELTA, FILTERS = b"\x03", {
    b"\x03\x03\x01\x03": lzma.FILTER_X86, b"\x03\x03\x02\x05": lzma.FILTER_POWERPC,
    b"\x03\x03\x04\x01": lzma.FILTER_IA64, b"\x03\x03\x05\x01": lzma.FILTER_ARM,
    b"\x03\x03\x07\x01": lzma.FILTER_ARMTHUMB, b"\x03\x03\x08\x05": lzma.FILTER_SPARC,
    b"\x04": lzma.FILTER_X86, b"\x05": lzma.FILTER_POWERPC, b"\x06": lzma.FILTER_IA64, b"\x07": lzma.FILTER_ARM,
    b"\x08": lzma.FILTER_ARMTHUMB, b"\x09": lzma.FILTER_SPARC, b"\x03": lzma.FILTER_DELTA,
}  # fmt: skip
OTHERS = {
    b"\x03\x04\x01": "PPMd", b"\x06\xf1\x07\x01": "encryption", b"\x03\x03\x01\x1b": "BCJ2",
    b"\x04\x01\x09": "Deflate64", b"\x04\xf7\x11\x01": "Zstandard",
}  # fmt: skip
ADVICE = "Unpack it with 7-Zip, and use the folder."
UNIX = 0x8000  # of attributes: the upper half is a mode of Unix
EPOCH = 11_644_473_600  # seconds from 1601 to 1970


class Decoder(Protocol):
    """What turns compressed bytes into others, at most so many at a time; it keeps what it has not used."""

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


@dataclass(frozen=True)
class Coder:
    """One method of a block, with its properties."""

    method: bytes
    properties: bytes = b""


@dataclass
class Block:
    """What is compressed as one stream: by which method, where, and the sizes and checksums of what comes out.

    `filters` were applied before the method, the first one first.
    """

    coder: Coder
    filters: list[Coder] = field(default_factory=list)
    order: list[int] = field(default_factory=lambda: [0])  # places of filters and coder among the sizes of the header
    size: int = 0
    start: int = 0
    packed: int = 0
    crc: int | None = None
    sizes: list[int] = field(default_factory=list)
    crcs: list[int | None] = field(default_factory=list)


class _Bytes:
    """A header, read from its beginning."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.at:
            raise EOFError("the header ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """As many bytes follow as the first one has leading ones; its other bits are the highest."""
        first, value = self.byte(), 0
        for more in range(8):
            if not first & 0x80 >> more:
                return value | (first & (0x7F >> more)) << 8 * more
            value |= self.byte() << 8 * more
        return value

    def expect(self, wanted: int) -> None:
        found = self.byte()
        if found != wanted:
            raise ValueError(f"part {found} of the header, where {wanted} belongs")

    def bits(self, count: int) -> list[bool]:
        """`count` bits, the highest of a byte first."""
        packed = self.take((count + 7) // 8)
        return [bool(packed[n // 8] & 0x80 >> n % 8) for n in range(count)]

    def defined(self, count: int) -> list[bool]:
        """Bits, or a byte that stands for all of them."""
        if self.byte():
            _refuse_many(count, len(self.data))
            return [True] * count
        return self.bits(count)

    def crcs(self, count: int) -> list[int | None]:
        return [struct.unpack("<I", self.take(4))[0] if known else None for known in self.defined(count)]


def list_7z(file: BinaryIO) -> Iterator[tuple[Member, Chunks]]:
    """Each member with its data, which is read in the order of the members."""
    blocks, rest = _header(file)
    yield from _members(file, rest, blocks)


def _header(file: BinaryIO) -> tuple[list[Block], _Bytes]:
    """The blocks, and the header from where it lists the files."""
    file.seek(0, 2)
    length = file.tell()
    file.seek(0)
    start = file.read(32)
    if len(start) < 32:
        raise EOFError("its first bytes are not whole")
    crc, offset, size, header_crc = struct.unpack("<IQQI", start[8:])
    if zlib.crc32(start[12:32]) != crc or not 0 <= offset <= length - 32 or size > min(MAX_HEADER, length):
        raise ValueError("its first bytes contradict themselves or the file's length")
    if not size:
        return [], _Bytes(bytes([END]))
    file.seek(32 + offset)
    data = file.read(size)
    if len(data) < size or zlib.crc32(data) != header_crc:
        raise EOFError("its header is not whole")
    while data[:1] == bytes([ENCODED]):
        header = _Bytes(data[1:])
        (block,) = _streams(header, length)
        if block.size > MAX_HEADER:
            raise ValueError(f"a header of {block.size} bytes")
        data = b"".join(_unpacked(file, block))
        if len(data) != block.size or (block.crc is not None and zlib.crc32(data) != block.crc):
            raise EOFError("its header is not whole")
    header = _Bytes(data)
    header.expect(HEADER)
    part, blocks = header.byte(), list[Block]()
    if part == MAIN_STREAMS:
        blocks, part = _streams(header, length), header.byte()
    if part not in (FILES, END):
        raise ValueError(f"part {part} of the header, which is not read")
    return blocks, header if part == FILES else _Bytes(bytes([END]))


def _streams(header: _Bytes, length: int) -> list[Block]:
    """The blocks with where each is in the file, and what its output is cut into."""
    header.expect(PACK)
    start, count = 32 + header.number(), header.number()
    part, packed = header.byte(), list[int]()
    if part == SIZE:
        packed, part = [header.number() for _ in range(_fitting(count, header))], header.byte()
    if part == CRC:
        header.crcs(count)
        part = header.byte()
    if part != END:
        raise ValueError(f"part {part} of the header, where sizes belong")
    header.expect(UNPACK)
    blocks = _blocks(header)
    if len(blocks) != len(packed):
        raise ValueError(f"{len(packed)} streams for {len(blocks)} blocks")
    for block, size in zip(blocks, packed, strict=True):
        block.start, block.packed = start, size
        start += size
    if start > length:
        raise EOFError("streams beyond the end of the file")
    part = header.byte()
    if part == SUBSTREAMS:
        _cut(header, blocks)
        part = header.byte()
    if part != END:
        raise ValueError(f"part {part} of the header, where streams end")
    return blocks


def _blocks(header: _Bytes) -> list[Block]:
    header.expect(BLOCKS)
    count, external = header.number(), header.byte()
    if external:
        raise ValueError("a header in several parts")
    blocks = [_block(header) for _ in range(_fitting(count, header))]
    header.expect(SIZES)
    for block in blocks:
        sizes = [header.number() for _ in block.order]
        block.size = sizes[block.order[0]]
        block.sizes = [block.size]
    part = header.byte()
    if part == CRC:
        for block, crc in zip(blocks, header.crcs(len(blocks)), strict=True):
            block.crc, block.crcs = crc, [crc]
        part = header.byte()
    if part != END:
        raise ValueError(f"part {part} of the header, where blocks end")
    return blocks


def _block(header: _Bytes) -> Block:
    """How a block is compressed: by one method, or by LZMA2 of what filters made."""
    count = _fitting(header.number(), header)
    coders = [_coder(header) for _ in range(count)]
    if not coders:
        raise ValueError("a block without a method")
    bound = {header.number(): header.number() for _ in coders[1:]}  # a method's input is another one's output
    last = set(range(count)) - set(bound.values())
    order = [last.pop()] if last else []
    while order and order[-1] in bound:
        order.append(bound.pop(order[-1]))
    if sorted(order) != list(range(count)):
        raise ValueError("methods that do not follow each other")
    *filters, coder = [coders[place] for place in order]
    known = [each.method in FILTERS for each in filters] if coder.method == LZMA2 else [False] * len(filters)
    if coder.method not in (COPY, LZMA1, LZMA2, DEFLATE, BZIP2) or not all(known):
        odd = next((each for each, own in zip(filters, known, strict=True) if not own), coder)
        raise _not_read(odd.method)
    return Block(coder, filters, order)


def _coder(header: _Bytes) -> Coder:
    flags = header.byte()
    method = header.take(flags & 0x0F)
    if flags & 0x10:  # several streams in or out
        raise _not_read(method)
    return Coder(method, header.take(header.number()) if flags & 0x20 else b"")


def _not_read(method: bytes) -> NotRead:
    name = OTHERS.get(method, "a filter before another method than LZMA2" if method in FILTERS else "")
    return NotRead(f"is compressed by {name or f'method {method.hex()}'}, which is not read here", ADVICE)


def _cut(header: _Bytes, blocks: list[Block]) -> None:
    """What each block's output is cut into."""
    part, counts = header.byte(), [1] * len(blocks)
    if part == COUNTS:
        counts, part = [header.number() for _ in blocks], header.byte()
    for block, count in zip(blocks, counts, strict=True):
        said = [header.number() for _ in range(_fitting(count - 1, header))] if part == SIZE and count > 1 else []
        left = block.size - sum(said)
        if left < 0 or (count > 1 and part != SIZE):
            raise ValueError("files larger than their block")
        block.sizes = [*said, left] if count else []
    part = header.byte() if part == SIZE else part
    known = [len(block.sizes) == 1 and block.crc is not None for block in blocks]
    missing = sum(len(block.sizes) for block, own in zip(blocks, known, strict=True) if not own)
    crcs = iter(header.crcs(missing) if part == CRC else [None] * missing)
    for block, own in zip(blocks, known, strict=True):
        block.crcs = [block.crc] if own else [next(crcs) for _ in block.sizes]
    if (header.byte() if part == CRC else part) != END:
        raise ValueError("checksums that do not end")


def _members(file: BinaryIO, header: _Bytes, blocks: list[Block]) -> Iterator[tuple[Member, Chunks]]:
    """The files in their order; those without a stream are empty, or folders."""
    count = 0 if header.data == bytes([END]) else header.number()
    _refuse_many(count, len(header.data))
    names, times, modes = [""] * count, [-1.0] * count, [0] * count
    empty, plain = [False] * count, list[bool]()
    while (part := header.byte()) != END:
        own = _Bytes(header.take(header.number()))
        if part == EMPTY:
            empty = own.bits(count)
        elif part == EMPTY_FILE:
            plain = own.bits(sum(empty))
        elif part == ANTI:
            raise NotRead("says what is to be deleted", ADVICE)
        elif part == NAMES:
            own.expect(0)
            names = own.data[1:].decode("utf-16-le", "surrogatepass").split("\0")[:-1]
        elif part == MTIME:
            times = [stamp / 10**7 - EPOCH if stamp else -1.0 for stamp in _values(own, count, "<Q")]
        elif part == ATTRIBUTES:
            modes = _values(own, count, "<I")
    if len(names) != count:
        raise ValueError(f"{len(names)} names for {count} files")
    streams = iter([(block, n) for block in blocks for n in range(len(block.sizes))])
    files = iter(plain or [False] * sum(empty))
    solid = _Solid(file)
    for name, time, mode, bare in zip(names, times, modes, empty, strict=True):
        if mode & UNIX and stat.S_IFMT(mode >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise Refused(name, "is a link, a device, a pipe or a socket inside a 7z archive")
        if bare:
            kind = "file" if next(files) else "folder"
            yield Member(name, kind, 0, "", time), lambda: iter(())
            continue
        block, number = next(streams, (None, 0))
        if block is None:
            raise ValueError("more files than streams")
        yield Member(name, "file", block.sizes[number], "", time), partial(solid.read, block, number)


def _values(own: _Bytes, count: int, form: str) -> list[int]:
    known = own.defined(count)
    own.expect(0)
    return [struct.unpack(form, own.take(struct.calcsize(form)))[0] if there else 0 for there in known]


class _Solid:
    """Reads the files of blocks one after the other, each block once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._block: Block | None = None
        self._next, self._left, self._chunks = 0, b"", iter(())

    def read(self, block: Block, number: int) -> Iterator[bytes]:
        """A file's data, its checksum verified."""
        if block is not self._block or number < self._next:
            self._block, self._next, self._left, self._chunks = block, 0, b"", _unpacked(self._file, block)
        while self._next < number:
            for _ in self._file_of(block, self._next):
                pass
        yield from self._file_of(block, number)

    def _file_of(self, block: Block, number: int) -> Iterator[bytes]:
        left, crc, wanted = block.sizes[number], 0, block.crcs[number]
        while left:
            chunk = self._left or next(self._chunks, b"")
            if not chunk:
                raise EOFError(f"a block of it lacks {left} bytes")
            chunk, self._left = chunk[:left], chunk[left:]
            left -= len(chunk)
            crc = zlib.crc32(chunk, crc)
            yield chunk
        self._next = number + 1
        if wanted is not None and crc != wanted:
            raise ValueError("a file's checksum is wrong")


def _unpacked(file: BinaryIO, block: Block) -> Iterator[bytes]:
    """A block's output in pieces, never more than it declares."""
    decoder, place, packed, left = _decoder(block), block.start, block.packed, block.size
    while left:
        data = b""
        if decoder.needs_input:
            file.seek(place)
            data = file.read(min(BUFFER, packed))
            if not data:
                return
            place, packed = place + len(data), packed - len(data)
        chunk = decoder.decompress(data, min(left, BUFFER))
        left -= len(chunk)
        if chunk:
            yield chunk


def _decoder(block: Block) -> Decoder:
    method = block.coder.method
    if method == COPY:
        return _Copied()
    if method == DEFLATE:
        return _Deflated()
    if method == BZIP2:
        return bz2.BZ2Decompressor()
    chain = [_filter(each) for each in block.filters]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[*chain, _lzma(block.coder, block.size)])


def _filter(coder: Coder) -> dict[str, int]:
    if coder.method == DELTA:
        if len(coder.properties) != 1:
            raise ValueError("properties of a method that it does not have")
        return {"id": lzma.FILTER_DELTA, "dist": coder.properties[0] + 1}
    return {"id": FILTERS[coder.method]}


def _lzma(coder: Coder, size: int) -> dict[str, int]:
    """The filter of a coder that makes `size` bytes."""
    if len(coder.properties) != (5 if coder.method == LZMA1 else 1):
        raise ValueError("properties of a method that it does not have")
    if coder.method == LZMA1:
        first, dictionary = struct.unpack("<BI", coder.properties)
        rest, lc = divmod(first, 9)
        pb, lp = divmod(rest, 5)
        found = {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": max(dictionary, 4096)}
    else:
        said = coder.properties[0]
        found = {"id": lzma.FILTER_LZMA2, "dict_size": (2 | said & 1) << said // 2 + 11}
    found["dict_size"] = min(found["dict_size"], max(size, 4096))  # nothing lies further back
    if found["dict_size"] > MAX_DICTIONARY:
        raise NotRead("needs a dictionary of more than 1 GB", ADVICE)
    return found


class _Copied:
    """Data that is not compressed."""

    def __init__(self) -> None:
        self._data = b""

    @property
    def needs_input(self) -> bool:
        return not self._data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        data = self._data + data
        self._data = data[max_length:]
        return data[:max_length]


class _Deflated:
    """zlib's decoder as those of lzma and bz2 are."""

    def __init__(self) -> None:
        self._decoder, self.needs_input = zlib.decompressobj(-zlib.MAX_WBITS), True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        chunk = self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)
        self.needs_input = not self._decoder.unconsumed_tail and len(chunk) < max_length
        if self._decoder.eof and not chunk:
            raise EOFError("a block of it ends too early")
        return chunk


def _fitting(count: int, header: _Bytes) -> int:
    """A count of things of a byte and more each, which the rest of the header must be able to hold."""
    if count > len(header.data) - header.at:
        raise EOFError("the header ends too early")
    return max(count, 0)


def _refuse_many(count: int, held: int) -> None:
    if count > 8 * held:
        raise ValueError(f"{count} files in a header of {held} bytes")
