"""The whole road on a tiny competition: what it leaves behind, what it repeats, what a kill costs."""

import json
import random
import shutil
import signal
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.command import pipeline, start
from tests.drawn import write_competition


def results(root: Path) -> dict[str, bytes]:
    """Everything that must be the same bytes every time."""
    paths = [*root.glob("runs/tiny/*/oof.parquet"), *root.glob("runs/tiny/*/test.parquet")]
    paths += root.glob("submissions/tiny/*.csv")
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(paths)}


@pytest.fixture(scope="module")
def comp(tmp_path_factory) -> Path:
    return write_competition(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def walked(comp, tmp_path_factory) -> Path:
    """A root in which the competition was run once, undisturbed."""
    root = tmp_path_factory.mktemp("walked")
    result = pipeline("run", comp, "--root", root)
    assert result.code == 0, result.err
    return root


def test_a_trained_fold_opens_as_a_learner(walked, comp):
    from pipeline.commands.reopen import reopen
    from pipeline.competitions import load
    from pipeline.workspace import Workspace

    learn = reopen(load(str(comp)), Workspace(walked, "tiny"), "resnet", 1)
    plain = pd.read_parquet(walked / "runs/tiny/resnet/fold-1/plain/oof.parquet")
    preds, _ = learn.get_preds()
    assert [sample.id for sample in learn.dls.valid.items] == plain["id"].tolist()
    assert abs(preds.numpy() - plain.filter(like="/").to_numpy()).max() < 1e-6


def test_a_learner_can_be_exported_and_predicts_the_same(walked, comp, tmp_path):
    from fastai.learner import load_learner

    from pipeline.commands.reopen import reopen
    from pipeline.competitions import load
    from pipeline.workspace import Workspace

    learn = reopen(load(str(comp)), Workspace(walked, "tiny"), "byobnet", 0)
    image = sorted((comp.parent / "raw" / "test_images").iterdir())[0]
    learn.export(tmp_path / "learner.pkl")
    (said, _, probabilities), (again, _, others) = (
        one.predict(image) for one in (learn, load_learner(tmp_path / "learner.pkl"))
    )
    assert said == again
    assert abs(probabilities - others).max() < 1e-6


def test_leaves_the_artifacts_of_the_design(walked):
    meta, runs = walked / "data/tiny/.pipeline", walked / "runs/tiny"
    for name in ("manifest.parquet", "folds.csv", "audit.json"):
        assert (meta / name).is_file()
    for model in ("resnet", "byobnet"):
        for name in ("config.toml", "metrics.json", "oof.parquet", "test.parquet"):
            assert (runs / model / name).is_file()
        for fold in (0, 1):
            names = {path.name for path in (runs / model / f"fold-{fold}").iterdir()}
            assert {"weights.safetensors", "history.csv"} <= names
            assert "checkpoint" not in names
    for name in ("weights.json", "metrics.json", "oof.parquet", "test.parquet"):
        assert (runs / "ensemble" / name).is_file()
    table = pq.read_table(runs / "resnet/oof.parquet")
    assert table.column_names == ["id", "fold", "colour/blue", "colour/green", "colour/red", "shape/bar", "shape/dot"]
    probabilities = table.to_pandas()[["colour/blue", "colour/green", "colour/red"]].sum(axis=1)
    assert probabilities.sub(1).abs().max() < 1e-5
    assert not list(walked.rglob("*.tmp"))


def test_oof_covers_every_training_image_in_its_own_fold(walked):
    folds = pd.read_csv(walked / "data/tiny/.pipeline/folds.csv").set_index("id")["fold"]
    for member in ("resnet", "ensemble"):
        oof = pd.read_parquet(walked / f"runs/tiny/{member}/oof.parquet").set_index("id")
        assert oof["fold"].sort_index().to_dict() == folds.sort_index().to_dict()


def test_submission_has_the_ids_columns_and_order_of_the_sample(walked, comp):
    (path,) = (walked / "submissions/tiny").glob("*.csv")
    sample = pd.read_csv(comp.parent / "raw/sample_submission.csv", dtype=str)
    submission = pd.read_csv(path, dtype=str)
    assert list(submission.columns) == list(sample.columns)
    assert submission["image_id"].tolist() == sample["image_id"].tolist()
    assert set(submission["colour"]) <= {"blue", "green", "red"}


def test_status_follows_the_contract(walked, comp):
    status = pipeline("status", comp, "--root", walked, "--json").json
    assert set(status) == {"competition", "kind", "stages", "models", "ensemble", "submission"}
    assert list(status["stages"].items()) == [
        (name, "done") for name in ("data", "check", "folds", "presize", "train", "predict", "ensemble", "submit")
    ]
    model = status["models"][0]
    assert set(model) == {"name", "folds_done", "folds", "cv", "tta_cv", "seconds", "mean", "tta_mean"}
    assert list(model["cv"]["colour"]) == ["accuracy", "error_rate", "log_loss"], "the leaderboard's metric is first"
    assert (model["name"], model["folds_done"], model["folds"]) == ("resnet", 2, 2)
    assert model["cv"]["colour"]["error_rate"] == pytest.approx(1 - model["cv"]["colour"]["accuracy"])
    assert set(status["ensemble"]) == {"cv", "weights", "mean"}
    assert sum(status["ensemble"]["weights"].values()) == pytest.approx(1)
    assert Path(status["submission"]).is_file()


def test_score_grades_against_given_answers(walked, comp):
    solution = comp.parent / "solution.csv"
    graded = pipeline("score", comp, "--root", walked, "--solution", solution, "--json").json
    said = pd.read_csv(graded["submission"]).set_index("image_id")["colour"]
    truth = pd.read_csv(solution).set_index("image_id")["colour"]
    assert graded["score"] == pytest.approx((said == truth[said.index]).mean(), abs=1e-6)
    about = json.loads(Path(graded["submission"]).with_suffix(".json").read_text())
    assert about["scores"]["local"]["score"] == graded["score"]


def test_a_second_run_does_nothing_and_says_so(walked, comp):
    before = {path: path.stat().st_mtime_ns for path in walked.rglob("*") if path.suffix in (".parquet", ".csv")}
    result = pipeline("run", comp, "--root", walked)
    assert result.code == 0
    assert "everything is up to date" in result.err
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_same_seed_same_bytes_whatever_the_order_of_the_tables(walked, tmp_path):
    shuffled = write_competition(tmp_path, shuffle=3)
    assert pipeline("run", shuffled, "--root", tmp_path / "root").code == 0
    mine, theirs = results(tmp_path / "root"), results(walked)
    tables = {name for name in theirs if name.endswith(".parquet")}
    assert {name: mine[name] for name in tables} == {name: theirs[name] for name in tables}
    (ours,), (other,) = ({name for name in side if name.endswith(".csv")} for side in (mine, theirs))
    assert mine[ours] != theirs[other], "the sample was shuffled, so the submission has another order"
    assert sorted(mine[ours].splitlines()) == sorted(theirs[other].splitlines())


def test_another_epoch_retrains_that_model_alone(comp, tmp_path):
    assert pipeline("run", comp, "--root", tmp_path).code == 0
    weights = sorted(tmp_path.rglob("weights.safetensors"))
    before = {path: path.stat().st_mtime_ns for path in weights}
    predicted = {path.parent.name: path.read_bytes() for path in tmp_path.glob("runs/*/*/test.parquet")}
    result = pipeline("run", comp, "--root", tmp_path, "--set", "models.1.epochs=1")
    assert result.code == 0, result.err
    changed = {path.parent.parent.name for path in weights if path.stat().st_mtime_ns != before[path]}
    assert changed == {"byobnet"}
    again = {path.parent.name: path.read_bytes() for path in tmp_path.glob("runs/*/*/test.parquet")}
    assert {name for name in again if again[name] != predicted[name]} == {"byobnet", "ensemble"}
    status = pipeline("status", comp, "--root", tmp_path, "--json").json
    assert status["stages"]["folds"] == "done"
    assert status["stages"]["train"] == "stale", "the file itself still asks for two epochs"
    for stage in ("ensemble", "submit"):
        said = pipeline(stage, comp, "--root", tmp_path)
        assert said.code == 2
        assert f"{stage} needs train, predict" in said.err


@pytest.mark.slow
def test_killed_at_five_moments_it_ends_with_the_same_bytes(walked, comp, tmp_path):
    """SIGKILL at random moments of the whole run; finished folds are not trained again."""
    generator, log = random.Random(2), tmp_path / "log"
    args = ("run", comp, "--root", tmp_path / "root")
    for root in ("warm", "whole"):  # the first one waits until the server has imported torch
        started = time.monotonic()
        child = start(*args, "--root", tmp_path / root, log=log)
        child.join()
        assert child.exitcode == 0, log.read_text()
        whole = time.monotonic() - started
    kills = 0
    finished: dict[Path, int] = {}
    for _ in range(20):
        child = start(*args, log=log)
        child.join(generator.uniform(0.05, 0.6) * whole)
        child.kill()  # does nothing if it has just ended
        child.join()
        killed = child.exitcode == -signal.SIGKILL
        kills += killed
        assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items()), "a finished fold ran again"
        finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "root").rglob("trained.json")}
        if kills == 5:
            break
        if not killed:  # it was through before it was killed: once more from nothing
            shutil.rmtree(tmp_path / "root")
            finished = {}
    child = start(*args, log=log)
    child.join()
    assert child.exitcode == 0, log.read_text()
    assert kills == 5
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items()), "a finished fold ran again"
    assert results(tmp_path / "root") == results(tmp_path / "whole") == results(walked)
