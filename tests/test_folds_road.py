"""Folds that do not hold every row out, and tags, through the whole road."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.command import pipeline
from tests.drawn import write_competition

QUICK = ("models.0.epochs=1", "models.1.epochs=1")


@pytest.fixture
def comp(tmp_path) -> Path:
    return write_competition(tmp_path / "comp")


def add_column(comp: Path, name: str, cells: list) -> None:
    path = comp.parent / "raw" / "train.csv"
    pd.read_csv(path, dtype=str).assign(**{name: cells}).to_csv(path, index=False)


def walk(comp: Path, *overrides: str) -> tuple[Path, str]:
    """The root of a run to the submission, and what it said."""
    root = comp.parent / "root"
    sets = [part for override in (*QUICK, *overrides) for part in ("--set", override)]
    result = pipeline("run", comp, "--root", root, *sets)
    assert result.code == 0, result.err
    assert len(list((root / "submissions/tiny").glob("*.csv"))) == 1
    again = pipeline("status", comp, "--root", root, *sets, "--json")
    assert set(again.json["stages"].values()) == {"done"}
    return root, result.out + result.err


def out_of_fold(root: Path, member: str) -> pd.DataFrame:
    return pd.read_parquet(root / f"runs/tiny/{member}/oof.parquet").set_index("id")


def test_one_share_is_held_out_predicted_blended_and_told(comp):
    root, said = walk(comp, "folds.n=1", "folds.share=0.25", "ensemble.method=hillclimb")
    numbers = pd.read_csv(root / "data/tiny/.pipeline/folds.csv", dtype={"id": str}).set_index("id")["fold"]
    assert numbers.value_counts().to_dict() == {-1: 36, 0: 12}
    for member in ("resnet", "byobnet", "ensemble"):
        found = out_of_fold(root, member)
        assert sorted(found.index) == sorted(numbers.index[numbers == 0])
        assert (found["fold"] == 0).all()
        assert len(pd.read_parquet(root / f"runs/tiny/{member}/test.parquet")) == 12
        scores = json.loads((root / f"runs/tiny/{member}/metrics.json").read_text())
        labels = pd.read_csv(comp.parent / "raw/train.csv", dtype=str).set_index("image_id")["colour"][found.index]
        classes = found.filter(like="colour/")
        right = classes.columns[classes.to_numpy().argmax(axis=1)].str.removeprefix("colour/").to_numpy() == labels
        assert scores.get("tta_cv", scores["cv"])["colour"]["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    assert [p.name for p in sorted((root / "runs/tiny/resnet").glob("fold-*"))] == ["fold-0"]
    told = [line for line in said.splitlines() if "one fold, not comparable with cross-validation" in line]
    assert [line.split()[0] for line in told] == ["folds:", "predict", "predict", "ensemble:"]


def test_a_column_of_folds_that_leaves_rows_out(comp):
    add_column(comp, "part", ["a", "b", "c", "-1"] * 12)
    root, said = walk(comp, "folds.column=part", "folds.n=3")
    found = out_of_fold(root, "ensemble")
    ids = pd.read_csv(comp.parent / "raw/train.csv", dtype=str)["image_id"]
    assert found["fold"].to_dict() == {name: row % 4 for row, name in enumerate(ids) if row % 4 < 3}
    assert "not comparable" not in said
    assert "3 of 12 to 12 images and 12 held out in none, as column 'part' says (a, b, c)" in said


def test_folds_that_follow_each_other_in_time(comp):
    add_column(comp, "day", [f"2021-01-{1 + row // 2:02}" for row in range(48)])
    root, said = walk(comp, "folds.time=day", "folds.n=2")
    found = out_of_fold(root, "ensemble").sort_index()
    assert found["fold"].tolist() == [0] * 16 + [1] * 16
    assert "by 'day': each is predicted from the rows before it" in said


def test_tags_are_stratified_trained_predicted_and_scored(comp):
    cells = pd.read_csv(comp.parent / "raw/train.csv", dtype=str)
    tags = [f"{row.colour} {row.form}" if row.Index % 4 else row.colour for row in cells.itertuples()]
    add_column(comp, "tags", tags)
    sample = comp.parent / "raw/sample_submission.csv"
    pd.read_csv(sample, dtype=str).rename(columns={"colour": "tags"}).to_csv(sample, index=False)
    targets = 'targets=[{name="tags", kind="multilabel"}]'
    root, said = walk(comp, targets, "submission.columns={tags='tags'}", "metric=micro_f1")
    assert "2 of 24 to 24 images, stratified by tags" in said
    folds = out_of_fold(root, "ensemble")["fold"][cells["image_id"]].to_numpy()
    for tag in ("blue", "green", "red", "bar", "dot"):
        has = np.array([tag in cell.split() for cell in tags])
        assert abs(np.bincount(folds[has], minlength=2) - has.sum() / 2).max() <= 0.5
