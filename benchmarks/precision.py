"""What computing in bfloat16 costs and saves on this CPU: the demo's `wide` over some seeds, in fp32 and in "auto".

`.venv/bin/python benchmarks/precision.py [--seeds 6]`, about two minutes a seed on two quiet cores. A seed draws
folds, weights, batches and augmentations; both precisions get the same ones.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch
from machine import describe_machine
from rich.console import Console
from rich.table import Table

from pipeline.competitions import load
from pipeline.log import Log
from pipeline.stages.check import check
from pipeline.stages.data import data
from pipeline.stages.folds import folds
from pipeline.stages.predict import predict
from pipeline.stages.train import train
from pipeline.vision.learner import autocast_dtype
from pipeline.workspace import Workspace, read_json, write_json

RESULTS = Path(__file__).resolve().parent / "results" / "precision.json"
SEEDS = 6
MODEL, PLACE = "wide", 1
PRECISIONS = ("fp32", "auto")
FIGURES = {"disease error": ("disease", "error_rate"), "variety error": ("variety", "error_rate")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path, help="default: results/precision.json for six seeds, else nothing")
    args = parser.parse_args()
    if autocast_dtype("auto", torch.device("cpu")) is None:
        sys.exit('not measured: this CPU has no bfloat16, and "auto" is fp32')
    results: dict[str, Any] = {"machine": describe_machine(), "seeds": []}
    with tempfile.TemporaryDirectory(prefix="bench-precision-") as root:
        workspace, log = Workspace(Path(root), "demo"), Log()
        data(load("demo", []), workspace, log)
        check(load("demo", []), workspace, log)
        for seed in range(args.seeds):
            measured = {precision: measure(seed, precision, workspace, log) for precision in PRECISIONS}
            results["seeds"].append({"seed": seed, **measured})
    results["differences"] = differences(results["seeds"])
    show(results)
    out = args.out or (RESULTS if args.seeds == SEEDS else None)
    if out:
        write_json(out, results)


def measure(seed: int, precision: str, workspace: Workspace, log: Log) -> dict[str, float]:
    """Errors over all out-of-fold rows, and the seconds of training."""
    own = [f'models.{PLACE}.precision="{precision}"', f"models.{PLACE}.tta=0", f"seed={seed}"]
    comp = load("demo", own)
    folds(comp, workspace, log, True)
    started = time.perf_counter()
    train(comp, workspace, log, only_model=MODEL)
    seconds = time.perf_counter() - started
    predict(comp, workspace, log, only_model=MODEL)
    cv = read_json(workspace.model(MODEL) / "metrics.json")["cv"]
    errors = {name: cv[target][metric] for name, (target, metric) in FIGURES.items()}
    return {**errors, "seconds": round(seconds, 1)}


def differences(seeds: list[dict[str, Any]]) -> dict[str, list[float]]:
    """auto less fp32 on the same seed: the mean and its standard error."""
    found = {}
    for name in FIGURES:
        each = [seed["auto"][name] - seed["fp32"][name] for seed in seeds]
        spread = statistics.stdev(each) / math.sqrt(len(each)) if len(each) > 1 else math.nan
        found[name] = [round(statistics.mean(each), 4), round(spread, 4)]
    return found


def show(results: dict[str, Any]) -> None:
    table = Table(title=f"demo, {MODEL}: means over {len(results['seeds'])} seeds", title_justify="left")
    names = [*FIGURES, "seconds"]
    for heading in ("precision", *names):
        table.add_column(heading, justify="right" if heading != "precision" else "left")
    for precision in PRECISIONS:
        means = [statistics.mean(seed[precision][name] for seed in results["seeds"]) for name in names]
        table.add_row(precision, *(f"{mean:.4f}" for mean in means[:-1]), f"{means[-1]:.1f}")
    Console(width=100).print(table)
    for name, (mean, error) in results["differences"].items():
        print(f"{name}: auto less fp32 {mean:+.4f}, standard error {error:.4f}")


if __name__ == "__main__":
    main()
