"""Competitions as Kaggle hands them out, drawn small: the shipped file of each fits, and its grader takes what comes.

A few go down the whole road here; `make test-shapes` takes all of them.
"""

import re
from pathlib import Path

import pandas as pd
import pytest
import tomli_w

from pipeline import competitions
from pipeline.data.tables import read_table
from tests.shapes import SHAPES, Shape
from tests.shapes.graders import RefusedSubmission
from tests.shapes.road import Drawn, drawn, grades

# One of each form: grades from numbers, tags in a cell, a column a class, a probability, a number, folders as labels.
WALKED_HERE = (
    "aptos2019-blindness-detection",
    "imet-2020-fgvc7",
    "plant-pathology-2020-fgvc7",
    "ranzcr-clip-catheter-line-classification",
    "state-farm-distracted-driver-detection",
    "petfinder-pawpularity-score",
)
OTHERS = {slug: shape for slug, shape in SHAPES.items() if slug not in WALKED_HERE}


def each(shapes: dict[str, Shape]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("shape", shapes.values(), ids=list(shapes))


def answers_of(shape: Shape, folder: Path) -> pd.DataFrame:
    shape.draw(folder)
    return pd.read_csv(shape.answers(folder), dtype=str, keep_default_na=False)


def walks(one: Drawn) -> None:
    """The whole road; what is sent has the sample's columns, ids and order, and one score from both graders."""
    one.call("run")
    sample = read_table(one.folder / "raw" / one.shape.sample, "sample")
    sent = pd.read_csv(one.submission(), dtype=str, keep_default_na=False)
    assert list(sent.columns) == list(sample.columns)
    assert sent.iloc[:, 0].tolist() == sample.iloc[:, 0].tolist()
    independent, ours = grades(one)
    assert ours == pytest.approx(independent, abs=2e-6)


@each(SHAPES)
def test_a_grader_gives_the_best_score_to_the_answers_and_refuses_what_the_host_refuses(shape, tmp_path):
    answers = answers_of(shape, tmp_path)
    best, other = shape.grade(answers, answers), shape.grade(answers.iloc[::-1], answers)
    assert best == pytest.approx(round(best), abs=1e-9)
    assert other == pytest.approx(best)  # the order of rows says nothing
    for wrong in (answers.iloc[1:], pd.concat([answers, answers.iloc[:1]]), answers.iloc[:, ::-1]):
        with pytest.raises(RefusedSubmission):
            shape.grade(wrong, answers)


@each(SHAPES)
def test_a_shipped_file_says_the_same_once_resolved(shape, tmp_path):
    comp = competitions.load(shape.name)
    assert comp.source.kaggle == shape.slug
    assert comp.slug == shape.slug.lower()
    path = tmp_path / "resolved.toml"
    path.write_text(tomli_w.dumps(comp.resolved().model_dump(exclude_none=True, mode="json")))
    assert competitions.load(str(path)).resolved().settings() == comp.resolved().settings()


@each(OTHERS)
def test_a_shipped_file_fits_the_download(shape, tmp_path):
    """With everything that is checked of the submission before training."""
    one = drawn(shape, tmp_path)
    said = one.call("data").err
    found = re.search(r"data: [\d,]+ training and (\d+) test", said)
    assert found, said
    asked = len(pd.read_csv(shape.answers(tmp_path)))
    assert int(found[1]) == (shape.images or asked / shape.rows)
    one.call("check")


@pytest.mark.parametrize("slug", WALKED_HERE)
def test_the_road_ends_in_a_submission_that_the_grader_takes(slug, tmp_path):
    walks(drawn(SHAPES[slug], tmp_path))


@pytest.mark.shapes
@each(OTHERS)
def test_every_road_ends_in_a_submission_that_the_grader_takes(shape, tmp_path):
    walks(drawn(shape, tmp_path))


def test_what_docs_list_is_shipped_and_drawn():
    table = (Path(__file__).parent.parent / "docs" / "competitions.md").read_text()
    assert set(re.findall(r"^\| `([\w-]+)`", table, re.MULTILINE)) == {shape.name for shape in SHAPES.values()}
