"""Decisions of metrics: cut points between grades and thresholds, fitted on out-of-fold rows, nested over folds."""

import numpy as np
import pytest
from sklearn import metrics as sk

from pipeline.deciding import Part, across_folds, apply, fit, refuse_unscorable
from pipeline.errors import RequestError
from pipeline.metrics.decisions import PASSES, CutPoints, Floor, Thresholds, _candidates, _middle_of_best
from pipeline.metrics.leaderboard import Chosen
from pipeline.predictions import NO_FOLD, Predictions, TargetSpec

RNG = np.random.default_rng(3)
GRADE = TargetSpec("grade", "regression")
TAGS = TargetSpec("tags", "multilabel", ("a", "b", "c"))
YES = TargetSpec("yes", "binary", ("no", "yes"))
THREE = TargetSpec("three", "category", ("a", "b", "c"))


def gain_of(chosen, spec):
    return lambda truth, decided: chosen.gain(spec, truth, spec.target_kind.for_metric(decided))


def shrunk(n=400):
    """Grades 0..4, of which the rarer are higher, and predictions that are drawn to the mean, as regressions are."""
    truth = RNG.choice(5, n, p=[0.45, 0.1, 0.25, 0.1, 0.1]).astype(float)
    return truth, (0.3 * truth + 0.8 + RNG.normal(0, 0.12, n)).astype(np.float32)[:, None]


def test_cut_points_beat_rounding_by_far_and_are_found_from_any_scale():
    truth, values = shrunk()
    kappa = Chosen.of("quadratic_kappa")
    found = CutPoints().fit(GRADE, truth, values, gain_of(kappa, GRADE))
    assert found["grades"] == [0, 1, 2, 3, 4]
    assert found["cuts"] == sorted(found["cuts"])
    decided = CutPoints().apply(GRADE, values, found)
    assert decided.shape == values.shape
    fitted = kappa.compute(GRADE, truth, decided[:, 0])
    assert fitted == pytest.approx(sk.cohen_kappa_score(truth, decided[:, 0], weights="quadratic"))
    rounded = sk.cohen_kappa_score(truth, np.clip(values[:, 0].round(), 0, 4), weights="quadratic")
    assert fitted > max(0.9, rounded + 0.2)
    assert fitted >= kappa.at_once(GRADE, truth, values)
    scaled = CutPoints().fit(GRADE, truth, 100 * values - 7, gain_of(kappa, GRADE))
    assert CutPoints().apply(GRADE, 100 * values - 7, scaled) == pytest.approx(decided, abs=1)


def test_cut_points_by_hand():
    values, truth = np.array([[0.1], [0.2], [0.7], [0.8]]), np.array([1.0, 1.0, 3.0, 3.0])
    found = CutPoints().fit(GRADE, truth, values, lambda truth, decided: float((truth == decided[:, 0]).mean()))
    assert found["grades"] == [1, 3]
    assert 0.2 < found["cuts"][0] < 0.7
    given = {"grades": [1.0, 2.0, 4.0], "cuts": [0.5, 1.5]}
    assert CutPoints().apply(GRADE, np.array([[-9], [0.5], [0.51], [1.5], [9.0]]), given)[:, 0].tolist() == [
        1,
        1,
        2,
        2,
        4,
    ]


@pytest.mark.parametrize("values", [np.full((6, 1), 2.0), np.arange(6.0)[:, None]])
@pytest.mark.parametrize("truth", [np.full(6, 3.0), np.array([0.0, 0, 0, 1, 1, 1])])
def test_cut_points_where_there_is_nothing_to_find(truth, values):
    gain = lambda truth, decided: float(-np.mean((truth - decided[:, 0]) ** 2))  # noqa: E731
    found = CutPoints().fit(GRADE, truth, values, gain)
    assert set(CutPoints().apply(GRADE, values, found)[:, 0]) <= set(truth)


def test_a_threshold_for_tags_that_are_rarely_sure():
    truth = (RNG.random((300, 3)) < [0.1, 0.2, 0.3]).astype(float)
    values = (0.2 * truth + 0.2 * RNG.random((300, 3))).astype(np.float32)  # none is above one half
    f1 = Chosen.of({"name": "micro_f1", "threshold": "fitted"})
    (decision,) = {type(f1.decision("multilabel"))}
    assert decision is Thresholds
    found = Thresholds("fitted").fit(TAGS, truth, values, gain_of(f1, TAGS))
    assert len(set(found)) == 1
    assert 0.15 < found[0] < 0.25
    assert f1.compute(TAGS, truth, values) == 0
    assert f1.compute(TAGS, truth, Thresholds("fitted").apply(TAGS, values, found)) > 0.95


def test_a_threshold_for_each_class_is_no_worse_and_finds_each_ones_scale():
    truth = (RNG.random((300, 3)) < 0.3).astype(float)
    scale = np.array([0.1, 0.5, 1.0])
    values = ((0.7 * truth + 0.3 * RNG.random((300, 3))) * scale).astype(np.float32)
    f1 = Chosen.of({"name": "samples_f1", "threshold": "per_class"})
    each = Thresholds("per_class").fit(TAGS, truth, values, gain_of(f1, TAGS))
    single = Thresholds("fitted").fit(TAGS, truth, values, gain_of(f1, TAGS))
    worth = [f1.compute(TAGS, truth, Thresholds("fitted").apply(TAGS, values, own)) for own in (single, each)]
    assert worth[0] + 0.02 < worth[1]
    assert each[0] < 0.1
    assert each[1] > 0.15


def each_by_trying(decision, spec, truth, values, gain):
    """A threshold for each class by computing the metric of all rows at every place: slow, and plain."""

    def worth(thresholds):
        return gain(truth, decision.apply(spec, values, thresholds))

    thresholds = np.array(Thresholds("fitted").fit(spec, truth, values, gain))
    reached = worth(thresholds)
    for _ in range(PASSES):
        before = reached
        for column in range(spec.width):
            places = _candidates(values[:, [column]], truth[:, column].mean())
            trials = np.tile(thresholds, (len(places), 1))
            trials[:, column] = places
            gains = [worth(trial) for trial in trials]
            if max(gains) > reached:
                thresholds, reached = thresholds.copy(), max(gains)
                thresholds[column] = _middle_of_best(places, gains)
        if reached <= before:
            break
    return thresholds.tolist()


def some_tags(rng, digits):
    """Truth and predictions of some tags, also rare ones; few digits make many predictions equal."""
    truth = (rng.random((150, 4)) < [0.02, 0.1, 0.3, 0.7]).astype(float)
    values = np.clip(0.5 * truth + rng.uniform(0, 0.6, truth.shape), 0, 1) * rng.uniform(0.2, 1, 4)
    return truth, values.round(digits).astype(np.float32)


OVERLAPS = [{"name": name} for name in ("samples_f1", "micro_f1", "macro_f1", "weighted_f1", "f1", "f2")]
OVERLAPS += [{"name": name, "average": way} for name in ("jaccard", "fbeta") for way in ("", "micro", "macro")]


@pytest.mark.parametrize("none", [(), (("none", "likeliest"),)])
@pytest.mark.parametrize("said", OVERLAPS, ids=str)
def test_thresholds_of_classes_from_counts_are_those_of_trying_every_place(said, none):
    metric, spec = Chosen.of(said | {"threshold": "per_class"}), TargetSpec("tags", "multilabel", tuple("abcd"), none)
    decision, computed = metric.decision("multilabel"), [0, 0]
    assert decision is not None
    for seed, digits in ((1, 1), (2, 2), (3, 6)):
        truth, values = some_tags(np.random.default_rng(seed), digits)

        def gain(truth, decided, way=0):
            computed[way] += 1
            return metric.gain(spec, truth, decided)

        found = decision.fit(spec, truth, values, gain)
        assert found == each_by_trying(decision, spec, truth, values, lambda *given: gain(*given, way=1))
    assert computed[0] < 0.5 * computed[1]


def test_thresholds_of_classes_for_a_metric_that_says_no_counts():
    truth, values = some_tags(np.random.default_rng(4), 2)
    decision = Thresholds("per_class")
    spec = TargetSpec("tags", "multilabel", tuple("abcd"))
    right = gain_of(Chosen.of("label_accuracy"), spec)
    assert decision.fit(spec, truth, values, right) == each_by_trying(decision, spec, truth, values, right)


def test_thresholds_decide_two_classes_and_leave_more_to_the_largest_probability():
    values = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], dtype=np.float32)
    assert Thresholds(0.3).fit(YES, np.array([0, 1, 1]), values, lambda *_: 0.0) == [0.3]
    assert Thresholds(0.3).apply(YES, values, [0.3]).tolist() == [[1, 0], [0, 1], [0, 1]]
    f1 = Chosen.of("f1")
    found = Thresholds("fitted").fit(YES, np.array([0, 1, 1]), values, gain_of(f1, YES))
    assert 0.1 <= found[0] < 0.4
    three = RNG.dirichlet(np.ones(3), 5).astype(np.float32)
    assert Thresholds("fitted").fit(THREE, np.zeros(5, int), three, gain_of(f1, THREE)) == []
    assert (Thresholds("fitted").apply(THREE, three, []) == three).all()


def test_only_metrics_that_are_asked_to_decide_do():
    for name in ("macro_f1", "micro_f1", "accuracy", "balanced_accuracy", "probabilistic_f1", "rmse", "auc"):
        assert [Chosen.of(name).decision(kind) for kind in ("category", "binary", "multilabel", "regression")] == [
            None
        ] * 4
    assert Chosen.of("quadratic_kappa").decision("category") is None
    assert isinstance(Chosen.of("quadratic_kappa").decision("regression"), CutPoints)
    assert isinstance(Chosen.of({"name": "macro_f1", "threshold": 0.4}).decision("binary"), Thresholds)
    assert isinstance(Chosen.of("rmsle").decision("regression"), Floor)


KAPPA = """
slug = "x"
metric = "quadratic_kappa"
source.demo = 1
[data]
table = "t.csv"
id = "id"
images = "{id}"
[[targets]]
name = "grade"
kind = "regression"
"""


def test_shown_scores_are_of_rows_that_were_not_fitted_on(load_toml):
    comp = load_toml(KAPPA)
    truth, values = RNG.integers(0, 3, 60).astype(float), RNG.normal(size=(60, 1)).astype(np.float32)  # pure noise
    folds = np.arange(60) % 3
    nested = across_folds(comp, Part(GRADE, truth, values, folds)).values
    for fold in range(3):
        inside = folds == fold
        others = fit(comp, [Part(GRADE, truth[~inside], values[~inside], folds[~inside])])["grade"]
        assert (nested[inside] == CutPoints().apply(GRADE, values[inside], others)).all()
    kappa = Chosen.of("quadratic_kappa")
    flattering = CutPoints().apply(GRADE, values, fit(comp, [Part(GRADE, truth, values, folds)])["grade"])
    assert kappa.compute(GRADE, truth, nested[:, 0]) < kappa.compute(GRADE, truth, flattering[:, 0])
    one = across_folds(comp, Part(GRADE, truth, values, np.zeros(60))).values
    assert set(one[:, 0]) <= {0, 1, 2}
    assert (one != flattering).any()  # fifths stand for the folds


def test_decided_predictions_have_grades_in_place_of_numbers(load_toml):
    comp = load_toml(KAPPA)
    preds = Predictions(np.array(["a", "b"]), np.full(2, NO_FOLD), (GRADE,), {"grade": np.array([[0.2], [7.0]])})
    assert apply(comp, preds, {"grade": {"grades": [0, 1], "cuts": [1.0]}}).values["grade"].tolist() == [[0], [1]]


def test_labels_that_are_no_grades_are_refused(load_toml):
    import pandas as pd

    rows = pd.DataFrame({"grade": np.linspace(0, 1, 100)})
    with pytest.raises(RequestError, match="'quadratic_kappa' cannot score target 'grade': its labels are 100 diff"):
        refuse_unscorable(load_toml(KAPPA), rows, [GRADE])
    refuse_unscorable(load_toml(KAPPA), rows.round(1), [GRADE])
