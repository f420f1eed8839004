"""Decisions fitted on out-of-fold rows: of rows that have an answer, and together with what stands for no tag."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from pipeline import deciding
from pipeline.errors import WorkFailed
from pipeline.metrics.decisions import Thresholds
from pipeline.metrics.leaderboard import Leaderboard, Scorable
from pipeline.predictions import Predictions
from pipeline.scoring import cross_validate, fit_decisions
from pipeline.targets import TargetSpec
from pipeline.workspace import Workspace

AGE = TargetSpec("age", "regression")


def kappa() -> SimpleNamespace:
    """A competition, as far as decisions look at it."""
    return SimpleNamespace(leaderboard=Leaderboard.read("quadratic_kappa", {"age": "regression"}), metric="kappa")


def test_a_row_with_no_tag_above_the_threshold_gets_the_likeliest_where_that_is_asked_for():
    values = np.array([[0.1, 0.2, 0.15], [0.4, 0.35, 0.1]], dtype=np.float32)
    plain = TargetSpec("tags", "multilabel", ("a", "b", "c"))
    asked = TargetSpec("tags", "multilabel", ("a", "b", "c"), (("none", "likeliest"),))
    assert Thresholds(0.3).apply(plain, values, [0.3] * 3).tolist() == [[0, 0, 0], [1, 1, 0]]
    assert Thresholds(0.3).apply(asked, values, [0.3] * 3).tolist() == [[0, 1, 0], [1, 1, 0]]


TAGGED = """
slug = "x"
metric = { name = "samples_f1", threshold = %s }
source.demo = 1
[data]
table = "t.csv"
id = "id"
images = "{id}"
[[targets]]
name = "tags"
kind = "multilabel"
none = "%s"
"""


@pytest.fixture
def tagged(tmp_path):
    """A place with sixty rows of tags, some of them with none, and predictions of those that are rarely sure."""
    place, rng = Workspace(tmp_path, "x"), np.random.default_rng(0)
    truth = rng.random((60, 3)) < 0.3
    ids = np.array([f"{n:02}" for n in range(60)])
    cells = [" ".join(np.array(["a", "b", "c"])[row]) for row in truth]
    place.manifest.parent.mkdir(parents=True)
    pd.DataFrame({"id": ids, "split": "train", "path": ids, "tags": cells}).to_parquet(place.manifest)
    found = {"id": ids, "split": "train", "readable": True, "sha256": ids, "group": -1}
    pd.DataFrame(found).to_parquet(place.facts)
    values = (0.3 * truth + 0.5 * rng.random(truth.shape)).astype(np.float32)
    spec = TargetSpec("tags", "multilabel", ("a", "b", "c"))
    return place, truth, Predictions(ids, np.arange(60) % 3, (spec,), {"tags": values})


@pytest.mark.parametrize("none", ["likeliest", "nothing"])
def test_thresholds_are_fitted_and_scored_with_what_is_sent_where_no_tag_is_decided_for(tagged, load_toml, none):
    place, truth, oof = tagged
    comp, values = load_toml(TAGGED % ('"fitted"', none)), oof.values["tags"]

    def filled(threshold):
        decided = values > threshold
        if none == "likeliest":
            empty = ~decided.any(axis=1)
            decided[empty, values[empty].argmax(axis=1)] = True
        return decided

    def worth(decided):
        return sk.f1_score(truth, decided, average="samples", zero_division=0)

    at = fit_decisions(comp, place, oof)["tags"][0]
    best = max(worth(filled(at)) for at in np.arange(1, 100) / 100)
    assert worth(filled(at)) >= best - 1e-9, "as good as the best of the hundredths, decided as it is sent"
    fixed = load_toml(TAGGED % (0.6, none))
    assert cross_validate(fixed, place, oof).cv["tags"]["samples_f1"] == pytest.approx(worth(filled(0.6)), abs=1e-6)
    assert deciding.inputs_of(comp, place) == (
        {"decided_none": {"tags": {"none": "likeliest"}}} if none == "likeliest" else {}
    )


def test_each_fold_is_decided_as_fitted_on_the_others():
    truth = np.array([0.0, 1.0, 2.0] * 4)
    values = (truth * 10 + np.repeat([0.0, 0.5], 6))[:, None]
    part = deciding.across_folds(kappa(), deciding.Part(AGE, truth, values, np.repeat([0, 1], 6)))
    assert part.values[:, 0].tolist() == truth.tolist()
    assert part.of_fold(1).preds.tolist() == truth[6:].tolist()
    assert not len(part.of_fold(2).truth), "a fold without an answer has no rows"


def test_nothing_can_be_fitted_without_an_answer():
    nothing = deciding.Part(AGE, np.empty(0), np.empty((0, 1)), np.empty(0, int))
    assert deciding.across_folds(kappa(), nothing).values.shape == (0, 1)
    with pytest.raises(WorkFailed, match="no out-of-fold row has a 'age'"):
        deciding.fit(kappa(), [nothing])


def test_a_target_without_answers_has_no_value_and_the_mean_none():
    board = Leaderboard.read("rmse", {"age": "regression", "height": "regression"})
    known = Scorable(AGE, np.array([1.0]), np.array([2.0]))
    blank = Scorable(TargetSpec("height", "regression"), np.empty(0), np.empty(0))
    assert board.total([known]) == 1.0
    assert board.total([known, blank]) is None
