"""A cache of many images: `input_scale.py FOLDER COUNT` prints what its index, first batch and an epoch cost."""

import hashlib
import json
import os
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.vision.build import Source, build_cache
from pipeline.vision.cache import Cache
from pipeline.vision.config import Resize
from pipeline.vision.gather import PixelSource, ahead

BATCH, SIDE = 64, 64


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    sources = draw(folder / "raw", count)
    resize = Resize(size=[SIDE, SIDE])
    built = seconds(lambda: build_cache(folder / "cache", folder / "raw", sources, resize, "raw", 2, lambda *_: None))
    started = time.perf_counter()
    cache = Cache(folder / "cache", folder / "raw")
    pixels = PixelSource(resize, cache)
    paths = [folder / "raw" / source.path for source in sources]
    pixels.start(paths[:BATCH], [None] * BATCH).result()
    first = time.perf_counter() - started
    epochs = [seconds(lambda: epoch(pixels, paths)) for _ in range(2)]
    tracemalloc.start()
    again = Cache(folder / "cache", folder / "raw")
    index = tracemalloc.get_traced_memory()[0]
    assert len(again) == count
    facts = {
        "build_s": built,
        "index_mb": index / 1e6,
        "first_batch_s": first,
        "first_epoch_s": epochs[0],
        "epoch_s": epochs[1],
    }
    print(json.dumps({name: round(value, 3) for name, value in facts.items()}))


def draw(raw: Path, count: int) -> list[Source]:
    """A hundred small pictures under many names: hard links, each read as a file of its own."""
    raw.mkdir(parents=True)
    sources, originals = [], []
    for number in range(count):
        path = raw / f"image-{number:06}.png"
        if number < 100:
            pixels = np.random.default_rng(number).integers(0, 256, (SIDE, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
            originals.append((path, hashlib.sha256(path.read_bytes()).hexdigest()))
        else:
            os.link(originals[number % 100][0], path)
        sources.append(Source(path.name, originals[number % 100][1], 80, SIDE))
    return sources


def epoch(pixels: PixelSource, paths: list[Path]) -> None:
    batches = (paths[begin : begin + BATCH] for begin in range(0, len(paths), BATCH))
    for _ in ahead(lambda chosen: pixels.start(chosen, [None] * len(chosen)), batches):
        pass


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
