"""What is fitted to columns alone: it learns, it is kept as arrays, and says what scikit-learn would say."""

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import load, save

from pipeline.errors import WorkFailed
from pipeline.vision.estimators import ESTIMATORS, Answers
from pipeline.vision.estimators.trees import Grown, joined, sums

RNG = np.random.Generator(np.random.PCG64(3))
INPUTS = RNG.normal(size=(300, 5))
SCORE = INPUTS[:, 0] + INPUTS[:, 1]
ONE = np.eye(4)[np.digitize(SCORE, [-1.0, 0.0, 1.0])]
ANSWERS = {
    "four classes": Answers("one", ONE),
    "two classes": Answers("one", np.eye(2)[(SCORE > 0).astype(int)]),
    "tags": Answers("any", np.stack([SCORE > 0, INPUTS[:, 2] > 0.5], axis=1).astype(float)),
    "numbers": Answers("number", ((SCORE - SCORE.mean()) / SCORE.std())[:, None]),
}


def fitted(name: str, answers: Answers, rows: slice = slice(None), **options) -> tuple:
    entry = ESTIMATORS[name]
    weights = None if answers.weights is None else answers.weights[rows]
    part = Answers(answers.sort, answers.values[rows], weights)
    arrays = entry.fit(INPUTS[rows], part, entry.options(**options), 7)
    kept = load(save({key: np.array(array) for key, array in arrays.items()}))  # as the file has them
    return entry, kept


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("what", ANSWERS)
def test_it_learns_and_predicts_from_what_is_kept(name, what):
    answers, seen, unseen = ANSWERS[what], slice(0, 200), slice(200, None)
    entry, kept = fitted(name, answers, seen)
    raw, truth = entry.predict(kept, INPUTS[unseen]), answers.values[unseen]
    assert raw.shape == truth.shape
    if answers.sort == "number":
        assert np.sqrt(((raw - truth) ** 2).mean()) < 0.5, "the mean alone has about 1"
    elif answers.sort == "one":
        assert (raw.argmax(axis=1) == truth.argmax(axis=1)).mean() > truth.mean(axis=0).max() + 0.15
        assert np.allclose(np.exp(raw).sum(axis=1), 1, atol=0.02)
    else:
        assert ((raw > 0) == (truth > 0)).mean() > 0.8


@pytest.mark.parametrize("name", ESTIMATORS)
def test_it_says_what_scikit_learn_says(name):
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression

    entry, kept = fitted(name, ANSWERS["four classes"])
    own, codes = np.exp(entry.predict(kept, INPUTS)), ONE.argmax(axis=1)
    if name == "linear":
        theirs = LogisticRegression(max_iter=2000).fit(INPUTS, codes).predict_proba(INPUTS)
    elif name == "forest":
        forest = RandomForestRegressor(200, min_samples_leaf=2, max_features="sqrt", random_state=7)
        theirs = forest.fit(INPUTS, ONE).predict(INPUTS).clip(1 / 301, 300 / 301)
    else:
        boosting = HistGradientBoostingClassifier(early_stopping=False, random_state=7)
        theirs = boosting.fit(INPUTS, codes).predict_proba(INPUTS)
    assert np.allclose(own, theirs, atol=1e-6)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_class_that_no_row_has_is_unlikely_and_one_alone_is_certain(name):
    gone = Answers("one", np.concatenate([ONE, np.zeros((300, 1))], axis=1))
    entry, kept = fitted(name, gone)
    assert np.exp(entry.predict(kept, INPUTS))[:, 4].max() < 0.01
    only = Answers("one", np.eye(3)[np.ones(300, dtype=int)])
    entry, kept = fitted(name, only)
    assert (entry.predict(kept, INPUTS).argmax(axis=1) == 1).all()
    never = Answers("any", np.stack([SCORE > 0, np.zeros(300), np.ones(300)], axis=1).astype(float))
    entry, kept = fitted(name, never)
    raw = entry.predict(kept, INPUTS)
    assert np.isfinite(raw).all()
    assert raw[:, 1].max() < -3
    assert raw[:, 2].min() > 3


@pytest.mark.parametrize("name", ESTIMATORS)
def test_rows_that_count_nothing_change_nothing(name):
    """Half of the rows have a wrong answer, and no weight."""
    wrong = Answers("one", ONE[:, ::-1].copy(), np.r_[np.ones(150), np.zeros(150)])
    wrong.values[:150] = ONE[:150]
    entry, kept = fitted(name, wrong)
    right = (entry.predict(kept, INPUTS[:150]).argmax(axis=1) == ONE[:150].argmax(axis=1)).mean()
    assert right > 0.75


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_same_seed_gives_the_same_bytes(name):
    first, second = (fitted(name, ANSWERS["four classes"])[1] for _ in range(2))
    assert {key: array.tobytes() for key, array in first.items()} == {k: a.tobytes() for k, a in second.items()}


def test_options_act():
    assert len(fitted("forest", ANSWERS["tags"], trees=3)[1]["roots"]) == 3
    assert len(fitted("boosting", ANSWERS["tags"], rounds=4)[1]["roots"]) == 2 * 4
    tight, free = (fitted("linear", ANSWERS["two classes"], c=c)[1]["coef"] for c in (1e-3, 1.0))
    assert abs(tight).max() < abs(free).max() / 5
    with pytest.raises(ValidationError):
        ESTIMATORS["forest"].options(trees=0)


def test_trees_that_scikit_learn_keeps_elsewhere_are_refused(monkeypatch):
    from sklearn.ensemble import HistGradientBoostingClassifier

    raw = HistGradientBoostingClassifier._raw_predict
    monkeypatch.setattr(HistGradientBoostingClassifier, "_raw_predict", lambda self, x: raw(self, x) + 1)
    with pytest.raises(WorkFailed, match=r"cannot read the trees of scikit-learn .*; take table:forest"):
        fitted("boosting", ANSWERS["two classes"])


def test_a_row_on_the_threshold_goes_left_and_trees_add_up():
    def stump(first: int, left: float, right: float) -> Grown:
        feature, threshold = np.array([1, -2, -2]), np.array([0.5, 0.0, 0.0])
        values = np.array([[0.0], [left], [right]])
        return Grown(
            feature, threshold, np.array([1, -1, -1]), np.array([2, -1, -1]), np.array([0, 1, 1]) > 0, values, first
        )

    arrays = joined([stump(0, 1.0, 2.0), stump(1, 3.0, 5.0), stump(1, 10.0, 20.0)], np.array([100.0, 0.0]))
    found = sums(arrays, np.array([[9.0, 0.5], [9.0, 0.6]]))
    assert found.tolist() == [[101.0, 13.0], [102.0, 25.0]]
