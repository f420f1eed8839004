"""The input path beside stock fastai and its peers: images/s of loading, building, augmenting and training.

`make bench-input`, or `.venv/bin/python benchmarks/input.py [SECTION ...]`. Every system runs in a process of its
own; the rounds of all systems are interleaved and medians are kept, so that a busy minute strikes all of them.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from machine import describe_machine
from PIL import Image
from rich.console import Console
from rich.table import Table

from pipeline.vision.config import Resize
from pipeline.workspace import write_json

HERE = Path(__file__).resolve().parent
ARCHIVE = HERE.parent.parent / "shared" / "data" / "oxford-pets-mini.tgz"
RESULTS = HERE / "results" / "input.json"
PRESIZES = {
    "crop 460": ([460, 460], "crop"),
    "squish 480": ([480, 480], "squish"),
    "crop 640x480": ([640, 480], "crop"),  # across most of these photos: a window may lie far from the centre
    "crop 480x640": ([480, 640], "crop"),  # along them, as Paddy Doctor's photos and presize
}
# What a peer needs beside torch; each gets an environment of its own.
PEERS = {"litdata": ["litdata"], "dali": ["nvidia-dali-cuda130"], "ffcv": ["ffcv"]}
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="default: results/input.json for all sections, else nothing")
    args = parser.parse_args()
    unknown = set(args.sections) - set(SECTIONS)
    if unknown or not ARCHIVE.is_file():
        sys.exit(f"unknown section {', '.join(unknown)}" if unknown else f"no {ARCHIVE}: the photos that it times")
    results: dict[str, Any] = {"machine": describe_machine(), "rows": [], "facts": {}, "skipped": {}}
    with tempfile.TemporaryDirectory(prefix="bench-input-") as folder:
        bench = Bench(Path(folder), args.rounds, results)
        for name in args.sections or SECTIONS:
            say(f"{name} ...")
            SECTIONS[name](bench)
    print_table(results)
    out = args.out or (RESULTS if not args.sections else None)
    if out:
        write_json(out, results)


def output(command: Sequence[Any]) -> str:
    """The last line that a command prints. Raises RuntimeError with the last line of its complaint."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
    return done.stdout.strip().splitlines()[-1]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    """The photos, their caches, and the rows so far."""

    def __init__(self, folder: Path, rounds: int, results: dict[str, Any]) -> None:
        self.folder, self.rounds, self.results = folder, rounds, results
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(folder / "photos", filter="data")
        self.images = next((folder / "photos").rglob("*.jpg")).parent

    def add(self, section: str, name: str, speeds: Sequence[float], stock: Sequence[float] | None = None) -> None:
        """A row: the median speed, and the median of the ratios round by round."""
        ratios = [own / other for own, other in zip(speeds, stock or speeds, strict=False)]
        speed = statistics.median(speeds)
        self.results["rows"].append(
            {
                "section": section,
                "name": name,
                "images_per_s": round(speed, 1),
                "ratio_to_stock": round(statistics.median(ratios), 2) if stock else None,
                "ms_per_image": round(1000 / speed, 4),
            }
        )

    def cache(self, presize: str) -> Path:
        """A presize cache of the photos."""
        folder = self.folder / "caches" / presize
        if not folder.exists():
            size, method = PRESIZES[presize]
            script = [sys.executable, __file__, "--build", self.images, folder, json.dumps(size), method]
            output(script)
        return folder

    def speeds(self, system: str, presize: str, python: str = sys.executable, count: int = 1) -> list[float]:
        """Images/s of some epochs of a system of input_systems.py."""
        (height, width), method = PRESIZES[presize]
        command = [python, HERE / "input_systems.py", system, "--images", self.images, "--cache", self.cache(presize)]
        command += [
            "--scratch",
            self.folder,
            "--rounds",
            count,
            "--height",
            height,
            "--width",
            width,
            "--method",
            method,
        ]
        return json.loads(output(command))

    def side_by_side(self, section: str, presize: str, systems: dict[str, str], stock: str) -> None:
        """A row for each system ({name: python}), their rounds interleaved."""
        found: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(self.rounds):
            for name, python in list(systems.items()):
                try:
                    found[name].append(statistics.median(self.speeds(name, presize, python, count=3)))
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    self.results["skipped"][name] = str(error)[:200]
                    del systems[name], found[name]
        for name, speeds in found.items():
            self.add(section, name, speeds, found[stock])


def loading(bench: Bench) -> None:
    """uint8 batches of 64, crop 460: stock, ours and the peers."""
    systems = dict.fromkeys(
        ["fastai", "memcpy", "gather", "pipeline", "pipeline-uncached", "torchvision", "timm"], sys.executable
    )
    for name, packages in PEERS.items():
        try:
            systems[name] = environment(bench.folder / "env" / name, packages)
        except RuntimeError as error:
            bench.results["skipped"][name] = str(error)
    bench.side_by_side("loading, crop 460", "crop 460", systems, "fastai")


def environment(folder: Path, packages: Sequence[str]) -> str:
    """A virtual environment of the peer's own, with this project's torch; returns its python."""
    from importlib.metadata import version

    uv, python = Path(sys.executable).with_name("uv"), folder / "bin" / "python"
    pins = [f"{name}=={version(name).partition('+')[0]}" for name in ("torch", "torchvision", "numpy", "pillow")]
    for command in (
        ["venv", "-q", "--python", sys.executable, folder],
        ["pip", "install", "-q", "--python", python, *packages, *pins],
    ):
        done = subprocess.run([uv, *map(str, command)], capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            reason = next((line for line in done.stderr.splitlines() if "Error" in line or "failed" in line), "")
            raise RuntimeError(f"does not install: {reason.strip()[:120]}")
    return str(python)


def other_presizes(bench: Bench) -> None:
    for presize in ("squish 480", "crop 640x480"):
        systems = dict.fromkeys(["fastai", "memcpy", "gather", "pipeline", "pipeline-uncached"], sys.executable)
        bench.side_by_side(f"loading, {presize}", presize, systems, "fastai")


def memory(bench: Bench) -> None:
    """How near the gather is to memcpy: taking turns in one process, since the memory's own speed changes."""
    for presize, (size, method) in PRESIZES.items():
        script = [sys.executable, HERE / "input_memory.py", bench.images, bench.cache(presize), *size, method]
        found = json.loads(output(script))
        for name, speeds in found.items():
            bench.add(f"turn by turn, {presize} (stock: memcpy)", name, speeds, found["memcpy"])


def whole_path(bench: Bench) -> None:
    """460 -> 224 float batches, augmented and normalised."""
    bench.side_by_side(
        "path 460 -> 224", "crop 460", dict.fromkeys(["fastai-path", "pipeline-path"], sys.executable), "fastai-path"
    )


def building(bench: Bench) -> None:
    """A cache from nothing, in stock epochs over the same images."""
    bench.cache("crop 460")
    built, stock = [], []
    count = len(list(bench.images.rglob("*.jpg")))
    for number in range(bench.rounds):
        stock += bench.speeds("fastai", "crop 460")
        folder = bench.folder / "caches" / f"again {number}"
        size, method = PRESIZES["crop 460"]
        script = [sys.executable, __file__, "--build", bench.images, folder, json.dumps(size), method]
        built.append(count / float(output(script)))
        shutil.rmtree(folder)
    bench.add("building, crop 460", "fastai", stock, stock)
    bench.add("building, crop 460", "pipeline presize", built, stock)


def build(images: str, folder: str, size: str, method: str) -> None:
    """Build a cache and print the seconds: in a process of its own, as the stage does it."""
    from pipeline.vision.build import Source, build_cache

    sources = []
    for path in sorted(Path(images).rglob("*.jpg")):
        with Image.open(path) as image:
            sources.append(Source(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), *image.size))
    started = time.perf_counter()
    threads = len(os.sched_getaffinity(0))
    build_cache(
        Path(folder),
        Path(images),
        sources,
        Resize(size=json.loads(size), method=method),
        "raw",
        threads,
        lambda *_: None,
    )
    print(time.perf_counter() - started)


def cold(bench: Bench) -> None:
    """Pixels that are on the disk only: the cache against eight threads that read, and against plain mapping."""
    cache = bench.cache("crop 460")
    found: dict[str, list[float]] = {"pread, 8 threads": [], "plain memmap": [], "gather": []}
    for _ in range(bench.rounds):
        for name, speeds in found.items():
            speeds.append(float(output([sys.executable, HERE / "input_cold.py", name, bench.images, cache])))
    for name, speeds in found.items():
        bench.add("cold, crop 460 (stock: 8 threads of pread)", name, speeds, found["pread, 8 threads"])


def beyond_memory(bench: Bench) -> None:
    """A cache larger than memory, read at random."""
    script = [sys.executable, HERE / "input_beyond.py", bench.images, bench.cache("crop 460")]
    try:
        found = json.loads(output([*script, bench.folder / "beyond", bench.rounds]))
    except RuntimeError as error:
        bench.results["skipped"]["beyond memory"] = str(error)
        return
    for name, speeds in found.items():
        bench.add("beyond memory, crop 460 (stock: 8 threads of pread)", name, speeds, found["pread, 8 threads"])


def augmenting(bench: Bench) -> None:
    """The batch augmentation alone, 460 -> 224, on uint8 batches that are there."""
    found = json.loads(output([sys.executable, HERE / "input_augment.py", bench.images, bench.rounds]))
    for kind in ("train", "valid"):
        stock = found[f"fastai {kind}"]
        for name in [name for name in found if name.endswith(kind)]:
            bench.add(f"batch augmentation 460 -> 224, {kind}", name, found[name], stock)


def training(bench: Bench) -> None:
    """An epoch of resnet18, 460 -> 128, end to end, and the error after some epochs over five seeds."""
    found: dict[str, list[dict]] = {"fastai": [], "pipeline": []}
    for seed in range(5):
        for name, runs in found.items():
            command = [sys.executable, HERE / "input_training.py", name, bench.images, bench.cache("crop 460"), seed]
            runs.append(json.loads(output(command)))
    stock = [run["images_per_s"] for run in found["fastai"]]
    for name, runs in found.items():
        bench.add("training resnet18, 460 -> 128", name, [run["images_per_s"] for run in runs], stock)
        bench.results["facts"][f"training resnet18: error of {name} over five seeds"] = [run["error"] for run in runs]


def scale(bench: Bench) -> None:
    """What 1,000 to 100,000 images cost in memory, to the first batch, and an epoch."""
    for count in (1_000, 10_000, 100_000):
        command = [sys.executable, HERE / "input_scale.py", bench.folder / f"scale-{count}", count]
        bench.results["facts"][f"{count:,} images"] = json.loads(output(command))
        shutil.rmtree(bench.folder / f"scale-{count}")


def gpu(bench: Bench) -> None:
    """Training steps in fp16 with the cache, with stock fastai, and with the data on the GPU already."""
    import torch

    if not torch.cuda.is_available():
        bench.results["skipped"]["gpu"] = "not measured: no CUDA device"
        return
    device = torch.cuda.get_device_name()
    for arch, size in (("resnet26d", 128), ("convnext_small", 224)):
        found = {}
        for system in ("fastai", "pipeline", "ceiling"):
            command = [sys.executable, HERE / "input_gpu.py", system, arch, size, bench.images, bench.cache("crop 460")]
            found[system] = json.loads(output(command))
            bench.results["facts"][f"{device}, {arch} {size}, {system}: share of time waiting"] = found[system][
                "waiting"
            ]
        for system, measured in found.items():
            speeds, stock = [measured["images_per_s"]], [found["fastai"]["images_per_s"]]
            bench.add(f"training {arch} {size} fp16, {device}", system, speeds, stock)


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "loading": loading,
    "other-presizes": other_presizes,
    "memory": memory,
    "whole-path": whole_path,
    "building": building,
    "cold": cold,
    "beyond-memory": beyond_memory,
    "augmenting": augmenting,
    "training": training,
    "scale": scale,
    "gpu": gpu,
}


def print_table(results: dict[str, Any]) -> None:
    table = Table(title="input path", title_justify="left")
    for heading in ("section", "system"):
        table.add_column(heading)
    for heading in ("images/s", "ratio to stock", "ms/image"):
        table.add_column(heading, justify="right")
    for row in results["rows"]:
        ratio = "" if row["ratio_to_stock"] is None else f"{row['ratio_to_stock']:.2f}"
        table.add_row(row["section"], row["name"], f"{row['images_per_s']:,.0f}", ratio, f"{row['ms_per_image']:.3f}")
    console = Console(width=120)
    console.print(table)
    for name, fact in {**results["facts"], **{f"skipped {k}": v for k, v in results["skipped"].items()}}.items():
        console.print(f"{name}: {fact}", soft_wrap=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--build"]:
        build(*sys.argv[2:6])
    else:
        main()
