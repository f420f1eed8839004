"""The road beside a plain fastai script: the same models, folds and epochs, errors and seconds side by side.

`make bench-road`, or `.venv/bin/python benchmarks/road.py [COMP ...]`. For each competition the pipeline goes
its whole road in a fresh folder, then `plain_fastai.py` trains each model on the same folds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine import describe_machine
from rich.console import Console
from rich.table import Table

from pipeline.commands.score import load_test, score_predictions
from pipeline.competitions import load
from pipeline.config import Competition
from pipeline.workspace import Workspace, write_json

HERE = Path(__file__).resolve().parent
REPO = HERE.parent
SHARED = REPO.parent / "shared" / "data"
RESULTS = HERE / "results" / "road.json"
OURS, PLAIN = "pipeline", "plain fastai"
QUIET = 0.5  # load average of the last minute


@dataclass(frozen=True)
class Entry:
    """A competition of the benchmark: its archive, and its answers where the pipeline does not hold them."""

    name: str
    archive: Path | None = None
    solution: Path | None = None

    @property
    def absent(self) -> list[Path]:
        return [path for path in (self.archive, self.solution) if path is not None and not path.is_file()]


ENTRIES = {
    "demo": Entry("demo"),
    "pets": Entry("pets", SHARED / "oxford-pets-mini.tgz"),
    "clothes": Entry("clothes", SHARED / "clothes-colour-type.zip", SHARED / "clothes-solution.csv"),
}


@dataclass
class Results:
    """What is written: rows of both systems, the wall time of each, and what was left out."""

    machine: dict[str, Any]
    quick: bool
    rows: list[dict[str, Any]] = field(default_factory=list)
    wall: dict[str, dict[str, float]] = field(default_factory=dict)
    submission: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def main() -> None:
    args = parse_args()
    results = Results(describe_machine(), args.quick)
    if results.machine["load"] > QUIET:
        say(f"warning: the load is {results.machine['load']}; seconds compare only on a quiet machine")
    for name in args.competitions:
        entry = ENTRIES[name]
        if entry.absent:
            results.skipped[name] = f"no {', '.join(str(path) for path in entry.absent)}"
            say(f"skipped {name}: {results.skipped[name]}")
            continue
        with tempfile.TemporaryDirectory(prefix=f"bench-road-{name}-") as folder:
            measure(entry, Path(folder), results)
        keep(args.out, results)
    print_side_by_side(results)
    if keep(args.out, results):
        say(f"wrote {args.out}")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("competitions", nargs="*", metavar="COMP", help="demo, pets or clothes; default: all")
    parser.add_argument("--only", action="append", metavar="COMP", help="the same as naming it")
    parser.add_argument("--quick", action="store_true", help="1 epoch and 2 folds, to see it run")
    parser.add_argument("--out", type=Path, help="the JSON file; results/road.json if all is measured")
    args = parser.parse_args()
    args.competitions = [*args.competitions, *(args.only or [])] or list(ENTRIES)
    unknown = [name for name in args.competitions if name not in ENTRIES]
    if unknown:
        parser.error(f"no competition {unknown[0]!r} here; known are {', '.join(ENTRIES)}")
    present = {name for name in args.competitions if not ENTRIES[name].absent}
    complete = not args.quick and present == set(ENTRIES)
    args.out = args.out or (RESULTS if complete else None)  # a part never replaces the whole
    return args


def keep(out: Path | None, results: Results) -> bool:
    """Write what is measured so far, if there is a file for it and anything was measured."""
    if out is None or not results.rows:
        return False
    write_json(out, vars(results))
    return True


def measure(entry: Entry, root: Path, results: Results) -> None:
    """Run both systems on one competition in the folder `root`, and add what they reach to `results`."""
    sets = [f"source.path={entry.archive}"] if entry.archive else []
    if results.quick:
        models = range(len(load(entry.name).models))
        sets += ["folds.n=2", *[f"models.{n}.{setting}" for n in models for setting in ("epochs=1", "tta=1")]]
    comp, workspace = load(entry.name, sets), Workspace(root, load(entry.name).slug)
    options = ["--root", str(root), *[part for each in sets for part in ("--set", each)]]
    wall = results.wall.setdefault(entry.name, {})

    ran, wall[OURS] = timed(entry.name, OURS, ["-m", "pipeline", "run", entry.name, "--json", *options])
    results.rows += our_rows(entry, comp, workspace, ran["rows"])
    results.submission[entry.name] = ran["score"] or grade(entry, options)

    wall[PLAIN] = 0.0
    solution = ["--solution", str(entry.solution)] if entry.solution else []
    for model in comp.models:
        script = [str(HERE / "plain_fastai.py"), entry.name, "--model", model.name]
        row, seconds = timed(entry.name, f"{PLAIN}, {model.name}", [*script, *options, *solution])
        results.rows.append({**row, "competition": entry.name, "system": PLAIN})
        wall[PLAIN] = round(wall[PLAIN] + seconds, 1)


def our_rows(
    entry: Entry, comp: Competition, workspace: Workspace, closing: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """A row for each model and the ensemble, with the test score of every target that has answers."""
    rows = []
    for row in closing:
        graded = score_predictions(comp, workspace, load_test(workspace, row["name"]), entry.solution)
        rows.append(
            {
                "competition": entry.name,
                "system": OURS,
                "model": row["name"],
                "cv": row["cv"],
                "tta_cv": row["tta_cv"],
                "test": graded["targets"],
                "seconds": row["seconds"],
            }
        )
    return rows


def grade(entry: Entry, options: Sequence[str]) -> dict[str, Any]:
    """What `pipeline score` says of the submission against answers that the pipeline has never seen."""
    command = ["-m", "pipeline", "score", entry.name, "--json", "--solution", str(entry.solution), *options]
    return timed(entry.name, "pipeline score", command)[0]


def timed(comp: str, label: str, arguments: Sequence[str]) -> tuple[dict[str, Any], float]:
    """The JSON that a Python program prints, and its seconds of wall time. Ends the benchmark if it fails."""
    say(f"== {comp}: {label}")
    started = time.monotonic()
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=REPO, stdout=subprocess.PIPE, text=True, check=False)
    seconds = round(time.monotonic() - started, 1)
    if done.returncode:
        sys.exit(f"{comp}: {label} failed with exit code {done.returncode} after {seconds} s (see above)")
    say(f"== {comp}: {label} took {seconds} s")
    return json.loads(done.stdout), seconds


def print_side_by_side(results: Results) -> None:
    """One line for each model and target: error in cross-validation, accuracy on the test images, seconds."""
    table = Table(title="pipeline | plain fastai", title_justify="left")
    table.add_column("competition")
    table.add_column("model")
    table.add_column("target")
    for heading in ("CV error", "CV error, TTA", "test accuracy", "seconds"):
        table.add_column(heading, justify="right")
    for name, wall in results.wall.items():
        for ours in (row for row in results.rows if (row["competition"], row["system"]) == (name, OURS)):
            add_model(table, ours, find_plain(results.rows, ours))
        table.add_row(name, "all, from archive to score", "", "", "", "", pair(wall[OURS], wall[PLAIN], digits=0))
        table.add_section()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    console.print(table)
    for name, reason in results.skipped.items():
        console.print(f"skipped {name}: {reason}")


def find_plain(rows: Sequence[dict[str, Any]], ours: dict[str, Any]) -> dict[str, Any]:
    """The plain script's row of the same model; an empty one for the ensemble."""
    key = (ours["competition"], PLAIN, ours["model"])
    found = [row for row in rows if (row["competition"], row["system"], row["model"]) == key]
    return found[0] if found else {"cv": {}, "tta_cv": {}, "test": {}, "seconds": None}


def add_model(table: Table, ours: dict[str, Any], plain: dict[str, Any]) -> None:
    """Add a model's line for each target; its seconds stand in the first."""
    for number, target in enumerate(ours["tta_cv"]):
        cells = []
        for kind in ("cv", "tta_cv"):
            cells.append(pair(*[row[kind].get(target, {}).get("error_rate") for row in (ours, plain)]))
        cells.append(pair(ours["test"].get(target), plain["test"].get(target)))
        cells.append(pair(ours["seconds"], plain["seconds"], digits=0) if number == 0 else "")
        table.add_row(ours["competition"], ours["model"], target, *cells)


def pair(ours: float | None, plain: float | None, digits: int = 4) -> str:
    """Two numbers side by side, or the one that there is."""
    shown = [f"{value:.{digits}f}" if value is not None else "-" for value in (ours, plain)]
    return "" if ours is None and plain is None else " | ".join(shown)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
