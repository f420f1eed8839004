"""Building a presize cache: every image decoded and resized once, by streaming, to be taken up after a kill."""

import hashlib
import json
import os
import shutil
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from pipeline.data.boxes import cut_out, size_of
from pipeline.data.channels import RGB, Channels
from pipeline.data.levels import Levels
from pipeline.data.several import digest_of, read_content, state_of
from pipeline.errors import WorkFailed
from pipeline.machine import lock_or_wait, reserve
from pipeline.vision import CACHE_VERSION
from pipeline.vision.config import Resize
from pipeline.vision.layout import Form, pack
from pipeline.vision.memory import keep_freed_memory
from pipeline.vision.presize import frame_of, presize, read_pixels
from pipeline.workspace import ABOUT, INDEX, PIXELS, explained, read_json, swap_folder, write_json, write_with

JOURNAL = "rows.jsonl"
JPEG_SIDE = 65_500  # pixels, of libjpeg


@dataclass(frozen=True)
class Source:
    """An image to presize: its path below the raw folder, and what its audit found (upright pixels); `levels` are those
    by which the images of its set are read that have more than 8 bits, `channels` those of all of them. `cut` is the
    part of it, '' for all.
    """

    path: str
    sha256: str
    width: int
    height: int
    levels: Levels | None = None
    channels: Channels = RGB
    cut: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what is presized."""
        return size_of(self.cut, self.width, self.height)


@dataclass(frozen=True)
class Row:
    """An image in the cache: where its bytes lie, their checksum, and the file that they were made from.

    `cut` is left out of the index where all images are whole.
    """

    path: str
    offset: int
    length: int
    height: int
    width: int
    centre_y: int
    centre_x: int
    crc32: int
    source_bytes: int
    source_mtime: int  # nanoseconds; of the content, and of the name or the attributes as well
    source_ctime: int
    sha256: str
    cut: str = ""


T = TypeVar("T")
Made = tuple[np.ndarray, Row]  # an image's bytes in the cache, and its row
ROW_FIELDS = [field.name for field in fields(Row)]


def raw_bytes(sources: Sequence[Source], resize: Resize) -> int:
    """What the pixels of all images take on the disk."""
    shapes = ((frame_of(*one.size, resize).shape, one.channels.count) for one in sources)
    return sum(height * width * channels for (height, width), channels in shapes)


def begun(folder: Path) -> list[Path]:
    """What builds of a cache that did not end have left beside it."""
    return list(folder.parent.glob(f".{folder.name}.*.partial"))


def build_cache(
    folder: Path,
    raw: Path,
    sources: Sequence[Source],
    resize: Resize,
    form: Form,
    threads: int,
    progress: Callable[[int, int], None],
) -> bool:
    """Build a cache in `folder`, or go on with one; returns False if another process has finished it meanwhile.

    The images lie in the order given; each is written once, then noted in a journal. The manifest comes last
    and the folder takes its name when it is whole. Raises WorkFailed if the disk has no room, or if a file is
    not the one that was audited.
    """
    keep_freed_memory()
    partial = folder.parent / f".{folder.name}.{form}.partial"
    with explained(folder), _only_one(folder):
        if read_json(folder / ABOUT) is not None:
            (folder / JOURNAL).unlink(missing_ok=True)  # of a build that was killed at its very end
            return False
        for other in set(begun(folder)) - {partial}:  # in the other form
            shutil.rmtree(other)
        partial.mkdir(parents=True, exist_ok=True)
        with open(partial / PIXELS, "ab") as file:
            pass
        with open(partial / PIXELS, "r+b", buffering=0) as file, open(partial / JOURNAL, "a+b") as journal:
            done, end = _taken_up(file, journal, sources, resize)
            if form == "raw":
                reserve(file.fileno(), raw_bytes(sources, resize))
            # The places of raw pixels are known beforehand, so that threads write them; a JPEG's only afterwards.
            places = _places(sources[done:], resize, end) if form == "raw" else repeat(None)

            def work(source: Source, place: int | None) -> Made | Row:
                data, row = _make(raw, source, resize, form)
                return (data, row) if place is None else _write(file, data, row, place)

            for made in _stream(work, zip(sources[done:], places, strict=False), threads):
                placed = made if isinstance(made, Row) else _write(file, *made, end)
                journal.write(json.dumps(_noted(placed)).encode() + b"\n")
                journal.flush()
                done, end = done + 1, placed.offset + placed.length
                progress(done, len(sources))
            file.truncate(end)
            os.fsync(file.fileno())
        levels: dict[str, Any] = {"levels": sources[0].levels} if sources and sources[0].levels else {}
        if sources and sources[0].channels.settings():
            levels["channels"] = sources[0].channels.settings()
        about = {"form": form, "resize": resize.model_dump(), "images": done, "bytes": end}
        _finish(partial, folder, about | levels, any(source.cut for source in sources))
    return True


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Wait for another process that builds the same cache; the system drops the lock if it dies."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name}.lock", "wb") as lock:
        lock_or_wait(lock)
        yield


def _taken_up(file: BinaryIO, journal: BinaryIO, sources: Sequence[Source], resize: Resize) -> tuple[int, int]:
    """How many rows an earlier run wrote whole, and where they end; what follows them in the journal is cut off."""
    journal.seek(0)
    done = end = keep = 0
    for line, source in zip(journal, sources, strict=False):
        try:
            row = Row(**json.loads(line))
        except (ValueError, TypeError):
            break
        data = os.pread(file.fileno(), row.length, row.offset)
        same = (row.path, row.sha256, row.cut, row.offset) == (source.path, source.sha256, source.cut, end)
        same = same and line.endswith(b"\n") and asdict(row).items() >= _geometry(source, resize).items()
        if not (same and len(data) == row.length and zlib.crc32(data) == row.crc32):
            break
        done, end, keep = done + 1, end + row.length, keep + len(line)
    journal.truncate(keep)
    journal.seek(keep)
    return done, end


def _geometry(source: Source, resize: Resize) -> dict[str, int]:
    """An image's frame, as its row tells it."""
    frame = frame_of(*source.size, resize)
    height, width = frame.shape
    return {"height": height, "width": width, "centre_y": frame.down.centre, "centre_x": frame.across.centre}


def _make(raw: Path, source: Source, resize: Resize, form: Form) -> Made:
    """One image's bytes in the cache, and its row but for the offset."""
    path = raw / source.path
    try:
        state, data = state_of(path), read_content(path)
    except OSError as error:
        raise WorkFailed(f"cannot read the image {path} ({error.strerror}); run `pipeline data --force`") from error
    if digest_of(data) != source.sha256:
        raise WorkFailed(f"the image {path} was changed after the audit; run `pipeline check --force`")
    pixels = read_pixels(data, path, source.levels, source.channels)
    if pixels.shape[:2] != (source.height, source.width):
        raise WorkFailed(f"the image {path} has not the size that the audit found; run `pipeline check --force`")
    geometry = _geometry(source, resize)
    planes = 1 if source.channels.count == RGB.count else source.channels.count  # one below the other
    if form == "jpeg" and max(planes * geometry["height"], geometry["width"]) > JPEG_SIDE:
        raise WorkFailed(
            f"the image {path} is {geometry['width']:,} by {geometry['height']:,} pixels once presized, more than a "
            "JPEG holds; give raw pixels the room (--cache-gb), or take the image out of the data"
        )
    packed = pack(presize(cut_out(pixels, source.cut), resize), form, geometry["centre_x"], resize.size[1])
    row = Row(
        path=source.path,
        offset=0,
        length=len(packed),
        crc32=zlib.crc32(packed.data),
        source_bytes=state.size,
        source_mtime=state.mtime,
        source_ctime=state.ctime,
        sha256=source.sha256,
        cut=source.cut,
        **geometry,
    )
    return packed, row


def _noted(row: Row) -> dict[str, Any]:
    """A row as the journal keeps it: as ever where the image is whole."""
    return {name: value for name, value in asdict(row).items() if name != "cut" or value}


def _places(sources: Sequence[Source], resize: Resize, start: int) -> Iterator[int]:
    """Where the pixels of each image begin."""
    for source in sources:
        yield start
        height, width = frame_of(*source.size, resize).shape
        start += height * width * source.channels.count


def _stream(work: Callable[..., T], tasks: Iterable[tuple], threads: int) -> Iterator[T]:
    """Results in the order of the tasks, a few at a time in memory."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(work, *task))
                if len(waiting) > 4 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _write(file: BinaryIO, data: np.ndarray, row: Row, place: int) -> Row:
    """Write an image's bytes, whole, at their place."""
    done = 0
    while done < len(data):
        done += os.pwrite(file.fileno(), data[done:].data, place + done)
    return replace(row, offset=place)


def _finish(partial: Path, folder: Path, about: dict[str, Any], cut: bool) -> None:
    """The journal becomes the index; then the manifest, and the folder's name."""
    names = ROW_FIELDS if cut else ROW_FIELDS[:-1]
    schema = pa.schema([(name, pa.string() if name in ("path", "sha256", "cut") else pa.int64()) for name in names])
    if about["images"]:
        options = pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
        table = pa_json.read_json(partial / JOURNAL, parse_options=options)
    else:
        table = schema.empty_table()
    write_with(partial / INDEX, lambda path: pq.write_table(table, path))
    index = hashlib.sha256((partial / INDEX).read_bytes()).hexdigest()
    write_json(partial / ABOUT, {"version": CACHE_VERSION, **about, "index_sha256": index})
    swap_folder(partial, folder)  # of a damaged one something may be left
    (folder / JOURNAL).unlink()
