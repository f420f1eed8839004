"""What the leaderboard scores: a metric with options, a mean of several, pooled targets; the road with them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
from sklearn import metrics as sk

from pipeline import competitions
from pipeline.commands.bundle import _artifacts
from pipeline.commands.infer import infer
from pipeline.errors import RequestError, WorkFailed
from pipeline.kaggle.manifest import Entry
from pipeline.metrics import METRICS, NUMBER, TAGS, Metric
from pipeline.metrics.decisions import by_threshold
from pipeline.metrics.leaderboard import Leaderboard, Scorable
from pipeline.metrics.overlap import AtHalf
from pipeline.predictions import TargetSpec
from pipeline.workspace import Workspace
from tests.command import pipeline
from tests.drawn import write_competition
from tests.plugged import plugged

KINDS = {"colour": "category", "age": "regression", "height": "regression", "tags": "multilabel"}
NUMBERS = {"age": TargetSpec("age", "regression"), "height": TargetSpec("height", "regression")}
TOML = """
slug = "x"
source.demo = 1
metric = {metric}
[data]
table = "t.csv"
id = "id"
images = "{{id}}"
[[targets]]
name = "colour"
[[targets]]
name = "age"
kind = "regression"
[[targets]]
name = "tags"
kind = "multilabel"
"""


def test_one_metric_scores_every_target_that_it_fits():
    found = Leaderboard.read("rmse", KINDS)
    assert (found.name, list(found.of), dict(found.weights)) == ("rmse", ["age", "height"], {"age": 1, "height": 1})
    assert not found.higher_is_better
    assert found.mean({"age": 1.0, "height": 2.0}) == 1.5
    assert found.mean({"age": 1.0, "height": None}) is None


def test_a_weighted_mean_of_metrics():
    said = {
        "name": "mean",
        "of": {"age": "r2", "colour": {"name": "fbeta", "beta": 2.0}},
        "weights": {"colour": 3.0},
    }
    found = Leaderboard.read(said, KINDS)
    assert [(name, own.name) for name, own in found.of.items()] == [("colour", "fbeta"), ("age", "r2")]
    assert found.mean({"colour": 0.5, "age": 0.9}) == pytest.approx((3 * 0.5 + 0.9) / 4)
    assert Leaderboard.read({"name": "mean", "of": "rmse", "weights": {"age": 0.0}}, KINDS).mean(
        {"age": 5.0, "height": 2.0}
    ) == pytest.approx(2)


def test_pooled_rows_are_scored_as_one_targets():
    found = Leaderboard.read({"name": "pooled", "of": "r2", "weights": {"height": 0.2}}, KINDS)
    rng = np.random.default_rng(0)
    truth, preds = rng.normal([[1.0], [9.0]], 1, (2, 30)), rng.normal([[1.0], [9.0]], 1, (2, 30))
    parts = [Scorable(spec, truth[n], preds[n]) for n, spec in enumerate(NUMBERS.values())]
    weights = np.repeat([1.0, 0.2], 30)
    assert found.name == "pooled_r2"
    assert found.total(parts) == pytest.approx(sk.r2_score(truth.ravel(), preds.ravel(), sample_weight=weights))
    mean = Leaderboard.read({"name": "mean", "of": "r2"}, {"age": "regression", "height": "regression"})
    assert mean.total(parts) == pytest.approx(np.mean([sk.r2_score(t, p) for t, p in zip(truth, preds, strict=True)]))


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ('{ name = "fbeta", bta = 2.0 }', "metric 'fbeta': unknown option 'bta'; did you mean 'beta'?"),
        ('{ name = "fbta" }', "metric 'fbta' is not a known metric"),
        ("{ beta = 2.0 }", "expected a metric by its name"),
        ('{ name = "mean" }', "metric 'mean': of: expected { TARGET = METRIC, ... }"),
        ('{ name = "mean", of = { colr = "accuracy" } }', "of: no target 'colr'; there is colour, age, tags; did you"),
        ('{ name = "mean", of = { colour = "rmse" } }', "of.colour: 'rmse' scores regression targets, not category"),
        ('{ name = "mean", of = { colour = "accuracy", age = "rmse" } }', "more is better of accuracy, less of rmse"),
        ('{ name = "mean", of = "rmse", weights = { tags = 2.0 } }', "'tags' is none of the scored targets age"),
        ('{ name = "mean", of = "rmse", weights = { age = -1.0 } }', "weights.age: found -1.0, expected a number from"),
        ('{ name = "mean", of = "rmse", weights = { age = 0.0 } }', "weights: all are 0"),
        ('{ name = "pooled", of = "spearman" }', "'spearman' cannot weigh rows; rmse, mae, mcrmse, r2 can"),
        ('{ name = "pooled", of = { age = "r2" } }', "metric 'pooled': of: expected 'METRIC'"),
        ('{ name = "mean", of = "rmse", wights = {} }', "metric 'mean': unknown key 'wights'; known here: of, weights"),
        ("3", "metric: found 3, expected"),
    ],
)
def test_what_is_wrong_is_said(load_toml, metric, words):
    with pytest.raises(RequestError) as caught:
        load_toml(TOML.format(metric=metric))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "metric",
    ['"accuracy"', '{ name = "fbeta", beta = 2.0 }', '{ name = "mean", of = { colour = "mcc", tags = "f2" } }'],
)
def test_a_file_that_is_written_out_says_the_same(load_toml, metric):
    comp = load_toml(TOML.format(metric=metric))
    text = tomli_w.dumps(comp.model_dump(exclude_none=True, mode="json"))
    assert load_toml(text) == comp
    assert tomli_w.dumps(load_toml(text).model_dump(exclude_none=True, mode="json")) == text


def test_a_plain_metric_is_recorded_as_it_was_and_options_are_off_by_default():
    from pipeline.settings import differences

    plain = Leaderboard.read("accuracy", KINDS).settings()
    assert (dict(plain), plain.defaults["metric_options"]) == ({"metric": "accuracy"}, {})
    now = Leaderboard.read("micro_f1", KINDS).settings()
    assert list(differences("", {"metric": "micro_f1"}, now)) == []
    fitted = Leaderboard.read({"name": "micro_f1", "threshold": "fitted"}, KINDS).settings()
    assert fitted["metric_options"] == {"threshold": "fitted"}
    assert len(list(differences("", {"metric": "micro_f1"}, fitted))) == 2  # and it decides
    kept = json.loads(json.dumps(fitted))
    assert list(differences("", kept, fitted)) == []
    assert list(differences("", kept, now)) != []
    means = [Leaderboard.read({"name": "mean", "of": "rmse", "weights": {"age": w}}, KINDS) for w in (1.0, 2.0)]
    assert len(list(differences("", json.loads(json.dumps(means[0].settings())), means[1].settings()))) == 1


# The whole road

GRADES = {"blue": 0, "green": 1, "red": 3}
HEIGHTS = {"blue": 100.0, "green": 150.0, "red": 90.0}
TARGETS = """targets=[
    {name="grade", kind="regression"}, {name="height", kind="regression"},
    {name="tags", kind="multilabel"}, {name="form", kind="binary"}
]"""
FILE = ("grade", "height", "tags", "form")
ONE_MODEL = [
    'models=[{name="m", arch="test_resnet", weights="none", resize={size=40, method="squish"}, size=32}]',
    *(
        f"models.0.{key}={value}"
        for key, value in {"batch_size": 8, "epochs": 8, "lr": 0.02, "dropout": 0.0, "tta": 1}.items()
    ),
    TARGETS,
]
COLUMNS = f"submission.columns={{{', '.join(f'{name}={name!r}' for name in FILE)}}}"


@pytest.fixture(scope="module")
def comp(tmp_path_factory) -> Path:
    """The tiny competition with a grade, a height and tags for each picture, which follow from its colour and shape."""
    path = write_competition(tmp_path_factory.mktemp("scored"), train=96)
    for table in ("raw/train.csv", "solution.csv"):
        rows = pd.read_csv(path.parent / table)
        rows["grade"], rows["height"] = rows["colour"].map(GRADES), rows["colour"].map(HEIGHTS)
        rows["tags"] = rows["colour"].where(rows["colour"] != "green", "") + " " + rows["form"]
        rows.to_csv(path.parent / table, index=False)
    rows = pd.read_csv(path.parent / "raw/sample_submission.csv")
    rows.drop(columns="colour").assign(**dict.fromkeys(FILE, 0)).to_csv(
        path.parent / "raw/sample_submission.csv", index=False
    )
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("root")


def road(comp, root, metric, command="run", *more):
    """Run, or do another command; metrics share what was trained, which does not depend on them."""
    sets = [*ONE_MODEL, f"metric={metric}", COLUMNS]
    options = [part for each in sets for part in ("--set", each)]
    result = pipeline(command, comp, "--root", root, "--json", *more, *options)
    assert result.code == 0, result.err
    return result


def graded(comp, root, metric):
    return road(comp, root, metric, "score", "--solution", comp.parent / "solution.csv").json


def test_grades_are_sent_as_whole_numbers_that_were_cut_out_of_fold(comp, root):
    metric = '{name="mean", of={grade="quadratic_kappa"}}'
    result = road(comp, root, metric)
    row = result.json["rows"][0]
    assert row["mean"]["metric"] == "quadratic_kappa"
    assert row["cv"]["grade"]["quadratic_kappa"] == row["mean"]["value"] > 0.5
    assert "rmse" in row["cv"]["grade"]  # of the numbers before they are cut
    runs = root / "runs/tiny"
    decision = json.loads((runs / "ensemble/decision.json").read_text())
    assert decision["grade"]["grades"] == [0, 1, 3]
    found = graded(comp, root, metric)
    cells = pd.read_csv(found["submission"], dtype=str)["grade"]
    assert set(cells) <= {"0", "1", "3"}
    answers = pd.read_csv(comp.parent / "solution.csv")["grade"]
    assert found["score"] == pytest.approx(
        sk.cohen_kappa_score(answers, cells.astype(int), labels=range(4), weights="quadratic"), abs=1e-6
    )
    assert set(road(comp, root, metric, "status").json["stages"].values()) == {"done"}


def test_thresholds_are_fitted_when_the_file_says_so(comp, root):
    plain, metric = '"micro_f1"', '{name="micro_f1", threshold="fitted"}'
    road(comp, root, plain)
    before = road(comp, root, metric, "status").json["stages"]
    assert (before["train"], before["predict"]) == ("done", "stale")
    road(comp, root, metric)
    decision = json.loads((root / "runs/tiny/m/decision.json").read_text())
    assert set(decision) == {"tags", "form"}
    found = graded(comp, root, metric)
    cells = pd.read_csv(found["submission"], dtype=str, keep_default_na=False)
    oof = pd.read_parquet(root / "runs/tiny/ensemble/test.parquet").set_index("id").loc[cells["image_id"]]
    expected = (oof[["tags/bar", "tags/blue", "tags/dot", "tags/red"]] > decision["tags"]).to_numpy()
    names = np.array(["bar", "blue", "dot", "red"])
    assert cells["tags"].tolist() == [" ".join(names[row]) for row in expected]
    assert cells["form"].tolist() == np.where(oof["form/dot"] > decision["form"][0], "dot", "bar").tolist()


def test_a_mean_of_several_metrics_and_pooled_targets(comp, root):
    metric = '{name="mean", of={grade="spearman", tags="f2", form="mcc"}, weights={tags=2.0}}'
    result = road(comp, root, metric)
    row = result.json["rows"][0]
    assert "ensemble: mean 0." in result.err
    cv = row["cv"]
    assert [next(iter(cv[name])) for name in ("grade", "tags", "form")] == ["spearman", "f2", "mcc"]
    values = [cv["grade"]["spearman"], cv["tags"]["f2"], cv["form"]["mcc"]]
    assert row["mean"]["value"] == pytest.approx(np.average(values, weights=[1, 2, 1]), abs=1e-5)
    found = graded(comp, root, metric)
    each = [found["targets"][name] for name in ("grade", "tags", "form")]
    assert found["score"] == pytest.approx(np.average(each, weights=[1, 2, 1]), abs=1e-5)

    metric = '{name="pooled", of="r2", weights={height=0.5}}'
    result = road(comp, root, metric)
    row = result.json["rows"][0]
    oof = pd.read_parquet(root / "runs/tiny/ensemble/oof.parquet")
    rows = pd.read_csv(comp.parent / "raw/train.csv").set_index("image_id").loc[oof["id"]]
    truth = np.concatenate([rows["grade"], rows["height"]])
    preds = np.concatenate([oof["grade"], oof["height"]])
    weights = np.repeat([1.0, 0.5], len(oof))
    assert row["mean"]["metric"] == "pooled_r2"
    assert row["tta_mean"]["value"] == pytest.approx(sk.r2_score(truth, preds, sample_weight=weights), abs=1e-5)
    assert len(row["mean"]["folds"]) == 2
    assert road(comp, root, metric, "status").json["models"][0]["mean"] == row["mean"]
    assert graded(comp, root, metric)["score"] is not None
    _sent_is_shown_with_the_pooled_number(comp, root, metric, Path(result.json["submission"]).with_suffix(".json"))


def _sent_is_shown_with_the_pooled_number(comp, root, metric, path):
    def shown(**changed):
        path.write_text(json.dumps({**about, **changed}))
        return road(comp, root, metric, "status").json["leaderboard"][0]["cv"]

    oof, about = pd.read_parquet(root / "runs/tiny/ensemble/oof.parquet"), json.loads(path.read_text())
    rows = pd.read_csv(comp.parent / "raw/train.csv").set_index("image_id").loc[oof["id"]]
    truth, preds = (np.concatenate([table["grade"], table["height"]]) for table in (rows, oof))
    expected = sk.r2_score(truth, preds, sample_weight=np.repeat([1.0, 0.5], len(oof)))
    about |= {"scores": {"kaggle": {"ref": 1, "status": "complete", "public": 0.5}}}
    assert shown() == pytest.approx(expected, abs=1e-5)
    assert shown(pooled={"pooled_r2": 0.25}) == 0.25
    about.pop("pooled")  # as before it was kept there: the predictions may still be the same
    assert shown() == pytest.approx(expected, abs=1e-5)
    assert shown(cv={"grade": {"r2": 0.1}, "height": {"r2": 0.3}}) is None


def test_a_session_on_kaggle_decides_as_the_ensemble_did(comp, root, tmp_path, log):
    metric = '{name="quadratic_kappa"}'
    result = road(comp, root, metric)
    loaded, here = competitions.load(str(comp), [*ONE_MODEL, f"metric={metric}", COLUMNS]), Workspace(root, "tiny")
    places = list(_artifacts(loaded, here))
    assert "runs/tiny/ensemble/decision.json" in places
    entries = [Entry(place, "", 0, place) for place in places]
    infer(loaded, Workspace(tmp_path / "mounted", "tiny"), root, entries, tmp_path / "sent.csv", log)
    assert (tmp_path / "sent.csv").read_text() == Path(result.json["submission"]).read_text()
    lacking = [entry for entry in entries if "decision" not in entry.place]
    (root / "runs/tiny/ensemble/decision.json").rename(root / "aside.json")
    with pytest.raises(WorkFailed, match=r"no decision of quadratic_kappa at .*ensemble/decision\.json; run"):
        infer(loaded, Workspace(tmp_path / "again", "tiny"), root, lacking, tmp_path / "none.csv", log)
    (root / "aside.json").rename(root / "runs/tiny/ensemble/decision.json")


class Tolerance(AtHalf, frozen=True):
    within: float = 1.0


def test_a_metric_of_ones_own_has_options_and_decides(load_toml):
    def close(truth, preds, options):
        return float((np.abs(truth - preds) <= options.within).mean())

    def agreed(truth, preds, options):
        return float(((preds > 0.5) == (truth > 0.5)).mean())

    with plugged(sha256="abc"):
        METRICS.add("close", Metric(NUMBER, True, False, close, options=Tolerance))
        METRICS.add("agreed", Metric(TAGS, True, False, agreed, options=Tolerance, decision=by_threshold))
        board = load_toml(TOML.format(metric='{ name = "close", within = 2.0 }')).leaderboard
        assert board.of["age"].compute(NUMBERS["age"], np.array([1.0, 5.0]), np.array([2.5, 9.0])) == 0.5
        assert METRICS["close"].compute(np.array([1.0]), np.array([2.5])) == 0  # within its default
        assert (board.settings()["metric_code"], board.settings()["metric_options"]["within"]) == ("abc", 2.0)
        board = load_toml(TOML.format(metric='{ name = "agreed", threshold = 0.1 }')).leaderboard
        spec = TargetSpec("tags", "multilabel", ("a",))
        assert board.of["tags"].at_once(spec, np.array([[1.0], [0.0]]), np.array([[0.2], [0.05]])) == 1
