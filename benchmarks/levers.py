"""What levers of transfer learning gain: ImageNet's lite0 at 128 px on the Pets and clothes photos, out of fold.

`.venv/bin/python benchmarks/levers.py [pets clothes] [--seeds 3] [--ways WAY ...] [--out FILE]`: about three minutes
a seed of Pets, a quarter of an hour one of clothes, on two quiet cores. A seed draws folds, heads, batches and
augmentations; each way gets the same rows. The interval is of the difference to `default` over the rows of all seeds,
by a paired bootstrap over images.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from machine import describe_machine
from rich.console import Console
from rich.table import Table

from pipeline import Project
from pipeline.workspace import write_json, write_text

RESULTS = Path(__file__).resolve().parent / "results" / "levers.json"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SEEDS, DRAWS = 3, 2000
SETS = {
    "pets": """\
[source]
path = "{shared}/oxford-pets-mini.tgz"
[data]
images = "oxford-iiit-pet/images"
[[targets]]
name = "breed"
regex = '^(.+)_\\d+\\.jpg$'
""",
    "clothes": """\
[source]
path = "{shared}/clothes-colour-type.zip"
[data]
table = "train.csv"
id = "image_id"
images = "train_images/{{label}}/{{image_id}}"
[[targets]]
name = "label"
[[targets]]
name = "colour"
""",
}
MODEL = """
[[models]]
name = "{name}"
arch = "tf_efficientnet_lite0"
weights = "{shared}/tf_efficientnet_lite0.safetensors"
resize = {{ size = 160, method = "squish" }}
size = 128
batch_size = 32
tta = 0
{settings}
"""
DEFAULT = "default"
WAYS = {
    DEFAULT: "epochs = 3",
    "frozen_bn": "epochs = 3\nfrozen_bn = true",
    "one_cycle": 'epochs = 4\nschedule = "one_cycle"\nlr = 0.0003',
    "one_cycle, frozen_bn": 'epochs = 4\nschedule = "one_cycle"\nlr = 0.0003\nfrozen_bn = true',
    "probe": 'schedule = "probe"\npooling = "avg"',
    "from the probe, frozen_bn": (
        'epochs = 3\nschedule = "one_cycle"\nlr = 0.0001\nfrozen_bn = true\nprobe = true\npooling = "avg"'
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", help=f"some of {', '.join(SETS)}; all by default")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="beside the default")
    parser.add_argument("--out", type=Path, help="default: results/levers.json for all sets and three seeds")
    args = parser.parse_args()
    chosen = args.sets or list(SETS)
    if unknown := set(chosen) - set(SETS):
        parser.error(f"no set {min(unknown)!r}: some of {', '.join(SETS)}")
    ways = {way: said for way, said in WAYS.items() if way in (DEFAULT, *args.ways)}
    results: dict[str, Any] = {"machine": describe_machine(), "seeds": args.seeds, "ways": ways, "rows": []}
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="bench-levers-") as root:
            results["rows"] += measure(name, Path(root), args.seeds, ways)
    show(results["rows"])
    out = args.out or (RESULTS if chosen == list(SETS) and args.seeds == SEEDS and ways == WAYS else None)
    if out:
        write_json(out, results)


def measure(name: str, root: Path, seeds: int, ways: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row a way: its error (the mean over targets), seconds of training all folds, the difference to the default."""
    file, keys = root / f"{name}.toml", {way: f"way-{number}" for number, way in enumerate(ways)}
    models = [MODEL.format(name=keys[way], shared=SHARED, settings=said) for way, said in ways.items()]
    head = f'slug = "{name}"\nmetric = "accuracy"\n'
    write_text(file, head + SETS[name].format(shared=SHARED) + "[folds]\nn = 3\n" + "".join(models))
    wrong: dict[str, list[pd.Series]] = {way: [] for way in ways}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for seed in range(seeds):
        project = Project(file, root / str(seed), [f"seed={seed}"])
        for stage in ("data", "check", "folds", "presize"):
            project.stage(stage)
        for way, model in keys.items():
            project.train(model)
            project.predict(model)
            wrong[way].append(errors_of(project, model))
            seconds[way].append(seconds_of(project, model))
    return [
        {
            "set": name,
            "way": way,
            "error": round(float(np.mean([each.mean() for each in wrong[way]])), 4),
            "by_seed": [round(float(each.mean()), 4) for each in wrong[way]],
            "to_default": interval(wrong[way], wrong[DEFAULT]),
            "seconds": round(float(np.median(seconds[way])), 1),
        }
        for way in ways
    ]


def errors_of(project: Project, model: str) -> pd.Series:
    """The share of its targets that each out-of-fold image is wrong in, by id."""
    preds = project.predictions(model)
    truth = project.manifest.set_index("id").loc[list(preds.ids)]
    wrong = [
        np.array(spec.vocab)[preds.values[spec.name].argmax(axis=1)] != truth[spec.name].to_numpy()
        for spec in preds.specs
    ]
    return pd.Series(np.mean(wrong, axis=0), index=preds.ids)


def seconds_of(project: Project, model: str) -> float:
    """Of the epochs of all folds, or of the probe."""
    folds = range(project.competition.folds.n)
    return sum(pd.read_csv(project.workspace.history(model, fold))["seconds"].sum() for fold in folds)


def interval(own: Sequence[pd.Series], other: Sequence[pd.Series]) -> dict[str, float]:
    """The mean difference, and where 95 of 100 draws of images put it."""
    pairs = zip(own, other, strict=True)
    each = pd.concat([a - b.loc[a.index] for a, b in pairs]).groupby(level=0).mean().to_numpy()
    rng = np.random.default_rng(0)
    means = [rng.choice(each, len(each)).mean() for _ in range(DRAWS)]
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": round(float(each.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(title="error out of fold", title_justify="left")
    for heading in ("set", "way", "error", "to default", "95 %", "seconds"):
        table.add_column(heading, justify="left" if heading in ("set", "way") else "right")
    for row in rows:
        gain = row["to_default"]
        between = f"{gain['low']:+.3f} to {gain['high']:+.3f}" if row["way"] != DEFAULT else ""
        shown = f"{gain['mean']:+.3f}" if row["way"] != DEFAULT else ""
        table.add_row(row["set"], row["way"], f"{row['error']:.3f}", shown, between, f"{row['seconds']:.0f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
