"""Decisions fitted on out-of-fold rows: of rows that have an answer, and together with what stands for no tag."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline import deciding
from pipeline.errors import WorkFailed
from pipeline.metrics.decisions import Thresholds
from pipeline.metrics.leaderboard import Leaderboard, Scorable
from pipeline.targets import TargetSpec

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
