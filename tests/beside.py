"""A competition whose label is in the picture and in a column: its colour, and whether an age is above 50."""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.drawn import COLOURS, SHAPES, picture

TOML = """\
slug = "beside"
metric = "accuracy"

[source]
path = "{raw}"

[data]
table = "train.csv"
id = "image_id"
images = "train/{{image_id}}"
test = "test"
features = ["age", "site", "margin*"]

[[targets]]
name = "label"

[folds]
n = 2

[[models]]
name = "picture"
{network}

[[models]]
name = "both"
features = true
{network}

[[models]]
name = "table"
arch = "table:forest"
options = {{ trees = 50 }}
"""
NETWORK = """\
arch = "test_resnet"
weights = "none"
resize = { size = 40, method = "squish" }
size = 32
batch_size = 16
epochs = 6
lr = 0.01
dropout = 0.2
tta = 1"""
SITES = ("arm", "back", "leg")


def draw_rows(folder: Path, count: int, first: int) -> pd.DataFrame:
    """Pictures in a folder, and their rows: image_id, label, age, site and two margins that tell nothing."""
    rng = np.random.Generator(np.random.PCG64(first))
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(first, first + count):
        colour, name = list(COLOURS)[number % 3], f"{number:04}.png"
        picture(colour, SHAPES[number // 3 % 2], number).save(folder / name)
        age = int(rng.integers(20, 80))
        site = SITES[int(rng.integers(len(SITES)))]
        margins = [round(float(value), 3) for value in rng.normal(size=2)]
        rows.append((name, f"{colour}-{'old' if age > 50 else 'young'}", str(age), site, *margins))
    return pd.DataFrame(rows, columns=["image_id", "label", "age", "site", "margin1", "margin2"])


def write_beside(folder: Path, train: int = 180, test: int = 30) -> Path:
    """Write raw/, solution.csv and beside.toml into `folder`; return the TOML's path."""
    raw = folder / "raw"
    known, asked = draw_rows(raw / "train", train, 0), draw_rows(raw / "test", test, 1000)
    known.to_csv(raw / "train.csv", index=False)
    asked.drop(columns="label").to_csv(raw / "test.csv", index=False)
    asked[["image_id"]].assign(label="").to_csv(raw / "sample_submission.csv", index=False)
    asked[["image_id", "label"]].to_csv(folder / "solution.csv", index=False)
    path = folder / "beside.toml"
    path.write_text(TOML.format(raw=raw, network=NETWORK))
    return path
