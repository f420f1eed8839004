"""Batches of uint8 pixels: copied out of the cache, or decoded, by threads, ahead of the batch that is wanted."""

import math
import random
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch

from pipeline.data.boxes import Cutout
from pipeline.data.channels import RGB, Channels
from pipeline.data.levels import Levels
from pipeline.data.several import Content, read_content
from pipeline.machine import cores
from pipeline.vision.augmentations import Augmentation
from pipeline.vision.cache import Cache, DamagedCache
from pipeline.vision.config import Resize
from pipeline.vision.layout import Cut
from pipeline.vision.memory import keep_freed_memory
from pipeline.vision.presize import Fractions, Picture, Pixels, cut_window, presize_window, read_pixels

COPYING = 2  # threads that fill the memory bus
WAITING = 8  # threads that keep a disk busy
AHEAD = 2  # batches on their way while one is used
T = TypeVar("T")


class Buffers:
    """Memory for batches on the CPU, used again once nobody holds the batch: fresh pages cost more than copying."""

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []

    def take(self, shape: tuple[int, ...], dtype: torch.dtype = torch.uint8) -> torch.Tensor:
        """An uninitialised tensor; its memory comes back here with its last view."""
        size = math.prod(shape) * dtype.itemsize
        block = self._block(size)
        lease = block[:size]
        weakref.finalize(lease, self._free.append, block).atexit = False
        return torch.from_numpy(lease).view(dtype).view(shape)

    def __reduce__(self) -> tuple:
        """Pickled for `Learner.export`: none of the memory."""
        return Buffers, ()

    def _block(self, size: int) -> np.ndarray:
        try:
            block = self._free.pop()
        except IndexError:
            return np.empty(size, dtype=np.uint8)
        return block if len(block) >= size else np.empty(size, dtype=np.uint8)


@dataclass(frozen=True)
class Pending:
    """A batch on its way."""

    batch: torch.Tensor
    parts: Sequence[Future]

    def result(self) -> torch.Tensor:
        """uint8 (n, height, width, channels), once it is complete. Raises what a thread met."""
        for part in self.parts:
            part.result()
        return self.batch


class PixelSource:
    """Windows of images: from the cache where it holds them, else from their files.

    `cache` must be of the same `resize`. An image is a path, a part of its file, or pixels (height, width, channels).
    `exact` makes an image that is not cached into the very pixels that a raw cache would hold, in twice the time.
    `augmentations` change the windows of a batch that is begun with seeds, in the threads that fill it. `levels` are
    those by which files of more than 8 bits are read, and `channels` those of all images, by default the cache's, or
    RGB.
    """

    def __init__(
        self,
        resize: Resize,
        cache: Cache | None = None,
        threads: int | None = None,
        exact: bool = False,
        augmentations: Sequence[Augmentation] = (),
        levels: Levels | None = None,
        channels: Channels | None = None,
    ) -> None:
        if cache is not None and cache.resize != resize:
            raise ValueError(f"the cache holds {cache.resize}, not {resize}")
        keep_freed_memory()  # what an image is decoded into would be mapped anew each time
        self.resize, self.cache, self.augmentations = resize, cache, tuple(augmentations)
        self.levels = levels if levels is not None or cache is None else cache.levels
        self.channels = channels or (RGB if cache is None else cache.channels)
        self._cut = cut_window if exact else presize_window
        self.threads = threads or cores()
        # No more threads than cores where they compute: three batches on their way would crowd each other.
        self._computing = ThreadPoolExecutor(self.threads, thread_name_prefix="pixels")
        self._reading = ThreadPoolExecutor(WAITING, thread_name_prefix="disk")
        self._buffers = Buffers()
        self._local = threading.local()

    def __reduce__(self) -> tuple:
        """Pickled for `Learner.export`: without the cache, so that files are decoded, to the pixels of a raw one; and
        without augmentations, whose code may not be where it is opened."""
        return PixelSource, (self.resize, None, None, True, (), self.levels, self.channels)

    @property
    def form(self) -> str:
        """raw, jpeg or files: pixels of another form differ a little."""
        return self.cache.form if self.cache else "files"

    def start(
        self,
        images: Sequence[Picture],
        at: Sequence[Fractions],
        pinned: bool = False,
        seeds: Sequence[int] | None = None,
    ) -> Pending:
        """Begin to fill a batch with the window of each image that lies `at` those fractions of the way.

        With a seed for each image it is augmented.
        """
        shape = (len(images), *self.resize.size, self.channels.count)
        batch = torch.empty(shape, dtype=torch.uint8, pin_memory=True) if pinned else self._buffers.take(shape)
        out = batch.numpy()
        rows = [self.cache.row(image) if self.cache is not None else -1 for image in images]
        waits = self._waits(rows)
        pool = self._reading if waits else self._computing
        computes = self._decodes(rows) or (seeds is not None and self.augmentations)
        workers = WAITING if waits else self.threads if computes else min(COPYING, self.threads)
        size = -(-len(images) // workers)
        parts = [slice(begin, begin + size) for begin in range(0, len(images), size)]

        def work(part: slice) -> None:
            self._fill(images[part], rows[part], at[part], out[part], waits)
            if seeds is not None:
                self._augment(out[part], seeds[part])

        return Pending(batch, [pool.submit(work, part) for part in parts])

    def _decodes(self, rows: Sequence[int]) -> bool:
        return self.form != "raw" or min(rows, default=0) < 0

    def _waits(self, rows: Sequence[int]) -> bool:
        """Whether some of these images, judged by a few, would have to come from the disk."""
        if self.cache is None:
            return False
        if not self.cache.is_whole():
            raise DamagedCache(f"the pixels in {self.cache.folder} were cut short; run `pipeline presize`")
        sample = random.Random(len(rows)).sample(rows, min(8, len(rows)))
        return any(row >= 0 and not self.cache.in_memory(row) for row in sample)

    def _fill(
        self,
        images: Sequence[Picture],
        rows: Sequence[int],
        at: Sequence[Fractions],
        out: Pixels,
        waits: bool,
    ) -> None:
        cache = self.cache
        if not waits and cache is not None and cache.can_view(rows):
            _copy([cache.view(row, place) for row, place in zip(rows, at, strict=True)], out)
            return
        scratch = self._scratch(cache) if waits and cache is not None else None
        for image, row, place, window in zip(images, rows, at, out, strict=True):
            if cache is not None and row >= 0:
                cache.read(row, place, window, scratch)
            else:
                self._cut(self._decoded(image), self.resize, place, window)

    def _decoded(self, image: Picture) -> Pixels:
        if isinstance(image, np.ndarray):
            return image
        return image.of(self._read(image.file)) if isinstance(image, Cutout) else self._read(image)

    def _read(self, image: Path | str) -> Pixels:
        return read_pixels(read_bytes(image), image, self.levels, self.channels)

    def _augment(self, windows: Pixels, seeds: Sequence[int]) -> None:
        """Each window by a generator of its own: neither threads nor the others in the batch change what it gets."""
        for window, seed in zip(windows, seeds, strict=True):
            rng = np.random.Generator(np.random.PCG64(seed))
            changed = window
            for augmentation in self.augmentations:
                changed = augmentation(changed, rng)
            if changed is not window:
                np.copyto(window, changed)

    def _scratch(self, cache: Cache) -> np.ndarray:
        if not hasattr(self._local, "scratch"):
            self._local.scratch = np.empty(cache.longest(), dtype=np.uint8)
        return self._local.scratch


def _copy(cuts: Sequence[Cut], out: Pixels) -> None:
    """Copy windows of raw pixels, all runs in one call: after each call the interpreter's lock is waited for."""
    cv2.vconcat([cut.run for cut in cuts], out.reshape(-1, *out.shape[2:]))
    for cut, window in zip(cuts, out, strict=True):
        cut.mend(window)


def read_bytes(path: Path | str) -> Content:
    """An image's bytes; a file that is not there is for `read_pixels` to explain."""
    try:
        return read_content(path)
    except OSError:
        return b""


def ahead(start: Callable[[T], Pending], batches: Iterable[T]) -> Iterator[tuple[T, torch.Tensor]]:
    """Each batch with its pixels, while two more that `start` began are on their way."""
    waiting: deque[tuple[T, Pending]] = deque()
    for batch in batches:
        waiting.append((batch, start(batch)))
        if len(waiting) > AHEAD:
            first, pending = waiting.popleft()
            yield first, pending.result()
    for first, pending in waiting:
        yield first, pending.result()


def windows(count: int, rng: random.Random | None) -> Iterator[Fractions]:
    """Where the windows of `count` images lie: at random, or in the centre without a generator."""
    return ((rng.random(), rng.random()) if rng else None for _ in range(count))
