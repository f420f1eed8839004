"""Blending: weights, hill climb, ranks, and out-of-fold rows that never see their own labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from pipeline import blending
from pipeline.blending import combine, cross_fit, fit_weights, to_ranks
from pipeline.errors import WorkFailed
from pipeline.predictions import Predictions, TargetSpec, blend

METHODS = ["mean", "weighted", "rank", "hillclimb"]
SPEC = TargetSpec("t", "category", ("a", "b", "c"))
SLOW_FIT = settings(max_examples=12, deadline=None)


def labels_of(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, n)


def member(truth: np.ndarray, skill: float, seed: int, folds: int = 3) -> Predictions:
    """Probabilities that know the truth as well as `skill` (0 to 1) says; ids in an order of their own."""
    rng = np.random.default_rng(seed)
    n = len(truth)
    values = rng.dirichlet(np.ones(3), n) * (1 - skill) + np.eye(3)[truth] * skill
    order = rng.permutation(n)
    ids = np.array([f"{row:04}.jpg" for row in range(n)])
    return Predictions(ids[order], (np.arange(n) % folds)[order], (SPEC,), {"t": values[order]})


def gain_of(truth: np.ndarray):
    """Accuracy, then log-likelihood, by the number in the id."""

    def gain(preds: Predictions) -> tuple[float, float]:
        rows = [int(name[:4]) for name in preds.ids]
        values, answers = preds.values["t"].astype(float), truth[rows]
        likelihood = np.log(np.clip(values[np.arange(len(rows)), answers], 1e-9, 1)).mean()
        return float((values.argmax(axis=1) == answers).mean()), float(likelihood)

    return gain


TRUTH = labels_of(90)
MEMBERS = {
    "weak": member(TRUTH, 0.1, 1),
    "strong": member(TRUTH, 0.5, 2),
    "middle": member(TRUTH, 0.3, 3),
}


@pytest.mark.parametrize("method", METHODS)
def test_weights_sum_to_one_and_none_is_negative(method):
    weights = fit_weights(method, MEMBERS, gain_of(TRUTH))
    assert list(weights) == list(MEMBERS)
    assert sum(weights.values()) == pytest.approx(1)
    assert min(weights.values()) >= 0


@pytest.mark.parametrize("method", ["mean", "rank"])
def test_mean_and_rank_are_even_whatever_the_gain(method):
    def gain(preds):
        raise AssertionError("not to be asked")

    assert set(fit_weights(method, MEMBERS, gain).values()) == {1 / 3}


@pytest.mark.parametrize("method", METHODS)
def test_a_single_member_gets_all_the_weight(method):
    only = {"one": MEMBERS["weak"]}
    assert fit_weights(method, only, gain_of(TRUTH)) == {"one": 1}
    assert combine("hillclimb", only, {"one": 1}).ids.tolist() == MEMBERS["weak"].ids.tolist()


@pytest.mark.parametrize("method", ["weighted", "hillclimb"])
def test_the_better_member_gets_more_weight(method):
    weights = fit_weights(method, MEMBERS, gain_of(TRUTH))
    assert weights["strong"] > weights["weak"]
    assert weights["strong"] > 1 / 3


@SLOW_FIT
@given(st.lists(st.floats(0, 0.6), min_size=2, max_size=3), st.integers(0, 99))
def test_the_hill_climb_is_never_worse_than_the_even_mean(skills, seed):
    truth = labels_of(30, seed)
    members = {str(n): member(truth, skill, 100 * seed + n) for n, skill in enumerate(skills)}
    gain = gain_of(truth)
    weights = fit_weights("hillclimb", members, gain)
    even = blend(list(members.values()), [1] * len(members))
    assert gain(combine("hillclimb", members, weights)) >= gain(even)


@SLOW_FIT
@given(st.integers(0, 99))
def test_weighted_is_never_less_likely_than_the_even_mean(seed):
    truth = labels_of(30, seed)
    members = {str(n): member(truth, 0.2 * n, 100 * seed + n) for n in range(3)}
    gain = gain_of(truth)
    weights = fit_weights("weighted", members, gain)
    even = blend(list(members.values()), [1, 1, 1])
    assert gain(combine("weighted", members, weights))[1] >= gain(even)[1] - 1e-7


def test_weighted_finds_the_likeliest_weights():
    truth = labels_of(300)
    pair = {"one": member(truth, 0.1, 1), "two": member(truth, 0.2, 2)}
    gain = gain_of(truth)
    grid = [gain(blend(list(pair.values()), [share, 1 - share]))[1] for share in np.linspace(0, 1, 101)]
    weights = fit_weights("weighted", pair, gain)
    assert weights["one"] == pytest.approx(np.argmax(grid) / 100, abs=0.02)
    assert 0.05 < weights["one"] < 0.45  # inside, and far from even


def test_among_equals_the_hill_climb_stays_even():
    twins = {"one": MEMBERS["strong"], "two": MEMBERS["strong"]}
    assert fit_weights("hillclimb", twins, gain_of(TRUTH)) == {"one": 0.5, "two": 0.5}


def test_the_tie_breaker_decides_where_the_metric_is_flat():
    def gain(preds):
        return 0.5, gain_of(TRUTH)(preds)[1]

    assert fit_weights("hillclimb", MEMBERS, gain)["strong"] > 0.5


def test_of_a_single_fold_no_row_helps_to_choose_its_own_weights():
    truth = labels_of(60)
    members = {str(n): member(truth, 0.2 * n, 100 + n, folds=1) for n in range(3)}
    asked = []

    def gain(preds):
        asked.append(set(preds.ids))
        return gain_of(truth)(preds)

    blended = cross_fit("hillclimb", members, gain)
    assert blended.folds.tolist() == [0] * 60
    fitted = [ids for ids in asked if len(ids) < 60]
    assert {len(ids) for ids in fitted} == {48}
    for row, name in enumerate(blended.ids):
        others = [ids for ids in fitted if name not in ids]
        assert others, f"row {row} was in every fit"


def test_combine_is_the_weighted_mean_by_id():
    weights = {"weak": 0.1, "strong": 0.7, "middle": 0.2}
    mixed = combine("weighted", MEMBERS, weights)
    expected = sum(weights[name] * part.values["t"].astype(float) for name, part in MEMBERS.items())
    np.testing.assert_allclose(mixed.values["t"], expected, atol=1e-6)
    np.testing.assert_allclose(mixed.values["t"].sum(axis=1), 1, atol=1e-6)


def test_weights_go_by_name_not_by_place():
    weights = {"middle": 0.2, "strong": 0.7, "weak": 0.1}  # in another order than the members
    mixed = combine("weighted", MEMBERS, weights)
    assert np.array_equal(mixed.values["t"], combine("weighted", MEMBERS, dict(reversed(weights.items()))).values["t"])


def test_members_of_other_rows_are_refused():
    fewer = {**MEMBERS, "weak": MEMBERS["weak"].only(MEMBERS["weak"].ids[:-1])}
    with pytest.raises(WorkFailed, match=r"0089\.jpg"):
        combine("mean", fewer, dict.fromkeys(fewer, 1 / 3))


# Ranks


def test_ranks_replace_values_and_sum_to_one_in_each_row():
    preds = MEMBERS["middle"]
    ranked = to_ranks(preds).values["t"]
    raw = rankdata(preds.values["t"], axis=0)
    np.testing.assert_allclose(ranked, raw / raw.sum(axis=1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(ranked.sum(axis=1), 1, atol=1e-6)


def test_ranks_forget_the_scale():
    specs = (TargetSpec("tags", "multilabel", ("a", "b")),)
    values = np.random.default_rng(1).random((20, 2))
    ids, folds = np.array([f"{n:02}" for n in range(20)]), np.zeros(20, int)
    one = to_ranks(Predictions(ids, folds, specs, {"tags": values}))
    other = to_ranks(Predictions(ids, folds, specs, {"tags": values**3}))
    assert np.array_equal(one.values["tags"], other.values["tags"])
    assert (one.values["tags"].min(), one.values["tags"].max()) == (np.float32(0.05), 1)


def test_ranks_leave_a_regression_alone():
    specs = (TargetSpec("age", "regression"),)
    preds = Predictions(np.array(["a", "b"]), np.zeros(2, int), specs, {"age": np.array([[30.0], [4.0]])})
    assert np.array_equal(to_ranks(preds).values["age"], preds.values["age"])


def test_the_rank_method_blends_ranks():
    weights = dict.fromkeys(MEMBERS, 1 / 3)
    expected = np.mean([to_ranks(part).values["t"] for part in MEMBERS.values()], axis=0)
    np.testing.assert_allclose(combine("rank", MEMBERS, weights).values["t"], expected, atol=1e-6)
    assert not np.allclose(combine("mean", MEMBERS, weights).values["t"], expected, atol=1e-3)


# Out of fold


@pytest.mark.parametrize("method", ["weighted", "hillclimb"])
def test_a_folds_own_labels_do_not_change_its_rows(method):
    members = {str(seed): member(TRUTH, 0.2 + seed / 40, seed) for seed in range(3)}  # each is worth something
    first = members["0"]
    inside = first.folds == 1
    changed = TRUTH.copy()
    rows = [int(name[:4]) for name in first.ids[inside]]
    changed[rows] = (changed[rows] + 1) % 3  # every label of fold 1 is now wrong
    before = cross_fit(method, members, gain_of(TRUTH)).values["t"]
    after = cross_fit(method, members, gain_of(changed)).values["t"]
    assert np.array_equal(before[inside], after[inside])
    assert not np.array_equal(before[~inside], after[~inside])  # the others' weights did see them


def test_each_fold_is_blended_with_weights_of_the_other_folds():
    oof = cross_fit("hillclimb", MEMBERS, gain_of(TRUTH))
    first = MEMBERS["strong"]
    for fold in range(3):
        inside = first.folds == fold
        others = {name: part.only(part.ids[~inside]) for name, part in MEMBERS.items()}
        weights = fit_weights("hillclimb", others, gain_of(TRUTH))
        expected = sum(weights[name] * part.values["t"][inside].astype(float) for name, part in MEMBERS.items())
        np.testing.assert_allclose(oof.values["t"][inside], expected, atol=1e-6)
    assert oof.ids.tolist() == first.ids.tolist()
    assert oof.folds.tolist() == first.folds.tolist()


@pytest.mark.parametrize("method", ["mean", "rank"])
def test_methods_without_fitted_weights_need_no_cross_fitting(method):
    weights = dict.fromkeys(MEMBERS, 1 / 3)
    oof = cross_fit(method, MEMBERS, gain_of(TRUTH))
    assert np.array_equal(oof.values["t"], combine(method, MEMBERS, weights).values["t"])


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_members_rows_changes_nothing(method):
    def turned(preds: Predictions) -> Predictions:
        return Predictions(preds.ids[::-1], preds.folds[::-1], preds.specs, {"t": preds.values["t"][::-1]})

    other = {name: turned(part) for name, part in MEMBERS.items()}
    gain = gain_of(TRUTH)
    assert fit_weights(method, other, gain) == fit_weights(method, MEMBERS, gain)
    assert np.array_equal(cross_fit(method, other, gain).values["t"], cross_fit(method, MEMBERS, gain).values["t"])


def test_the_hill_climb_takes_steps_of_one_round_each(monkeypatch):
    monkeypatch.setattr(blending, "ROUNDS", 1)
    weights = fit_weights("hillclimb", MEMBERS, gain_of(TRUTH))
    assert weights == {"weak": 0.25, "strong": 0.5, "middle": 0.25}
