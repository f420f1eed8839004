"""The gather beside memcpy in one process, turn by turn: `input_memory.py IMAGES CACHE HEIGHT WIDTH METHOD`.

Prints {name: [images/s]}. The memory of a virtual machine changes its speed by half from minute to minute; here
both systems of input_systems.py meet the same minutes.
"""

import json
import random
import sys
import time
from argparse import Namespace
from pathlib import Path

from input_systems import SYSTEMS

ROUNDS, NAMES = 41, ("memcpy", "gather")


def main() -> None:
    images, cache, height, width, method = sys.argv[1:]
    task = Namespace(images=Path(images), cache=Path(cache), height=int(height), width=int(width), method=method)
    random.seed(0)
    epochs = {name: SYSTEMS[name](task) for name in NAMES}
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(ROUNDS):
        for name, epoch in epochs.items():
            started = time.perf_counter()
            count = sum(epoch())
            found[name].append(count / (time.perf_counter() - started))
    print(json.dumps({name: speeds[1:] for name, speeds in found.items()}))  # the first round warms up


if __name__ == "__main__":
    main()
