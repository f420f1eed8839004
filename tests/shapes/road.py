"""From a drawn download to a graded submission, by the shipped file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import competitions
from tests.command import Result, pipeline
from tests.shapes import Shape

# What a download is too large for here: models are drawn small, by what they are; all else stays as it is shipped.
IMAGES = ["arch=test_resnet", "weights=none", "size=32", "resize={size = 36, method = 'squish'}", "batch_size=8"]
IMAGES += ["epochs=2", "lr=0.01", "tta=1"]
RATINGS = {"gibbs": ["epochs=30"], "": ["epochs=2", "batch_size=64"]}


@dataclass(frozen=True)
class Drawn:
    """A shape, drawn below `folder`, and the root to which Kaggle's zip of it was downloaded."""

    shape: Shape
    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def call(self, command: str, *options: object) -> Result:
        """A command on the shipped file; only its models are made small. Raises AssertionError unless it ends well."""
        small = [word for said in smaller(self.shape) for word in ("--set", said)]
        result = pipeline(command, self.shape.name, "--root", self.root, *small, *options)
        assert result.code == 0, f"{self.shape.slug}: {command}: {result.err}"
        return result

    def submission(self) -> Path:
        (path,) = (self.root / "submissions").glob("*/*.csv")
        return path


def drawn(shape: Shape, folder: Path) -> Drawn:
    """Draw it, and put its zip where a download of Kaggle's lies: the file's own source is used."""
    shape.draw(folder)
    (folder / "root" / "data").mkdir(parents=True)
    shape.download(folder).rename(folder / "root" / "data" / f"{shape.slug}.zip")
    return Drawn(shape, folder)


def smaller(shape: Shape) -> list[str]:
    """Overrides by which the shipped file's models train in a second."""
    comp = competitions.load(shape.name)
    said = ["folds.share=0.5" if comp.folds.n == 1 else "folds.n=2"]
    for number, model in enumerate(comp.models):
        said += [f"models.{number}.{own}" for own in _own(comp.kind, model)]
    return said


def _own(kind: str, model: Any) -> list[str]:
    if kind == "ratings":
        return RATINGS["gibbs" if model.method == "gibbs" else ""]
    return [] if model.arch.startswith("table:") else IMAGES


def grades(drawn: Drawn) -> tuple[float, float]:
    """The competition's grader's score of the newest submission, and that of `pipeline score`."""
    path, answers = drawn.submission(), drawn.shape.answers(drawn.folder)
    submission, truth = (pd.read_csv(file, dtype=str, keep_default_na=False) for file in (path, answers))
    result = drawn.call("score", "--solution", answers, "--json").json
    return drawn.shape.grade(submission, truth), result["score"]
