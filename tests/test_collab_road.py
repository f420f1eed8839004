"""A rating competition from its tables to a scored submission, and what a user asks of it afterwards."""

import json
import os
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest

from tests.command import pipeline, start
from tests.rated import write_rated

TEST = {"test": 'test = "asked.csv"', "folds": ""}


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    made = write_rated(tmp_path_factory.mktemp("rated"))
    made.lines.update(TEST)
    return made


@pytest.fixture(scope="module")
def walked(rated, tmp_path_factory):
    root = tmp_path_factory.mktemp("walked")
    result = pipeline("run", rated.file, "--root", root, "--json")
    assert result.code == 0, result.err
    return root


def test_every_model_beats_the_mean_and_says_so(walked, rated):
    status = pipeline("status", rated.file, "--root", walked, "--json").json
    assert (status["kind"], set(status["stages"].values())) == ("ratings", {"done"})
    for cv in [*(model["cv"] for model in status["models"]), status["ensemble"]["cv"]]:
        assert 0 < cv["rating"]["rmse"] < rated.rows["stars"].std()
        assert 0 < cv["rating"]["mae"] < cv["rating"]["rmse"]


def test_cv_is_that_of_the_out_of_fold_rows(walked, rated):
    status = pipeline("status", rated.file, "--root", walked, "--json").json
    truth = rated.rows.set_index(rated.rows["who"] + "/" + rated.rows["film"])["stars"]
    oof = pd.read_parquet(walked / "runs/rated/plain/oof.parquet").set_index("id")
    assert set(oof.index) == set(truth.index)
    folds = pd.read_csv(walked / "data/rated/.pipeline/folds.csv").set_index("id")["fold"]
    assert (oof["fold"] == folds[oof.index]).all()
    rmse = np.sqrt(np.mean((oof["rating"] - truth[oof.index]) ** 2))
    assert status["models"][0]["cv"]["rating"]["rmse"] == pytest.approx(rmse, abs=1e-5)


def test_the_submission_holds_the_test_rows_and_is_graded(walked, rated):
    result = pipeline("score", rated.file, "--root", walked, "--solution", rated.folder / "solution.csv", "--json")
    assert result.code == 0, result.err
    sent = pd.read_csv(result.json["submission"]).set_index("id")["rating"]
    truth = rated.test.set_index(rated.test["who"] + "/" + rated.test["film"])["stars"]
    assert set(sent.index) == set(truth.index)
    assert result.json["score"] == pytest.approx(np.sqrt(np.mean((sent[truth.index] - truth) ** 2)), abs=1e-5)


@pytest.mark.parametrize(
    ("columns", "rename"), [(["who", "film", "stars"], {}), (["id", "stars"], {"key": "id"})], ids=["pairs", "own-ids"]
)
def test_a_sample_may_name_rows_in_its_own_way(tmp_path, columns, rename):
    made = write_rated(tmp_path)
    made.lines.update(TEST)
    asked = made.test.drop(columns="stars").assign(id=[f"row{n}" for n in range(len(made.test))])
    asked.to_csv(made.raw / "asked.csv", index=False)
    sample = asked.iloc[::-1].assign(stars=0)[columns]
    sample.to_csv(made.raw / "sample_submission.csv", index=False)
    sets = ("--set", "models.1.epochs=21", "--set", "models.0.epochs=1")
    result = pipeline("run", made.file, "--root", tmp_path / "root", "--json", *sets)
    assert result.code == 0, result.err
    sent = pd.read_csv(tmp_path / "root" / result.json["submission"])
    assert list(sent.columns) == columns
    assert sent[columns[0]].tolist() == sample[columns[0]].tolist()
    assert sent["stars"].between(0, 6).all()
    assert sent["stars"].nunique() > 10


def test_published_folds_are_used_and_the_submission_is_skipped_by_name(tmp_path):
    made = write_rated(tmp_path)
    made.lines["folds"] = 'files = "held{k}.csv"'
    result = pipeline("run", made.file, "--root", tmp_path / "root")
    assert result.code == 0, result.err
    assert "submit: skipped" in result.err
    folds = pd.read_csv(tmp_path / "root/data/rated/.pipeline/folds.csv").set_index("id")["fold"]
    for fold in range(3):
        held = made.rows.iloc[fold::3]
        assert set(folds.index[folds == fold]) == set(held["who"] + "/" + held["film"])


def test_the_same_seed_gives_the_same_bytes(walked, rated, tmp_path):
    assert pipeline("run", rated.file, "--root", tmp_path).code == 0
    for path in walked.glob("runs/rated/*/*/weights.safetensors"):
        assert (tmp_path / path.relative_to(walked)).read_bytes() == path.read_bytes(), path
    for path in [*walked.glob("runs/rated/*/*.parquet"), *walked.glob("submissions/rated/*.csv")]:
        assert (tmp_path / path.relative_to(walked)).read_bytes() == path.read_bytes(), path


@pytest.mark.parametrize("name", ["plain", "drawn"])
def test_a_killed_fit_goes_on_to_the_same_bytes(rated, tmp_path, name):
    """Epochs by the thousand, so that a kill falls between two of them; a checkpoint is kept every second."""
    number = {"plain": 0, "drawn": 1}[name]
    epochs = {"plain": 3000, "drawn": 2500}[name]
    sets = ["--set", f"models.{number}.epochs={epochs}"]
    roots = [tmp_path / "calm", tmp_path / "killed"]
    for root in roots:
        for stage in ("data", "check", "folds"):
            assert pipeline(stage, rated.file, "--root", root, *sets).code == 0
    train = ["train", rated.file, *sets, "--model", name, "--fold", "0", "--root"]
    child = start(*train, roots[1], log=tmp_path / "log")
    checkpoint = roots[1] / f"runs/rated/{name}/fold-0/checkpoint/fit.safetensors"
    while child.is_alive() and not checkpoint.is_file():
        time.sleep(0.02)
    assert child.is_alive(), (tmp_path / "log").read_text()
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert checkpoint.is_file(), (tmp_path / "log").read_text()
    for root in roots:
        result = pipeline(*train, root)
        assert result.code == 0, result.err
        assert ("goes on after epoch" in result.err) == (root == roots[1])
    for file in ("weights.safetensors", "history.csv"):
        calm, killed = (root / f"runs/rated/{name}/fold-0/{file}" for root in roots)
        assert calm.read_bytes() == killed.read_bytes()
    assert not checkpoint.parent.exists()


def test_changed_side_tables_are_trained_on_again(walked, rated, tmp_path):
    shutil.copytree(walked, tmp_path / "root", symlinks=True)
    films = tmp_path / "root/data/rated/films.csv"
    text = films.read_text().replace("Drama|Comedy", "Comedy|Drama|War")
    films.unlink()
    films.write_text(text)
    states = pipeline("status", rated.file, "--root", tmp_path / "root", "--json").json["stages"]
    assert states["data"] == "stale"
    assert states["train"] == "stale"


def test_recommends_what_a_user_has_not_rated(walked, rated):
    result = pipeline("recommend", rated.file, "--root", walked, "--user", "u3", "--json")
    assert result.code == 0, result.err
    items = [row["item"] for row in result.json["rows"]]
    assert len(items) == 10
    assert not set(items) & set(rated.rows["film"][rated.rows["who"] == "u3"])
    assert result.json["rows"][0]["title"] == f"Film {items[0][1:]}, The ({1950 + int(items[0][1:])})"
    ratings = [row["rating"] for row in result.json["rows"]]
    assert ratings == sorted(ratings, reverse=True)


@pytest.mark.parametrize("model", ["plain", "drawn"])
def test_somebody_new_is_served_like_a_user_who_says_the_same(walked, rated, model):
    """Folding in the ratings of a user of the data ranks what is left much as that user's own row does."""
    own = rated.rows[rated.rows["who"] == "u3"]
    said = ",".join(f"{film}={stars}" for film, stars in zip(own["film"], own["stars"], strict=True))
    args = ["recommend", rated.file, "--root", walked, "--model", model, "--json"]
    new, old = pipeline(*args, "--new", said), pipeline(*args, "--user", "u3")
    assert new.code == 0, new.err
    both = [pd.Series({row["item"]: row["rating"] for row in result.json["rows"]}) for result in (new, old)]
    other = pipeline(*args, "--new", ",".join(f"{film}={6 - stars}" for film, stars in own[["film", "stars"]].values))
    assert len(both[0].index.intersection(both[1].index)) >= 6
    assert new.json["rows"][:3] != other.json["rows"][:3]


def test_a_film_that_is_loved_lifts_those_like_it(walked, rated):
    args = ["recommend", rated.file, "--root", walked, "--model", "plain", "--json"]
    high = pipeline(*args, "--new", "Film 5, The (1955)=5,Film 7, The=5").json["rows"]
    low = pipeline(*args, "--new", "Film 5, The (1955)=1,Film 7, The=1").json["rows"]
    assert {row["item"] for row in high}.isdisjoint({"f5", "f7"})
    assert np.mean([row["rating"] for row in high]) > np.mean([row["rating"] for row in low])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--user", "u999"], ["u999", "40 users", "--new"]),
        (["--new", "Fim 5, The=5"], ["no item is called", "did you mean"]),
        (["--new", "Film=5"], ["may be", "say which"]),
        (["--new", "Film 5, The=9"], ["= 9", "ratings go from 1 to 5"]),
        (["--new", "Film 5"], ["not Title=rating"]),
        ([], ["--user", "--new"]),
        (["--user", "u3", "--model", "nosuch"], ["nosuch", "plain, drawn"]),
    ],
)
def test_a_wrong_request_is_said_in_one_line(walked, rated, option, words):
    result = pipeline("recommend", rated.file, "--root", walked, *option)
    assert result.code == 2
    assert all(word in result.err for word in words), result.err
    assert "Traceback" not in result.err


def test_explain_draws_every_picture(walked, rated):
    result = pipeline("explain", rated.file, "--root", walked, "--json")
    assert result.code == 0, result.err
    folder = walked / "runs/rated/explain"
    for name in ("bias", "neighbours", "components", "weight_decay", "served"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name
    said = json.loads((folder / "explain.json").read_text())
    assert said["highest_bias"][0]["bias"] > said["lowest_bias"][0]["bias"]
    mean = rated.rows.groupby("film")["stars"].mean()
    assert mean[said["highest_bias"][0]["id"]] > mean[said["lowest_bias"][0]["id"]]
    assert [row["item"] for row in said["neighbours"][0]["near"]].count(said["neighbours"][0]["item"]) == 0
    rmse = [row["rmse"] for row in said["served"]["user"]["worst"]]
    assert rmse == sorted(rmse, reverse=True)
    drawn = pipeline("explain", rated.file, "--root", walked, "--json", "--model", "drawn")
    assert drawn.code == 0, drawn.err
    assert drawn.json["model"] == "drawn"
    one = pipeline("explain", rated.file, "--root", walked, "--json", "--item", "film 4, the")
    assert [row["item"] for row in one.json["neighbours"]] == ["f4"]
    assert pipeline("explain", rated.file, "--root", walked, "--item", "nothing").code == 2


def test_there_is_nothing_to_presize(walked, rated):
    result = pipeline("presize", rated.file, "--root", walked)
    assert result.code == 2
    assert "goes with image competitions" in result.err


def test_image_competitions_have_neither(tmp_path):
    result = pipeline("recommend", "demo", "--root", tmp_path, "--user", "1")
    assert result.code == 2
