"""Training steps on a GPU: `input_gpu.py pipeline|fastai|ceiling ARCH SIZE IMAGES CACHE`.

Prints {"images_per_s", "waiting": share of the time in which the GPU computed nothing}. fp16, batches of 64, the
photos many times over for `SECONDS`; stock fastai loads with as many workers as there are cores, at most eight.
"ceiling" trains on one batch that is on the GPU already. With --device cpu it shows that the script runs.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from input_training import by_fastai_loaders, by_pipeline_loaders
from torch.profiler import ProfilerActivity, profile

from pipeline.machine import cores
from pipeline.predictions import TargetSpec
from pipeline.vision.model import build_network

SECONDS, WARM, OVER = 20.0, 5, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=["pipeline", "fastai", "ceiling"])
    parser.add_argument("arch")
    parser.add_argument("size", type=int)
    parser.add_argument("images", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    args = parser.parse_args()
    files = sorted(args.images.rglob("*.jpg")) * OVER  # an epoch long enough that its start does not count
    stock = partial(by_fastai_loaders, workers=min(8, cores()))
    make = stock if args.system == "fastai" else by_pipeline_loaders
    loader = make(files, args.images, args.cache, size=args.size, batch_size=64).train
    loader.device = torch.device(args.device)
    batches = repeated(loader) if args.system != "ceiling" else one_over_and_over(loader)
    step = training_step(args.arch, args.size, args.device)
    print(json.dumps(measure(batches, step, args.device, args.seconds)))


def repeated(loader) -> Iterator:
    while True:
        yield from loader


def one_over_and_over(loader) -> Iterator:
    batch = loader.one_batch()
    while True:
        yield batch


def training_step(arch: str, size: int, device: str) -> Callable:
    specs = [TargetSpec("species", "category", ("cat", "dog"))]
    model = build_network(arch, "none", specs, (size, size)).model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    scaler = torch.amp.GradScaler(device, enabled=device == "cuda")

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        with torch.autocast(device, torch.float16, enabled=device == "cuda"):
            loss = F.cross_entropy(model(x).float(), y.as_subclass(torch.Tensor).flatten().long())
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    return step


def measure(batches: Iterator, step: Callable, device: str, limit: float) -> dict[str, float]:
    """Images/s without a profiler; then with it, for the time in which no kernel ran."""
    settle = torch.cuda.synchronize if device == "cuda" else lambda: None
    for _ in range(WARM):
        step(*next(batches))
    settle()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < limit:
        x, y = next(batches)
        step(x, y)
        count += len(x)
    settle()
    seconds = time.perf_counter() - started
    activity = ProfilerActivity.CUDA if device == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiled:
        began = time.perf_counter()
        while time.perf_counter() - began < min(3.0, limit):
            step(*next(batches))
        settle()
        watched = time.perf_counter() - began
    place = "device" if device == "cuda" else "cpu"
    busy = sum(getattr(event, f"self_{place}_time_total") for event in profiled.key_averages()) / 1e6
    return {"images_per_s": round(count / seconds, 1), "waiting": round(max(0.0, 1 - busy / watched), 3)}


if __name__ == "__main__":
    main()
