"""Reading a cache larger than memory: `input_beyond.py IMAGES CACHE FOLDER ROUNDS` prints {name: [images/s]}.

The cache is written into FOLDER again and again, until its file is a fifth larger than memory; the images are
hard links. The readers of input_cold.py take turns on random images, so that each finds what the others left.
"""

import hashlib
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from input_cold import READERS

from pipeline.vision.cache import Cache
from pipeline.vision.gather import PixelSource
from pipeline.workspace import ABOUT, INDEX, PIXELS, read_json, write_json

LARGER = 1.2  # than memory
IMAGES = {"pread, 8 threads": 2048, "gather": 2048, "plain memmap": 512}  # in a round


def main() -> None:
    images, small, folder, rounds = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    raw, large = folder / "raw", folder / "cache"
    try:
        repeat_cache(images, small, raw, large)
        cache = Cache(large, raw)
        pixels = PixelSource(cache.resize, cache)
        files = sorted(raw.rglob("*.jpg"))
        found: dict[str, list[float]] = {name: [] for name in IMAGES}
        for number in range(rounds):
            for name, count in IMAGES.items():
                chosen = random.Random(f"{number} {name}").sample(files, count)
                started = time.perf_counter()
                READERS[name](cache, pixels, chosen)
                found[name].append(count / (time.perf_counter() - started))
    finally:
        shutil.rmtree(folder)
    print(json.dumps(found))


def repeat_cache(images: Path, small: Path, raw: Path, large: Path) -> None:
    """A cache of the same images under many names. Exits where the disk has no room for it."""
    about, size = read_json(small / ABOUT), (small / PIXELS).stat().st_size
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    copies = int(LARGER * memory / size) + 1
    large.mkdir(parents=True)
    if shutil.disk_usage(large).free < 1.1 * copies * size:
        sys.exit(f"not measured: no room for {copies * size / 1e9:.0f} GB")
    index, pixels, tables = pq.read_table(small / INDEX), (small / PIXELS).read_bytes(), []
    names = index["path"].to_pylist()
    with open(large / PIXELS, "wb") as file:
        for number in range(copies):
            file.write(pixels)
            (raw / str(number)).mkdir(parents=True)
            for path in names:
                os.link(images / path, raw / str(number) / path)
        os.fsync(file.fileno())
    changed = pa.array([os.stat(images / path).st_ctime_ns for path in names])  # by the last link
    for number in range(copies):
        columns = {
            "path": pc.binary_join_element_wise(str(number), index["path"], "/"),
            "offset": pc.add(index["offset"], number * size),
            "source_ctime": changed,
        }
        tables.append(pa.table({name: columns.get(name, index[name]) for name in index.column_names}))
    pq.write_table(pa.concat_tables(tables), large / INDEX)
    about["images"], about["bytes"] = copies * index.num_rows, copies * size
    about["index_sha256"] = hashlib.sha256((large / INDEX).read_bytes()).hexdigest()
    write_json(large / ABOUT, about)


if __name__ == "__main__":
    main()
