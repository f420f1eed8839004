"""What a competition to be drawn is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tests.shapes.drawing import Drawing, zip_folder
from tests.shapes.graders import Grader


@dataclass(frozen=True)
class Shape:
    """A competition by its name on Kaggle. `fill` draws its files and returns the answers to its test set."""

    slug: str
    fill: Callable[[Drawing], pd.DataFrame]
    grade: Grader  # of a submission and the answers, as tables of text
    file: str = ""  # the shipped competition file, where it is called otherwise
    sample: str = "sample_submission.csv"
    rows: int = 1  # of the answers for each image
    images: int = 0  # of the test set, where some have more rows than others

    @property
    def name(self) -> str:
        """The shipped competition file."""
        return self.file or self.slug

    def draw(self, folder: Path) -> Path:
        """Draw into `folder`, which need not be there; returns the folder of the raw files."""
        answers = self.fill(Drawing(folder / "raw"))
        answers.to_csv(self.answers(folder), index=False)
        return folder / "raw"

    def answers(self, folder: Path) -> Path:
        """Where `draw` puts the answers, beside the raw files."""
        return folder / "answers.csv"

    def download(self, folder: Path) -> Path:
        """What is drawn, as Kaggle sends it: one zip."""
        return zip_folder(folder / "raw", folder / f"{self.slug}.zip", folder / "raw")
