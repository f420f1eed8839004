"""Rating models beside the known libraries, on the published folds of MovieLens 100k, and their cost at scale.

`make bench-collab`, or `.venv/bin/python benchmarks/collab.py [--quick] [--out FILE]`. Everything runs on one
thread. Settings of ours are chosen inside the training part of each fold, on a fifth of it that is held out.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

THREADS = "1"
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = THREADS

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from road import describe_machine, say

from pipeline.collab.config import RatingsData, RatingsModel
from pipeline.collab.features import read_features
from pipeline.collab.ids import Ids
from pipeline.collab.manifest import build_manifest, published_folds
from pipeline.collab.observations import Observations
from pipeline.collab.train import fit
from pipeline.competitions import load
from pipeline.data.archive import unpack
from pipeline.workspace import write_json

HERE = Path(__file__).resolve().parent
REPO = HERE.parent
ARCHIVE = REPO.parent / "shared" / "data" / "ml-100k.tgz"
PEERS = REPO / ".venv-peers"
RESULTS = HERE / "results" / "collab.json"
IDS, ALL = "ids only", "side information, time, implicit feedback"
LIBRARIES = {  # by the line of peers.txt that they need
    "scikit-surprise": ["Surprise BaselineOnly", "Surprise SVD", "Surprise SVD++"],
    "fastai": ["fastai collab_learner"],
    "lenskit": ["LensKit BiasedMF"],
    "myfm": ["myFM", "myFM, all"],
}
FIRST_FOLD_ONLY = {"myFM, all"}
SIZES = {100_000: (943, 1682), 1_000_000: (6900, 3700), 20_000_000: (138_000, 27_000)}
PLAIN = RatingsModel(name="plain", range=[0, 5.5])
DRAWN = RatingsModel(name="drawn", method="gibbs", factors=12, epochs=200)
EVERYTHING = RatingsModel(
    name="all", method="gibbs", factors=10, epochs=220, implicit=True, time=True, side=True, ordinal=True
)


@dataclass
class Results:
    """What is written: rows (system, protocol, fold, rmse, fit_s, and what was chosen), scale, busy, skipped."""

    machine: dict[str, Any]
    threads: int = int(THREADS)
    rows: list[dict[str, Any]] = field(default_factory=list)
    scale: list[dict[str, Any]] = field(default_factory=list)
    busy: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def main() -> None:
    args = parse_args()
    if args.epoch_of:
        print(json.dumps(time_an_epoch(args.epoch_of)))
        return
    results = Results(describe_machine())
    if not ARCHIVE.is_file():
        sys.exit(f"no {ARCHIVE}; put the MovieLens 100k archive there")
    with tempfile.TemporaryDirectory(prefix="bench-collab-") as folder:
        raw = Path(folder) / "raw"
        unpack(ARCHIVE, raw)
        run_folds(raw, Path(folder), args.quick, results)
    results.busy = beside_another()
    for rows in list(SIZES)[: 2 if args.quick else 3]:
        results.scale.append(in_a_process(rows))
    print_tables(results)
    out = args.out or (None if args.quick else RESULTS)
    if out:
        write_json(out, vars(results))
        say(f"wrote {out}")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the first fold only, without 20 million ratings")
    parser.add_argument("--out", type=Path, help="the JSON file; results/collab.json if all is measured")
    parser.add_argument("--epoch-of", type=int, help=argparse.SUPPRESS)  # what a child of this script measures
    return parser.parse_args()


def run_folds(raw: Path, folder: Path, quick: bool, results: Results) -> None:
    """Ours and the peers on each fold."""
    comp = load("movielens")
    manifest = build_manifest(raw, comp.data)
    fold_of = published_folds(raw, comp.data, comp.folds.files, comp.folds.n, manifest["id"])
    ready = install_peers(results)
    for number in range(1 if quick else comp.folds.n):
        train, test = manifest[fold_of != number], manifest[fold_of == number]
        for row in ours(train, test, raw, comp.data):
            keep(results, {"fold": f"u{number + 1}", **row})
        paths = [folder / "train.csv", folder / "test.csv"]
        for part, path in zip((train, test), paths, strict=True):
            part[["user", "item", "rating", "timestamp"]].to_csv(path, index=False)
        for system in ready:
            if number == 0 or system not in FIRST_FOLD_ONLY:
                row = run_peer(system, paths, (raw / comp.data.table).parent, results)
                if row:
                    keep(results, {"fold": f"u{number + 1}", **row})


def keep(results: Results, row: dict[str, Any]) -> None:
    results.rows.append(row)
    say(f"{row['fold']}  {row['system']:<28} {row['rmse']:.4f}  {row['fit_s']:.2f} s  {row.get('chosen', '')}")


def ours(train: pd.DataFrame, test: pd.DataFrame, raw: Path, data: RatingsData) -> list[dict[str, Any]]:
    """Rows of our systems on a fold: settings chosen on a fifth of `train`, then one fit on all of it."""
    order = np.random.Generator(np.random.PCG64(7)).permutation(len(train))
    inner_test, inner = train.iloc[order[: len(train) // 5]], train.iloc[order[len(train) // 5 :]]
    grids = {
        "plain": [PLAIN.model_copy(update={"weight_decay": decay}) for decay in (0.02, 0.03, 0.05)],
        "drawn": [DRAWN.model_copy(update={"factors": factors}) for factors in (8, 12, 16)],
        "all": [
            EVERYTHING.model_copy(update={"factors": factors, "ordinal": ordinal})
            for factors, ordinal in itertools.product((8, 12), (False, True))
        ],
    }
    best, inner_preds = {}, {}
    for name, candidates in grids.items():
        tried = [fit_one(inner, inner_test, model, raw, data) for model in candidates]
        errors = [rmse(preds, inner_test) for preds, _ in tried]
        best[name], inner_preds[name] = candidates[int(np.argmin(errors))], tried[int(np.argmin(errors))][0]
    fitted = {name: fit_one(train, test, model, raw, data) for name, model in best.items()}
    chosen = {
        "plain": f"weight_decay {best['plain'].weight_decay}",
        "drawn": f"factors {best['drawn'].factors}",
        "all": f"factors {best['all'].factors}, {'ordinal' if best['all'].ordinal else 'numbers'}",
    }
    rows = [
        row_of(name, protocol, fitted[key][0], test, fitted[key][1], chosen[key])
        for key, name, protocol in (
            ("plain", "pipeline, embedding", IDS),
            ("drawn", "pipeline, gibbs", IDS),
            ("all", "pipeline, gibbs with all", ALL),
        )
    ]
    share = best_share(inner_preds["plain"], inner_preds["drawn"], inner_test["rating"].to_numpy())
    blend = share * fitted["plain"][0] + (1 - share) * fitted["drawn"][0]
    seconds = fitted["plain"][1] + fitted["drawn"][1]
    rows.insert(2, row_of("pipeline, ensemble", IDS, blend, test, seconds, f"embedding's share {share:.2f}"))
    return rows


def row_of(
    system: str, protocol: str, preds: np.ndarray, test: pd.DataFrame, seconds: float, chosen: str
) -> dict[str, Any]:
    return {
        "system": system,
        "protocol": protocol,
        "rmse": round(rmse(preds, test), 5),
        "fit_s": round(seconds, 3),
        "chosen": chosen,
    }


def fit_one(
    train: pd.DataFrame, test: pd.DataFrame, model: RatingsModel, raw: Path, data: RatingsData
) -> tuple[np.ndarray, float]:
    """Predictions of `test`, and the seconds of fitting."""
    seen = Observations.of(train)
    features = (None, None)
    if model.uses_features:
        pairs = ((seen.users.raw, "users"), (seen.items.raw, "items"))
        features = tuple(read_features(raw, data, ids, name) for ids, name in pairs)
    started = time.perf_counter()
    trained = fit(seen, model, (42, model.name), features)
    seconds = time.perf_counter() - started
    return trained.predict(test["user"].tolist(), test["item"].tolist(), test["timestamp"].to_numpy()), seconds


def rmse(preds: np.ndarray, test: pd.DataFrame) -> float:
    return float(np.sqrt(np.mean((preds - test["rating"].to_numpy()) ** 2)))


def best_share(first: np.ndarray, second: np.ndarray, truth: np.ndarray) -> float:
    """The share of `first` in the blend with the least squared error."""
    difference = (first - second).astype(np.float64)
    return float(np.clip(difference @ (truth - second) / (difference @ difference), 0, 1))


def install_peers(results: Results) -> list[str]:
    """Make the peers' environment, a line of peers.txt at a time; the systems that can run."""
    uv = shutil.which("uv") or str(REPO / ".venv" / "bin" / "uv")
    python = PEERS / "bin" / "python"
    if not python.is_file():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(PEERS)], check=True)
    ready = []
    for line in (HERE / "peers.txt").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        command = [uv, "pip", "install", "-q", "--python", str(python), *line.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        systems = next(systems for name, systems in LIBRARIES.items() if line.startswith(name))
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["?"])[-1]
            results.skipped |= dict.fromkeys(systems, f"{line} does not install here: {why}")
            say(f"skipped {', '.join(systems)}: {line} does not install ({why})")
        else:
            ready += systems
    return ready


def run_peer(system: str, paths: list[Path], raw: Path, results: Results) -> dict[str, Any] | None:
    command = [PEERS / "bin" / "python", HERE / "collab_peers.py", system, *paths, raw]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["?"])[-1]
        if system not in results.skipped:
            say(f"skipped {system}: {why}")
        results.skipped[system] = why
        return None
    said = json.loads(done.stdout.strip().splitlines()[-1])
    protocol = ALL if system in FIRST_FOLD_ONLY else IDS
    numbers = {"rmse": round(said["rmse"], 5), "fit_s": round(said["fit_s"], 3)}
    return {"system": system, "protocol": protocol, **numbers}


def generate(rows: int, users: int, items: int, seed: int = 0) -> Observations:
    """Long-tailed ratings with structure: popularity and activity fall as a power, ratings follow hidden tastes."""
    import torch

    rng = np.random.default_rng(seed)
    drawn = []
    for count, power in ((users, 0.7), (items, 0.9)):
        weight = np.cumsum(1 / np.arange(1, count + 1) ** power)
        drawn.append(np.searchsorted(weight / weight[-1], rng.random(rows)).astype(np.int32))
    bias = [rng.normal(0, 0.4, count).astype(np.float32) for count in (users, items)]
    ratings = 3.5 + bias[0][drawn[0]] + bias[1][drawn[1]]
    ratings += rng.standard_normal(rows, dtype=np.float32) * 0.9
    np.clip(np.round(ratings * 2) / 2, 0.5, 5, out=ratings)
    names = [Ids(tuple(map(str, range(count)))) for count in (users, items)]
    times = torch.zeros(rows, dtype=torch.int8)
    return Observations(*names, *map(torch.from_numpy, drawn), torch.from_numpy(ratings), times)


def time_an_epoch(rows: int) -> dict[str, Any]:
    """Seconds and peak memory of one epoch of the plain model."""
    users, items = SIZES[rows]
    seen = generate(rows, users, items)
    told: list[float] = []
    started = time.perf_counter()
    fit(seen, PLAIN.model_copy(update={"epochs": 1}), (1,), tell=lambda epoch, error: told.append(error))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    numbers = {"epoch_s": round(seconds, 2), "us_a_rating": round(seconds / rows * 1e6, 3), "peak_gb": round(peak, 2)}
    return {"ratings": rows, "users": users, "items": items, **numbers, "train_rmse": round(told[-1], 4)}


def in_a_process(rows: int) -> dict[str, Any]:
    """The same in a process of its own, so that its peak of memory is its own."""
    say(f"an epoch of {rows:,} generated ratings")
    command = [sys.executable, str(Path(__file__).resolve()), "--epoch-of", str(rows)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def beside_another() -> dict[str, float]:
    """Seconds of a fit alone and beside one busy process, torch's threads as they come (nothing set)."""
    seen = generate(100_000, *SIZES[100_000])
    alone = min(timed_fit(seen) for _ in range(3))
    busy = multiprocessing.get_context("fork").Process(target=spin, daemon=True)
    busy.start()
    try:
        beside = min(timed_fit(seen) for _ in range(3))
    finally:
        busy.terminate()
        busy.join()
    return {"alone_s": round(alone, 3), "beside_s": round(beside, 3), "ratio": round(beside / alone, 2)}


def timed_fit(seen: Observations) -> float:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)  # as a process that sets nothing has it
    started = time.perf_counter()
    fit(seen, PLAIN, (1,))
    return time.perf_counter() - started


def spin() -> None:
    value = np.random.default_rng(0).random((400, 400))
    while True:
        value = value @ value
        value /= np.abs(value).max()


def print_tables(results: Results) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    folds = sorted({row["fold"] for row in results.rows})
    for protocol in (IDS, ALL):
        table = Table(title=f"MovieLens 100k, published folds, {protocol}: RMSE", title_justify="left")
        for heading in ("system", *folds, "mean", "fit, s"):
            table.add_column(heading, justify="left" if heading == "system" else "right")
        for system in dict.fromkeys(row["system"] for row in results.rows if row["protocol"] == protocol):
            own = {row["fold"]: row for row in results.rows if row["system"] == system}
            errors = [f"{own[name]['rmse']:.4f}" if name in own else "" for name in folds]
            mean = f"{np.mean([row['rmse'] for row in own.values()]):.4f}" if len(own) == len(folds) else ""
            table.add_row(system, *errors, mean, f"{np.mean([row['fit_s'] for row in own.values()]):.2f}")
        console.print(table)
    for row in results.scale:
        console.print(
            f"{row['ratings']:>12,} ratings: an epoch {row['epoch_s']:.1f} s ({row['us_a_rating']:.2f} us a rating), "
            f"{row['peak_gb']:.2f} GB"
        )
    console.print(f"beside a busy process: {results.busy}")
    for system, why in results.skipped.items():
        console.print(f"skipped {system}: {why}")


if __name__ == "__main__":
    main()
