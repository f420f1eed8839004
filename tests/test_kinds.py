"""Targets that are no classes, the whole road: numbers, tags and yes or no, learned together."""

from pathlib import Path

import pandas as pd
import pytest

from tests.command import pipeline
from tests.drawn import write_competition

AGES = {"blue": 10.0, "green": 40.0, "red": 90.0}
TARGETS = """targets=[
    {name="age", kind="regression"}, {name="tags", kind="multilabel"}, {name="round", column="form", kind="binary"}
]"""


@pytest.fixture(scope="module")
def comp(tmp_path_factory) -> Path:
    """The tiny competition with an age and tags for each picture, which follow from its colour and shape."""
    path = write_competition(tmp_path_factory.mktemp("kinds"), train=96)
    for table in ("raw/train.csv", "solution.csv"):
        rows = pd.read_csv(path.parent / table)
        rows["age"] = rows["colour"].map(AGES)
        rows["tags"] = rows["colour"].where(rows["colour"] != "green", "") + " " + rows["form"]
        rows.to_csv(path.parent / table, index=False)
    sample = path.parent / "raw/sample_submission.csv"
    pd.read_csv(sample).rename(columns={"colour": "age"}).assign(age=0.0).to_csv(sample, index=False)
    return path


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_numbers_tags_and_yes_or_no_are_learned_together(comp, tmp_path, mixup):
    settings = {"epochs": 10, "dropout": 0.0, "lr": 0.02, "batch_size": 8, "mixup": mixup}
    sets = [TARGETS, "submission.columns={age='age'}", "metric=rmse"]
    sets += [f"models.0.{name}={value}" for name, value in settings.items()]
    options = [part for each in sets for part in ("--set", each)]
    result = pipeline("run", comp, "--root", tmp_path, "--json", *options)
    assert result.code == 0, result.err
    learned = next(row for row in result.json["rows"] if row["name"] == "resnet")["cv"]
    spread = pd.read_csv(comp.parent / "raw/train.csv")["age"].std()
    assert learned["age"]["rmse"] < 0.8 * spread
    assert learned["tags"]["label_accuracy"] > 0.65, "the most frequent answers have 0.58"
    graded = pipeline("score", comp, "--root", tmp_path, "--solution", comp.parent / "solution.csv", "--json", *options)
    assert graded.json["score"] < 0.8 * spread
    sent = pd.read_csv(graded.json["submission"])["age"]
    assert sent.between(-50, 150).all()
    assert sent.nunique() > 6
