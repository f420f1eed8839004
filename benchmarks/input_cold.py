"""Reading a cache whose pixels are not in memory: `input_cold.py SYSTEM IMAGES CACHE` prints images/s of an epoch.

The file's pages are dropped first (posix_fadvise), as if another program had taken the memory. The cache checks
each image at its first use, here as always.
"""

import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pipeline.vision.cache import Cache
from pipeline.vision.gather import PixelSource, ahead, windows
from pipeline.workspace import PIXELS

BATCH = 64


def main() -> None:
    system, images, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    files = sorted(images.rglob("*.jpg"))
    random.Random(0).shuffle(files)
    with open(folder / PIXELS, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    cache = Cache(folder, images)
    pixels = PixelSource(cache.resize, cache)
    started = time.perf_counter()
    READERS[system](cache, pixels, files)
    print(len(files) / (time.perf_counter() - started))


def gather(cache: Cache, pixels: PixelSource, files: list[Path]) -> None:
    rng = random.Random(0)
    batches = [files[begin : begin + BATCH] for begin in range(0, len(files), BATCH)]
    for _ in ahead(lambda chosen: pixels.start(chosen, list(windows(len(chosen), rng))), batches):
        pass


def pread(cache: Cache, pixels: PixelSource, files: list[Path]) -> None:
    """Whole images into a buffer of each thread."""
    buffers = threading.local()

    def read(path: Path) -> None:
        if not hasattr(buffers, "own"):
            buffers.own = bytearray(cache.longest())
        offset, length = cache._extent[cache.row(path)]
        os.preadv(file.fileno(), [memoryview(buffers.own)[:length]], offset)

    with open(cache.folder / PIXELS, "rb") as file, ThreadPoolExecutor(8) as pool:
        list(pool.map(read, files))


def memmap(cache: Cache, pixels: PixelSource, files: list[Path]) -> None:
    data = np.memmap(cache.folder / PIXELS, mode="r")
    for path in files:
        offset, length = cache._extent[cache.row(path)]
        data[offset : offset + length].copy()  # page by page, as it is touched


READERS = {"gather": gather, "pread, 8 threads": pread, "plain memmap": memmap}

if __name__ == "__main__":
    main()
