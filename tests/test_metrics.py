"""Metrics against scikit-learn, or against numbers worked out by hand."""

import numpy as np
import pytest
from sklearn import metrics as sk

from pipeline.metrics import METRICS, reported
from pipeline.targets import KINDS

RNG = np.random.default_rng(5)
TRUTH = RNG.choice(4, 200, p=[0.5, 0.3, 0.15, 0.05])
PROBABILITIES = RNG.dirichlet(np.ones(4), 200) + 0.6 * np.eye(4)[TRUTH]
PROBABILITIES = (PROBABILITIES / PROBABILITIES.sum(axis=1, keepdims=True)).astype(np.float32)
DECIDED = PROBABILITIES.argmax(axis=1)
TAGS = RNG.integers(0, 2, (60, 5)).astype(float)
TAG_SCORES = np.clip(0.35 * TAGS + RNG.random((60, 5)) * 0.65, 0, 1).astype(np.float32)
NUMBERS, GUESSES = RNG.normal(size=50), RNG.normal(size=50).astype(np.float32)


def value(name: str, truth, preds) -> float:
    return METRICS[name].compute(np.asarray(truth), np.asarray(preds))


EXPECTED = {
    "accuracy": sk.accuracy_score(TRUTH, DECIDED),
    "error_rate": 1 - sk.accuracy_score(TRUTH, DECIDED),
    "log_loss": sk.log_loss(TRUTH, PROBABILITIES / PROBABILITIES.sum(axis=1, keepdims=True, dtype=float)),
    "macro_f1": sk.f1_score(TRUTH, DECIDED, average="macro"),
    "balanced_accuracy": sk.balanced_accuracy_score(TRUTH, DECIDED),
    "quadratic_kappa": sk.cohen_kappa_score(TRUTH, DECIDED, weights="quadratic"),
    "auc": sk.roc_auc_score(TRUTH, PROBABILITIES, multi_class="ovr", average="macro"),
    "micro_f1": sk.f1_score(TAGS, TAG_SCORES > 0.5, average="micro"),
    "label_accuracy": 1 - sk.hamming_loss(TAGS, TAG_SCORES > 0.5),
    "mean_log_loss": np.mean([sk.log_loss(TAGS[:, c], TAG_SCORES[:, c].astype(float)) for c in range(5)]),
    "rmse": np.sqrt(sk.mean_squared_error(NUMBERS, GUESSES)),
    "mae": sk.mean_absolute_error(NUMBERS, GUESSES),
}


def test_every_metric_is_compared():
    assert set(EXPECTED) == set(METRICS)


@pytest.mark.parametrize("name", EXPECTED)
def test_against_scikit_learn(name):
    kinds = METRICS[name].kinds
    if "regression" in kinds:
        truth, preds = NUMBERS, GUESSES
    else:
        truth, preds = (TRUTH, PROBABILITIES) if "category" in kinds else (TAGS, TAG_SCORES)
    assert value(name, truth, preds) == pytest.approx(EXPECTED[name], abs=1e-6)
    assert 0.05 < abs(EXPECTED[name]) < 2  # neither trivial nor saturated


@pytest.mark.parametrize("name", EXPECTED)
def test_better_predictions_gain_more(name):
    kinds = METRICS[name].kinds
    if "regression" in kinds:
        truth, preds, perfect = NUMBERS, GUESSES, NUMBERS
    elif "category" in kinds:
        truth, preds, perfect = TRUTH, PROBABILITIES, np.eye(4)[TRUTH]
    else:
        truth, preds, perfect = TAGS, TAG_SCORES, TAGS
    assert METRICS[name].gain(truth, perfect) > METRICS[name].gain(truth, preds)


def test_by_hand():
    truth, preds = [0, 1, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]]
    assert value("accuracy", truth, preds) == 0.75
    assert value("error_rate", truth, preds) == 0.25
    assert value("balanced_accuracy", truth, preds) == pytest.approx((1 + 2 / 3) / 2)
    assert value("macro_f1", truth, preds) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert value("log_loss", truth, preds) == pytest.approx(-np.log(0.9 * 0.4 * 0.8 * 0.7) / 4)
    assert value("auc", truth, preds) == 1.0  # every positive above the negative
    assert value("rmse", [1.0, 2.0], [4.0, 6.0]) == pytest.approx(np.sqrt(12.5))
    assert value("mae", [1.0, 2.0], [4.0, -2.0]) == pytest.approx(3.5)
    assert value("label_accuracy", [[1, 0], [0, 1]], [[0.6, 0.6], [0.5, 0.9]]) == 0.75
    assert value("micro_f1", [[1, 0], [0, 1]], [[0.6, 0.6], [0.5, 0.9]]) == pytest.approx(0.8)


def test_kappa_by_hand_knows_the_distance_between_classes():
    near, far = np.eye(3)[[0, 1, 1]], np.eye(3)[[0, 1, 0]]
    assert value("quadratic_kappa", [0, 1, 2], np.eye(3)[[0, 1, 2]]) == pytest.approx(1)
    assert value("quadratic_kappa", [0, 1, 2], near) > value("quadratic_kappa", [0, 1, 2], far)
    # A class that nobody has or predicts still counts in the distances between the others: with weights
    # (i - j) ** 2 of codes 0, 1 and 3, observed 1 + 4 and expected (0 + 1 + 9 + 1 + 0 + 4 + 9 + 4 + 0) / 3.
    swapped = np.eye(4)[[1, 0, 3]]
    assert value("quadratic_kappa", [0, 1, 3], swapped) == pytest.approx(1 - 2 / (28 / 3))


def test_binary_auc_is_that_of_the_second_class():
    truth, second = RNG.integers(0, 2, 80), RNG.random(80)
    preds = np.column_stack([1 - second, second])
    assert value("auc", truth, preds) == pytest.approx(sk.roc_auc_score(truth, second))


def test_auc_passes_over_classes_without_both_sides():
    preds = PROBABILITIES[:, :3] / PROBABILITIES[:, :3].sum(axis=1, keepdims=True)
    truth = np.minimum(TRUTH, 1)  # nobody has class 2
    each = [sk.roc_auc_score(truth == code, preds[:, code]) for code in (0, 1)]
    assert value("auc", truth, preds) == pytest.approx(np.mean(each))
    assert np.isnan(value("auc", [1, 1], [[0.5, 0.5], [0.1, 0.9]]))


def test_certain_and_wrong_costs_much_but_not_infinity():
    assert value("log_loss", [0], [[0.0, 1.0]]) == pytest.approx(-np.log(1e-15))
    assert np.isfinite(value("mean_log_loss", [[1.0]], [[0.0]]))
    assert value("log_loss", [1], [[0.0, 1.0]]) == 0


def test_macro_f1_of_a_class_that_is_never_predicted_is_zero_not_a_warning(recwarn):
    assert value("macro_f1", [0, 0, 1], np.eye(2)[[0, 0, 0]]) == pytest.approx(0.4)
    assert not recwarn.list


STANDARD = {name: kind.standard_metrics for name, kind in KINDS.items()}


def test_reported_has_the_leaderboards_metric_first_once_and_where_it_fits():
    assert reported("category", "accuracy") == ["accuracy", "error_rate", "log_loss"]
    assert sorted(reported("category", "accuracy")) == sorted(STANDARD["category"])
    assert reported("category", "macro_f1") == ["macro_f1", *STANDARD["category"]]
    assert reported("regression", "macro_f1") == list(STANDARD["regression"])
    for kind, names in STANDARD.items():
        assert all(kind in METRICS[name].kinds for name in names)
