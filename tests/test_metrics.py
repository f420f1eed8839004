"""Metrics against scikit-learn, or against numbers worked out by hand."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from pipeline.metrics import METRICS, or_none, reported
from pipeline.metrics.leaderboard import Chosen
from pipeline.targets import KINDS, TargetSpec

RNG = np.random.default_rng(5)
TRUTH = RNG.choice(4, 200, p=[0.5, 0.3, 0.15, 0.05])
PROBABILITIES = RNG.dirichlet(np.ones(4), 200) + 0.6 * np.eye(4)[TRUTH]
PROBABILITIES = (PROBABILITIES / PROBABILITIES.sum(axis=1, keepdims=True)).astype(np.float32)
DECIDED = PROBABILITIES.argmax(axis=1)
TAGS = RNG.integers(0, 2, (60, 5)).astype(float)
TAG_SCORES = np.clip(0.35 * TAGS + RNG.random((60, 5)) * 0.65, 0, 1).astype(np.float32)
NUMBERS, GUESSES = RNG.normal(size=50), RNG.normal(size=50).astype(np.float32)
GUESSES_NEAR = (0.4 * NUMBERS + GUESSES).astype(np.float32)
AMOUNTS = np.exp(NUMBERS)
YES = RNG.integers(0, 2, 90)
CHANCE = np.clip(0.3 * YES + 0.8 * RNG.random(90), 0, 1).astype(np.float32)
TWO = np.column_stack([1 - CHANCE, CHANCE])


def value(name: str, truth, preds, classes: tuple[str, ...] = (), **options) -> float:
    chosen = Chosen.of({"name": name, **options})
    return chosen.compute(TargetSpec("t", "category", classes), np.asarray(truth), np.asarray(preds))


def rescaled(preds):
    return preds / preds.sum(axis=1, keepdims=True, dtype=float)


def partial_auc(truth, scores, min_tpr):
    """The area between a rate and the curve, by its corners (there are no ties)."""
    fpr, tpr, _ = sk.roc_curve(truth, scores, drop_intermediate=False)
    heights = np.maximum(np.repeat(tpr, 2)[:-1] - min_tpr, 0)
    return np.trapezoid(heights, np.concatenate([fpr[:1], np.repeat(fpr[1:], 2)]))


SEVEN = RNG.integers(0, 7, 120)
SHARES = rescaled(RNG.dirichlet(np.ones(7), 120) + 0.05 * np.eye(7)[SEVEN])


def kaggle_map(truth, preds, k):
    """1 / place of the truth among the first k (humpback-whale-identification, "Evaluation")."""
    ranked = np.argsort(-preds, axis=1)[:, :k].tolist()
    return np.mean([1 / (row.index(own) + 1) if own in row else 0 for own, row in zip(truth, ranked, strict=True)])


def rsna_pf1(labels, predictions, beta=1):
    """As published for rsna-breast-cancer-detection."""
    positives, ctp, cfp = 0, 0.0, 0.0
    for label, prediction in zip(labels, predictions, strict=True):
        within = min(max(float(prediction), 0), 1)
        if label:
            positives += 1
            ctp += within
        else:
            cfp += within
    precision, recall = ctp / (ctp + cfp), ctp / positives
    return (1 + beta**2) * (precision * recall) / (beta**2 * precision + recall) if precision and recall else 0


def alaska_auc(truth, scores):
    """As published for alaska2-image-steganalysis."""
    borders, weights = [0.0, 0.4, 1.0], [2, 1]
    fpr, tpr, _ = sk.roc_curve(truth, scores, pos_label=1)
    total = 0.0
    for low, high, weight in zip(borders, borders[1:], weights, strict=False):
        mask = (low < tpr) & (tpr < high)
        padding = np.linspace(fpr[mask][-1], 1, 100)
        x, y = np.concatenate([fpr[mask], padding]), np.concatenate([tpr[mask], [high] * len(padding)])
        total += sk.auc(x, y - low) * weight
    return total / np.dot(np.diff(borders), weights)


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
    "top_k_accuracy": sk.top_k_accuracy_score(SEVEN, SHARES, k=5),
    "top3_accuracy": sk.top_k_accuracy_score(SEVEN, SHARES, k=3),
    "top5_accuracy": sk.top_k_accuracy_score(SEVEN, SHARES, k=5),
    "map_at_k": kaggle_map(SEVEN, SHARES, 5),
    "map3": kaggle_map(SEVEN, SHARES, 3),
    "map5": kaggle_map(SEVEN, SHARES, 5),
    "f1": sk.f1_score(YES, CHANCE > 0.5),
    "f2": sk.fbeta_score(YES, CHANCE > 0.5, beta=2),
    "fbeta": sk.fbeta_score(YES, CHANCE > 0.5, beta=1),
    "weighted_f1": sk.f1_score(TRUTH, DECIDED, average="weighted"),
    "samples_f1": sk.f1_score(TAGS, TAG_SCORES > 0.5, average="samples", zero_division=0),
    "jaccard": sk.jaccard_score(YES, CHANCE > 0.5),
    "mcc": sk.matthews_corrcoef(TRUTH, DECIDED),
    "probabilistic_f1": rsna_pf1(YES, CHANCE),
    "multiclass_log_loss": sk.log_loss(TRUTH, rescaled(PROBABILITIES)),
    "weighted_log_loss": sk.log_loss(TRUTH, rescaled(PROBABILITIES), sample_weight=1 / np.bincount(TRUTH)[TRUTH]),
    "average_precision": sk.average_precision_score(YES, CHANCE),
    "partial_auc": partial_auc(YES, CHANCE, 0.8),
    "weighted_auc": alaska_auc(YES, CHANCE),
    "mcrmse": np.sqrt(sk.mean_squared_error(NUMBERS, GUESSES)),
    "rmsle": sk.root_mean_squared_log_error(AMOUNTS, np.abs(GUESSES)),
    "r2": sk.r2_score(NUMBERS, GUESSES_NEAR),
    "spearman": stats.spearmanr(NUMBERS, GUESSES_NEAR).statistic,
    "pearson": stats.pearsonr(NUMBERS, GUESSES_NEAR).statistic,
    "pinball": sk.mean_pinball_loss(NUMBERS, GUESSES, alpha=0.5),
}
DATA = {
    **dict.fromkeys(("top_k_accuracy", "top3_accuracy", "top5_accuracy", "map_at_k", "map3", "map5"), (SEVEN, SHARES)),
    **dict.fromkeys(("f1", "f2", "fbeta", "jaccard", "probabilistic_f1", "average_precision"), (YES, TWO)),
    **dict.fromkeys(("partial_auc", "weighted_auc"), (YES, TWO)),
    **dict.fromkeys(("micro_f1", "samples_f1", "label_accuracy", "mean_log_loss"), (TAGS, TAG_SCORES)),
    **dict.fromkeys(("rmse", "mae", "mcrmse", "pinball"), (NUMBERS, GUESSES)),
    **dict.fromkeys(("r2", "spearman", "pearson"), (NUMBERS, GUESSES_NEAR)),
    "rmsle": (AMOUNTS, np.abs(GUESSES)),
}


def data_of(name):
    return DATA.get(name, (TRUTH, PROBABILITIES))


def test_every_metric_is_compared():
    assert set(EXPECTED) == set(METRICS)


@pytest.mark.parametrize("name", EXPECTED)
def test_against_scikit_learn(name):
    assert value(name, *data_of(name)) == pytest.approx(EXPECTED[name], abs=1e-6)
    assert METRICS[name].compute(*data_of(name)) == pytest.approx(EXPECTED[name], abs=1e-6)  # with its defaults
    assert 0.05 < abs(EXPECTED[name]) < 2  # neither trivial nor saturated


@pytest.mark.parametrize("name", EXPECTED)
def test_better_predictions_gain_more(name):
    truth, preds = data_of(name)
    perfect = np.eye(preds.shape[1])[truth] if truth.ndim < preds.ndim else truth
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
    assert reported("category", None) == list(STANDARD["category"])
    assert reported("regression", "macro_f1") == list(STANDARD["regression"])
    for kind, names in STANDARD.items():
        assert all(kind in METRICS[name].kinds for name in names)


def test_places_of_equal_probabilities_go_in_the_order_of_the_classes_as_in_a_submission():
    level = np.full((3, 4), 0.25)
    assert value("top_k_accuracy", [0, 1, 2], level, k=1) == value("accuracy", [0, 1, 2], level) == pytest.approx(1 / 3)
    assert value("top_k_accuracy", [0, 1, 2], level, k=2) == pytest.approx(2 / 3)
    assert value("map3", [0, 1, 3], level) == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert value("top5_accuracy", [0, 1, 3], level) == 1  # there are only four


def test_map_of_tags_is_kaggles_worked_example():
    # `apk` of Kaggle's ml_metrics: actual {a, c}, predicted a b c: (1/1 + 2/3) / 2; nothing to find is 0.
    truth, preds = [[1, 0, 1, 0], [0, 0, 0, 0]], [[0.9, 0.8, 0.7, 0.1], [0.9, 0.1, 0.1, 0.1]]
    assert value("map3", truth, preds) == pytest.approx((1 + 2 / 3) / 2 / 2)
    assert value("map_at_k", truth, preds, k=1) == pytest.approx(1 / 2)  # divided by min(tags, k)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "samples"])
def test_f_scores_and_jaccard_of_tags_in_every_average(average):
    decided = TAG_SCORES > 0.5
    said = {"average": average, "zero_division": 0}
    assert value("fbeta", TAGS, TAG_SCORES, beta=0.5, average=average) == pytest.approx(
        sk.fbeta_score(TAGS, decided, beta=0.5, **said)
    )
    assert value("jaccard", TAGS, TAG_SCORES, average=average) == pytest.approx(sk.jaccard_score(TAGS, decided, **said))
    if average != "samples":
        assert value("f2", TRUTH, PROBABILITIES, average=average) == pytest.approx(
            sk.fbeta_score(TRUTH, DECIDED, beta=2, **said)
        )
        assert value("jaccard", TRUTH, PROBABILITIES, average=average) == pytest.approx(
            sk.jaccard_score(TRUTH, DECIDED, **said)
        )


def test_the_average_follows_from_the_target_unless_it_is_said():
    decided = TAG_SCORES > 0.5
    assert value("f2", TAGS, TAG_SCORES) == pytest.approx(
        sk.fbeta_score(TAGS, decided, beta=2, average="samples", zero_division=0)  # as planet's mean F2
    )
    assert value("macro_f1", TAGS, TAG_SCORES) == pytest.approx(sk.f1_score(TAGS, decided, average="macro"))
    assert value("micro_f1", TRUTH, PROBABILITIES) == pytest.approx(sk.accuracy_score(TRUTH, DECIDED))
    assert value("f1", TRUTH, PROBABILITIES) == pytest.approx(sk.f1_score(TRUTH, DECIDED, average="macro"))


def test_a_class_that_nobody_has_counts_as_in_scikit_learn():
    truth, preds = np.array([0, 1, 1, 0]), np.eye(3)[[0, 1, 0, 0]]
    assert value("macro_f1", truth, preds) == pytest.approx(sk.f1_score(truth, [0, 1, 0, 0], average="macro"))
    tags, none = np.array([[1.0, 0.0], [0.0, 0.0]]), np.zeros((2, 2))
    for average in ("micro", "macro", "weighted", "samples"):
        assert value("f1", tags, none, average=average) == 0
        assert value("f1", tags, tags, average=average) == pytest.approx(
            sk.f1_score(tags, tags, average=average, zero_division=0)
        )


def test_probabilities_of_0_and_1():
    certain = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    truth, wrong = [0, 1, 0, 1], 1 - certain
    perfect = ("log_loss", "multiclass_log_loss", "weighted_log_loss")
    assert [value(name, truth, certain) for name in perfect] == pytest.approx([0, 0, 0], abs=1e-12)
    assert [value(name, truth, wrong) for name in perfect] == pytest.approx([-np.log(1e-15)] * 3)
    for name in ("f1", "jaccard", "mcc", "probabilistic_f1", "average_precision", "weighted_auc"):
        assert value(name, truth, certain) == pytest.approx(1)
    assert value("partial_auc", truth, certain) == pytest.approx(0.2)
    assert value("partial_auc", truth, wrong) == pytest.approx(0)
    assert value("weighted_auc", truth, wrong) == pytest.approx(0)
    assert value("probabilistic_f1", truth, [[1.0, 0.0]] * 4) == 0  # nothing is predicted
    assert value("multiclass_log_loss", [0], [[0.0, 0.0]]) == pytest.approx(-np.log(1e-15))


def test_curves_with_ties():
    truth, second = np.array([0, 1, 0, 1, 1, 0]), np.array([0.5, 0.5, 0.2, 0.9, 0.2, 0.2])
    preds = np.column_stack([1 - second, second])
    assert value("average_precision", truth, preds) == pytest.approx(sk.average_precision_score(truth, second))
    # The corners: (0, 0), (0, 1/3), (1/3, 2/3), (1, 1). From 1/3 it rises by 1 a unit, from (1/3, 2/3) by 1/2.
    above_half = (1 / 6) ** 2 / 2 + (2 / 3) * (1 / 6 + 1 / 2) / 2
    assert value("partial_auc", truth, preds, min_tpr=0.5) == pytest.approx(above_half)
    assert value("partial_auc", truth, preds, min_tpr=0) == pytest.approx(sk.roc_auc_score(truth, second))
    halves = {"tpr": [0.0, 0.5, 1.0], "weights": [0.0, 3.0]}
    assert value("weighted_auc", truth, preds, **halves) == pytest.approx(above_half / 0.5)
    level = {"tpr": [0.0, 0.3, 1.0], "weights": [2.0, 2.0]}
    assert value("weighted_auc", truth, preds, **level) == pytest.approx(sk.roc_auc_score(truth, second))


def test_classes_one_by_one_where_there_are_more_than_two():
    onehot = np.eye(4)[TRUTH]
    assert value("average_precision", TRUTH, PROBABILITIES) == pytest.approx(
        sk.average_precision_score(onehot, PROBABILITIES)
    )
    assert value("average_precision", TAGS, TAG_SCORES, average="micro") == pytest.approx(
        sk.average_precision_score(TAGS, TAG_SCORES, average="micro")
    )
    each = [partial_auc(TAGS[:, c], TAG_SCORES[:, c], 0.5) for c in range(5)]
    assert value("partial_auc", TAGS, TAG_SCORES, min_tpr=0.5) == pytest.approx(np.mean(each))


def test_rows_without_a_value_have_none_and_do_not_crash():
    one_class, preds = np.array([1, 1]), np.array([[0.2, 0.8], [0.6, 0.4]])
    for name in ("auc", "average_precision", "partial_auc", "weighted_auc"):
        assert or_none(lambda name=name: value(name, one_class, preds)) is None
        assert or_none(lambda name=name: value(name, one_class - 1, preds)) is None
    assert or_none(lambda: value("probabilistic_f1", one_class - 1, preds)) is None
    for name in ("r2", "spearman", "pearson", "quadratic_kappa"):
        assert or_none(lambda name=name: value(name, [2.0, 2.0], [2.0, 2.0])) is None
    for name in ("spearman", "pearson"):
        assert or_none(lambda name=name: value(name, [1.0, 2.0], [2.0, 2.0])) is None
    assert value("mcc", one_class, preds) == sk.matthews_corrcoef(one_class, preds.argmax(axis=1)) == 0


def test_log_loss_weighted_by_class():
    names, said = ("a", "b", "c", "d"), {"b": 3.0, "d": 0.5}
    weights = np.array([1, 3, 1, 0.5])
    p = rescaled(PROBABILITIES)
    by_class = weights[TRUTH] / np.bincount(TRUTH)[TRUTH]
    assert value("weighted_log_loss", TRUTH, PROBABILITIES, names, weights=said) == pytest.approx(
        sk.log_loss(TRUTH, p, sample_weight=by_class)
    )
    assert value("weighted_log_loss", TRUTH, PROBABILITIES, names, weights=said, mean="rows") == pytest.approx(
        sk.log_loss(TRUTH, p, sample_weight=weights[TRUTH])
    )
    each = [sk.log_loss(TAGS[:, c], TAG_SCORES[:, c].astype(float)) for c in range(5)]
    assert value("weighted_log_loss", TAGS, TAG_SCORES, ("any", "b", "c", "d", "e"), weights={"any": 2.0}) == (
        pytest.approx(np.average(each, weights=[2, 1, 1, 1, 1]))
    )
    assert "'x' is not a class" in str(
        Chosen.of({"name": "weighted_log_loss", "weights": {"x": 1.0}}).problem(
            TargetSpec("t", "category", names), TRUTH
        )
    )


def test_numbers():
    truth, preds = np.array([1.0, 2.0, 2.0, 5.0]), np.array([1.0, 1.0, 3.0, 3.0])  # ties on both sides
    assert value("spearman", truth, preds) == pytest.approx(stats.spearmanr(truth, preds).statistic)
    assert value("pinball", truth, preds, quantile=0.9) == pytest.approx(sk.mean_pinball_loss(truth, preds, alpha=0.9))
    assert value("rmsle", [0.0, np.e - 1], [-3.0, 0.0]) == pytest.approx(np.sqrt(1 / 2))
    assert value("r2", truth, np.full(4, truth.mean())) == pytest.approx(0)
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    for name, expected in (("r2", sk.r2_score), ("rmse", sk.root_mean_squared_error), ("mae", sk.mean_absolute_error)):
        assert METRICS[name].compute(truth, preds, weights=weights) == pytest.approx(
            expected(truth, preds, sample_weight=weights)
        )
    assert "below 0" in str(Chosen.of("rmsle").problem(TargetSpec("t", "regression"), np.array([1.0, -1.0])))


def test_kappa_of_numbers_is_that_of_their_grades():
    grades, decided = RNG.integers(0, 5, 80), RNG.integers(0, 5, 80)
    assert value("quadratic_kappa", grades.astype(float), decided.astype(float)) == pytest.approx(
        sk.cohen_kappa_score(grades, decided, weights="quadratic")
    )


def test_options_are_checked():
    for said, words in (
        ({"name": "fbeta", "bta": 2.0}, "unknown option 'bta'; did you mean 'beta'"),
        ({"name": "fbeta", "beta": 0.0}, "beta: found 0.0, expected greater than 0"),
        ({"name": "f1", "threshold": 1.5}, "threshold: found 1.5, expected a number between 0 and 1, 'fitted'"),
        ({"name": "accuracy", "k": 5}, "unknown option 'k'; it has none"),
        ({"name": "weighted_auc", "weights": [1.0]}, "borders that rise"),
        ({"name": "fbta"}, "did you mean 'fbeta'"),
        ({"beta": 2.0}, "expected a metric by its name"),
    ):
        with pytest.raises(ValueError, match=r"[a-z]") as caught:
            Chosen.of(said)
        assert words in str(caught.value)
