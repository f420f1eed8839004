"""A tiny image competition for tests that walk the road: two targets, learnable in an epoch, drawn in a second."""

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (40, 60, 220), "green": (40, 180, 60), "red": (220, 50, 40)}
SHAPES = ("bar", "dot")

TOML = """\
slug = "tiny"
metric = "accuracy"
seed = 7

[source]
path = "{raw}"

[data]
table = "train.csv"
id = "image_id"
images = "train_images/{{colour}}/{{image_id}}"
test = "test_images"

[[targets]]
name = "colour"

[[targets]]
name = "shape"
column = "form"
weight = 0.5

[folds]
n = 2

[[models]]
name = "resnet"
arch = "test_resnet"
weights = "none"
resize = {{ size = 40, method = "squish" }}
size = 32
batch_size = 16
epochs = 2
lr = 0.01
tta = 1

[[models]]
name = "byobnet"
arch = "test_byobnet"
weights = "none"
resize = {{ size = 40, method = "crop" }}
size = 32
batch_size = 16
accumulate = 2
epochs = 2
lr = 0.01
tta = 1

[submission]
columns = {{ colour = "colour" }}
"""


def picture(colour: str, shape: str, seed: int) -> Image.Image:
    """A 44 x 36 noise picture with a bar or a dot of the colour."""
    generator = np.random.Generator(np.random.PCG64(seed))
    pixels = generator.integers(90, 150, (36, 44, 3), dtype=np.uint8)
    row, column = generator.integers(6, 20, 2)
    height, width = (22, 6) if shape == "bar" else (11, 11)
    pixels[row : row + height, column : column + width] = COLOURS[colour]
    return Image.fromarray(pixels)


def write_competition(folder: Path, train: int = 48, test: int = 12, shuffle: int | None = None) -> Path:
    """Write raw/, solution.csv and tiny.toml into `folder`; return the TOML's path.

    `shuffle` seeds another order of the rows in the tables, with the same content.
    """
    raw = folder / "raw"
    train_rows = [_draw(raw / "train_images", number, True) for number in range(train)]
    test_rows = [_draw(raw / "test_images", 1000 + number, False) for number in range(test)]
    if shuffle is not None:
        generator = np.random.Generator(np.random.PCG64(shuffle))
        train_rows = [train_rows[i] for i in generator.permutation(train)]
        test_rows = [test_rows[i] for i in generator.permutation(test)]
    _table(raw / "train.csv", "image_id,colour,form", train_rows)
    _table(raw / "sample_submission.csv", "image_id,colour", [(*row[:1], "") for row in test_rows])
    _table(folder / "solution.csv", "image_id,colour,form", test_rows)
    path = folder / "tiny.toml"
    path.write_text(TOML.format(raw=raw))
    return path


def _draw(folder: Path, number: int, by_class: bool) -> tuple[str, str, str]:
    colour, shape = list(COLOURS)[number % 3], SHAPES[number // 3 % 2]
    name = f"{number:04}.png"
    place = folder / colour if by_class else folder
    place.mkdir(parents=True, exist_ok=True)
    picture(colour, shape, number).save(place / name)
    return name, colour, shape


def _table(path: Path, header: str, rows: list[tuple[str, ...]]) -> None:
    path.write_text("\n".join([header, *[",".join(row) for row in rows]]) + "\n")
