"""What is fitted to columns alone: it learns, it is kept as arrays, and says what scikit-learn would say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from safetensors.numpy import load, save

from pipeline.errors import RequestError, WorkFailed
from pipeline.log import Log
from pipeline.metrics.leaderboard import Leaderboard
from pipeline.targets import TargetSpec
from pipeline.vision.estimators import ESTIMATORS, Answers
from pipeline.vision.estimators.trees import Grown, joined, sums
from pipeline.vision.features import PREFIX
from pipeline.vision.heads import Head
from pipeline.vision.scored import Scored
from pipeline.vision.table import TrainedTable, train_table
from pipeline.vision.table_config import TableModel
from pipeline.vision.weights import WEIGHT
from pipeline.workspace import WEIGHTS

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


# Weights of rows

KIND = TargetSpec("kind", "category", ("a", "b"))


def drawn_rows(weights: list[float] | None = None) -> pd.DataFrame:
    """40 rows: in the first half the number tells the label, in the second the other one."""
    number = np.tile(np.linspace(-1, 1, 20), 2)
    kind = np.where((number > 0) == (np.arange(40) < 20), "b", "a")
    rows = pd.DataFrame({"id": [f"r{row}" for row in range(40)], "kind": kind, f"{PREFIX}number": number})
    return rows if weights is None else rows.assign(**{WEIGHT: weights})


def table_of(rows: pd.DataFrame, folder: Path, estimator: str) -> TrainedTable:
    folder.mkdir()
    heads, model = [Head(KIND, "cross_entropy")], TableModel(name="t", arch=f"table:{estimator}")
    scored = Scored.of(Leaderboard.read("accuracy", {"kind": "category"}), ["kind"], [KIND], rows)
    train_table(rows, rows, heads, model, (1, "t", 0), folder, Log(), "train t fold 1/2", scored)
    return TrainedTable.open(folder / WEIGHTS)


@pytest.mark.parametrize("estimator", ["linear", "forest"])
@pytest.mark.parametrize("little", [0.0, 0.01])
def test_a_table_model_believes_the_rows_that_count(tmp_path, estimator, little):
    for name, weights in (("first", [2.0, little]), ("second", [little, 2.0])):
        rows = drawn_rows(np.repeat(weights, 20).tolist())
        found = table_of(rows, tmp_path / name, estimator).values(rows)["kind"].argmax(axis=1)
        right = (np.array(KIND.vocab)[found] == rows["kind"]).to_numpy()
        halves = right[:20].mean(), right[20:].mean()
        assert halves[name == "second"] > 0.85
        assert halves[name == "first"] < 0.15


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_what_counts_nothing_is_as_if_it_were_not_there_and_alike_is_as_unsaid(tmp_path, estimator):
    rows = drawn_rows([*20 * [3.0], *20 * [0.0]])
    with_none, without = table_of(rows, tmp_path / "zero", estimator), table_of(rows[:20], tmp_path / "gone", estimator)
    assert (with_none.values(rows)["kind"] == without.values(rows)["kind"]).all()
    table_of(drawn_rows(), tmp_path / "unsaid", estimator)
    table_of(drawn_rows(40 * [2.5]), tmp_path / "alike", estimator)
    assert (tmp_path / "alike" / WEIGHTS).read_bytes() == (tmp_path / "unsaid" / WEIGHTS).read_bytes()


def test_a_target_that_no_row_that_counts_answers_is_refused(tmp_path):
    rows = drawn_rows([*20 * [1.0], *20 * [0.0]]).assign(kind=[*20 * [np.nan], *20 * ["a"]])
    with pytest.raises(RequestError, match=r"train t fold 1/2: .* none that counts \(.*\) has an answer to 'kind'"):
        table_of(rows, tmp_path / "t", "linear")
