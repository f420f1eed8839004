"""Every kind of target the whole road; and numbers, tags and yes or no learned together."""

import ast
from pathlib import Path

import pandas as pd
import pytest

from pipeline.metrics import METRICS
from pipeline.targets import KINDS
from pipeline.targets.category import Category
from tests.command import pipeline
from tests.drawn import write_competition
from tests.plugged import plugged

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
    rows = pd.read_csv(sample)
    rows.rename(columns={"colour": "age"}).assign(age=0.0).to_csv(sample, index=False)
    rows.rename(columns={"colour": "answer"}).to_csv(sample.with_name("any.csv"), index=False)
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


COLUMN = {"category": "colour", "binary": "form", "multilabel": "tags", "regression": "age"}


def road(comp: Path, root: Path, kind: str, column: str) -> dict:
    """What the whole road, and the grade of what it would send, give for one target of a kind."""
    metric = next(name for name in KINDS[kind].standard_metrics if not METRICS[name].needs_probabilities)
    sets = [f'targets=[{{name="it", kind="{kind}", column="{column}"}}]', 'submission.columns={answer="it"}']
    sets += [
        f"metric={metric}",
        "submission.sample=any.csv",
        "models.0.epochs=3",
        "models.1.epochs=1",
        "ensemble.method=weighted",
    ]
    options = [part for each in sets for part in ("--set", each)]
    result = pipeline("run", comp, "--root", root, "--json", *options)
    assert result.code == 0, result.err
    trained = next(row for row in result.json["rows"] if row["name"] == "resnet")["cv"]["it"]
    graded = pipeline("score", comp, "--root", root, "--solution", comp.parent / "solution.csv", "--json", *options)
    assert graded.code == 0, graded.err
    sent = pd.read_csv(graded.json["submission"], dtype=str, keep_default_na=False)["answer"]
    history = pd.read_csv(next(root.rglob("fold-0/history.csv")))
    return {"metric": metric, "trained": trained, "graded": graded.json, "sent": sent, "history": history}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_the_whole_road(comp, tmp_path, kind):
    seen = road(comp, tmp_path, kind, COLUMN[kind])
    assert set(KINDS[kind].standard_metrics) <= set(seen["trained"])
    assert f"it_{KINDS[kind].error_name}" in seen["history"].columns
    answers = pd.read_csv(comp.parent / "solution.csv", dtype=str, keep_default_na=False)[COLUMN[kind]]
    if kind == "regression":
        assert seen["sent"].astype(float).nunique() > 6
        assert seen["graded"]["score"] < 2 * answers.astype(float).std()
    else:
        words = {word for answer in answers for word in answer.split()}
        assert {word for cell in seen["sent"] for word in cell.split()} <= words
        assert 0 <= seen["graded"]["score"] <= 1


class Grade(Category):
    """A kind of one's own: classes in an order, whose error is the distance of their codes."""

    alike = ("category",)
    standard_metrics = ("quadratic_kappa", "accuracy")
    error_name = "steps"

    def error(self, decided, labels):
        return (decided - labels).abs().float().mean()


def test_a_kind_that_a_plug_in_adds_goes_it_too(comp, tmp_path):
    with plugged():
        KINDS.add("grade", Grade())
        seen = road(comp, tmp_path, "grade", "colour")
    assert seen["metric"] == "quadratic_kappa"
    assert "it_steps" in seen["history"].columns
    assert set(seen["sent"]) <= {"blue", "green", "red"}
    refused = pipeline("status", comp, "--root", tmp_path, "--set", 'targets=[{name="it", kind="grade"}]')
    assert refused.code == 2
    assert "expected 'category', 'binary', 'multilabel' or 'regression'" in refused.err


def test_nobody_tells_kinds_apart_by_their_names():
    """A branch on a name, with one for the rest, would take a new kind for another."""
    for path in (Path(__file__).parents[1] / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare | ast.Match):
                named = {inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)} & set(KINDS)
                assert not named, f"{path}:{node.lineno} asks for {named}"
