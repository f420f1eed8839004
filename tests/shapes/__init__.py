"""Small competitions in the layouts that Kaggle's downloads have, with their answers and a grader of each.

`SHAPES[slug].draw(folder)` writes `folder/raw`, which is what the download unpacks to, and `folder/answers.csv` beside
it; `grade(submission, answers)` refuses what the host refuses, or gives the score. The shipped competition file of that
slug fits the drawing as it fits the download.
"""

from tests.shapes import animals, cells, medicine, plants, things
from tests.shapes.shape import Shape

SHAPES: dict[str, Shape] = {
    shape.slug: shape for room in (plants, animals, medicine, things, cells) for shape in room.SHAPES
}

__all__ = ["SHAPES", "Shape"]
