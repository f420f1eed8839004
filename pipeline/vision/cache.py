"""The presize cache, opened for reading: a folder of pixels, each image checked before it is first used."""

import hashlib
import mmap
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow.parquet as pq

from pipeline.data.boxes import Cutout, cut_out
from pipeline.data.channels import read_channels
from pipeline.data.levels import Levels
from pipeline.data.several import digest_of, read_content, state_of
from pipeline.errors import WorkFailed
from pipeline.log import Log
from pipeline.machine import is_in_memory, read_into
from pipeline.vision import CACHE_VERSION
from pipeline.vision.config import Resize
from pipeline.vision.layout import Buffer, Cut, Form, cut, pack, window_of_jpeg
from pipeline.vision.presize import Fractions, Picture, Pixels, corner, presize, read_pixels
from pipeline.workspace import ABOUT, INDEX, PIXELS, read_json

MENDED = 50  # damaged images that are decoded anew and kept in memory; more are refused


class DamagedCache(WorkFailed):
    """A cache that was not finished, or whose files were changed: it is built again."""


class Cache:
    """The images of one presize, by their paths below the raw folder.

    Raises DamagedCache if the folder does not hold a whole cache. Reading never trusts it further: at the first
    use in a process an image's file must be the one that was read (size and time, else its bytes), and its
    pixels must have their checksum.
    """

    def __init__(self, folder: Path, raw: Path, warn: Callable[[str], None] | None = None) -> None:
        self.folder, self.raw, self.warn = folder, raw, warn or Log().warn
        self._prefix = f"{raw}/"
        self._open_index(self._open_manifest())
        self._open_pixels()
        self._sound = [False] * len(self)  # checked in this process
        self._rebuilt: dict[int, np.ndarray] = {}

    def _open_manifest(self) -> str:
        """Returns the digest that the index must have."""
        about = read_json(self.folder / ABOUT)
        try:
            self.form: Form = about["form"]
            self.resize = Resize(**about["resize"])
            self.bytes, index = about["bytes"], about["index_sha256"]
            self.levels: Levels | None = _ranges(about.get("levels"))
            self.channels = read_channels(about.get("channels"))
            whole = about["version"] == CACHE_VERSION and self.form in get_args(Form) and isinstance(self.bytes, int)
        except (KeyError, TypeError, ValueError, AttributeError):  # none, or not as the pipeline wrote it
            whole = False
        if not whole:
            raise DamagedCache(f"no finished presize cache in {self.folder}; run `pipeline presize`")
        return index

    def _open_index(self, sha256: str) -> None:
        try:
            data = (self.folder / INDEX).read_bytes()
        except OSError as error:
            raise DamagedCache(f"the presize cache {self.folder} has no index; run `pipeline presize`") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DamagedCache(f"the index of the presize cache {self.folder} was changed; run `pipeline presize`")
        table = pq.read_table(self.folder / INDEX)
        column = {name: table[name].to_numpy() for name in table.column_names if name not in ("path", "sha256", "cut")}
        # As Python's own numbers: a batch looks up thousands.
        self._extent = list(zip(column["offset"].tolist(), column["length"].tolist(), strict=True))
        self._shape = list(zip(column["height"].tolist(), column["width"].tolist(), strict=True))
        self._centre = list(zip(column["centre_y"].tolist(), column["centre_x"].tolist(), strict=True))
        self._crc = column["crc32"]
        self._source = np.stack([column[f"source_{name}"] for name in ("bytes", "mtime", "ctime")], axis=1)
        self._sha256 = table["sha256"]
        self._names, self._cuts = table["path"], [""] * len(self._extent)
        if "cut" in table.column_names:
            self._cuts = [cut or "" for cut in table["cut"].to_pylist()]
        keys = map(_key, table["path"].to_pylist(), self._cuts)
        self._rows = {key: row for row, key in enumerate(keys)}

    def _open_pixels(self) -> None:
        path = self.folder / PIXELS
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise DamagedCache(f"the presize cache {self.folder} has no pixels; run `pipeline presize`") from error
        if os.fstat(self._file).st_size != self.bytes:
            os.close(self._file)
            self._file = -1
            raise DamagedCache(f"{path} is not {self.bytes:,} bytes long as it was; run `pipeline presize`")
        self._map = mmap.mmap(self._file, 0, prot=mmap.PROT_READ) if self.bytes else b""
        self._data = np.frombuffer(self._map, dtype=np.uint8)

    def __del__(self) -> None:
        if getattr(self, "_file", -1) >= 0:
            os.close(self._file)

    def __len__(self) -> int:
        return len(self._extent)

    def row(self, image: Picture) -> int:
        """The row of an image below the raw folder; -1 where it is not in the cache, as pixels never are."""
        if isinstance(image, np.ndarray):
            return -1
        name = _key(str(image.file), image.cut) if isinstance(image, Cutout) else str(image)
        return self._rows.get(name[len(self._prefix) :], -1) if name.startswith(self._prefix) else -1

    def read(self, row: int, at: Fractions, out: Pixels, scratch: np.ndarray | None = None) -> None:
        """Copy a window into `out`, from memory; or through `scratch`, by a read, where the disk is waited for."""
        data = self._stored(row) if scratch is None else self._from_disk(row, scratch)
        if not self._sound[row]:
            data = self._first_use(row, data)
        if self.form == "raw":
            window = self._cut(row, data, 0, at)
            np.copyto(out, window.run)
            window.mend(out)
        else:
            place = corner(self._shape[row], self._centre[row], self.resize.size, at)
            np.copyto(out, window_of_jpeg(data, self.resize.size, place, self.channels.count))

    def can_view(self, rows: Sequence[int]) -> bool:
        """Whether these images are stored as raw pixels, and were checked."""
        return self.form == "raw" and all(row >= 0 and self._sound[row] for row in rows)

    def view(self, row: int, at: Fractions) -> Cut:
        """A window where it lies in memory, of an image that `can_view` allowed."""
        return self._cut(row, self._map, self._extent[row][0], at)

    def _cut(self, row: int, stored: Buffer, begin: int, at: Fractions) -> Cut:
        shape, centre, size = self._shape[row], self._centre[row], self.resize.size
        return cut(stored, begin, shape, centre[1], size, corner(shape, centre, size, at), self.channels.count)

    def is_whole(self) -> bool:
        """Whether the file still has its length; a mapping must not be read beyond the end."""
        return os.fstat(self._file).st_size == self.bytes

    def in_memory(self, row: int) -> bool:
        """Whether reading an image would not wait for the disk, judged by its middle."""
        first, length = self._extent[row]
        return is_in_memory(self._file, first + length // 2)

    def longest(self) -> int:
        """Bytes of the largest image."""
        return max((length for _, length in self._extent), default=0)

    def _stored(self, row: int) -> np.ndarray:
        offset, length = self._extent[row]
        return self._data[offset : offset + length]

    def _from_disk(self, row: int, scratch: np.ndarray) -> np.ndarray:
        offset, length = self._extent[row]
        wanted, done = scratch[:length], 0
        while done < len(wanted):
            count = read_into(self._file, wanted[done:].data, offset + done)
            if count == 0:
                raise DamagedCache(f"{self.folder / PIXELS} was cut short while it was read; run `pipeline presize`")
            done += count
        return wanted

    def _first_use(self, row: int, data: np.ndarray) -> np.ndarray:
        """An image's stored bytes, checked; made anew from its file if they are not what they were."""
        if row in self._rebuilt:
            return self._rebuilt[row]
        self._check_source(row)
        if zlib.crc32(data.data) != self._crc[row]:
            path = self.raw / self._names[row].as_py()
            if len(self._rebuilt) == MENDED:
                raise DamagedCache(
                    f"the presize cache is damaged at {path.name}, and at {MENDED} images before; "
                    "run `pipeline presize --force`"
                )
            self.warn(f"the presize cache is damaged at {path.name}: decoded anew; `pipeline presize --force` mends it")
            pixels = read_pixels(read_content(path), path, self.levels, self.channels)
            pixels = presize(cut_out(pixels, self._cuts[row]), self.resize)
            data = pack(pixels, self.form, self._centre[row][1], self.resize.size[1])
            self._rebuilt[row] = data
            return data
        self._sound[row] = True
        return data

    def _check_source(self, row: int) -> None:
        """Raise WorkFailed if an image's file is not the one that was presized."""
        path = self.raw / self._names[row].as_py()
        try:
            if state_of(path) == tuple(self._source[row]):
                return
            same = digest_of(read_content(path)) == self._sha256[row].as_py()
        except OSError as error:
            raise WorkFailed(f"the image {path} is gone ({error.strerror}); run `pipeline data --force`") from error
        if not same:
            raise WorkFailed(f"the image {path} was changed after the audit; run `pipeline check --force`")

    def faults(self, progress: Callable[[int, int], None]) -> list[str]:
        """Read everything: the paths of images whose file or whose pixels are not what they were."""
        found = []
        for row in range(len(self)):
            path = self.raw / self._names[row].as_py()
            try:
                same = digest_of(read_content(path)) == self._sha256[row].as_py()
            except OSError:
                same = False
            if not same or zlib.crc32(self._stored(row).data) != self._crc[row]:
                found.append(self._names[row].as_py())
            progress(row + 1, len(self))
        return found


def _key(path: str, cut: str) -> str:
    """What an image is found by."""
    return f"{path}\0{cut}" if cut else path


def _ranges(said: Mapping[str, Sequence[float]] | None) -> Levels | None:
    return None if said is None else {sort: (float(low), float(high)) for sort, (low, high) in said.items()}


def open_cache(folder: Path | None, raw: Path, log: Log) -> Cache | None:
    """The cache in a folder, its warnings said in the log; None without a folder. Raises as `Cache` does."""
    return None if folder is None else Cache(folder, raw, log.warn)
