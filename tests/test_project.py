"""The Python API: its names, what it prepares, and that it is what the command line calls."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pipeline
from pipeline import Predictions, Project
from pipeline.errors import RequestError, WorkFailed
from pipeline.workspace import locked
from tests.command import pipeline as command
from tests.conftest import CollectingLog
from tests.drawn import write_competition
from tests.rated import write_rated

PUBLIC = {
    "run": ["force"],
    "status": [],
    "stage": ["name", "options"],
    "train": ["model", "folds", "minutes", "force"],
    "predict": ["model", "force"],
    "submit": ["member", "force"],
    "score": ["solution", "submission"],
    "send": ["message", "late", "kernel"],
    "recommend": ["user", "new", "model", "top"],
    "explain": ["model", "item"],
    "predictions": ["member", "split"],
    "learner": ["model", "fold"],
    "trained": ["model", "fold"],
    "working": [],
}


@pytest.fixture(scope="module")
def comp(tmp_path_factory) -> Path:
    return write_competition(tmp_path_factory.mktemp("tiny"), train=24, test=6)


@pytest.fixture(scope="module")
def walked(comp) -> Project:
    project = Project(comp, root=comp.parent, log=CollectingLog())
    result = project.run()
    assert result["did"] == ["data", "check", "folds", "presize", "train", "predict", "ensemble", "submit"]
    return project


def test_the_public_names_stay():
    assert pipeline.__all__ == ["Predictions", "Project"]
    methods = {name: value for name, value in vars(Project).items() if inspect.isfunction(value) and name[0] != "_"}
    assert {name: list(inspect.signature(f).parameters)[1:] for name, f in methods.items()} == PUBLIC
    assert {name for name, value in vars(Project).items() if isinstance(value, property)} == {"manifest", "folds"}
    assert list(inspect.signature(Project).parameters) == ["comp", "root", "sets", "plugins", "log"]
    with pytest.raises(AttributeError, match="has no attribute 'Projekt'"):
        _ = pipeline.Projekt


def test_importing_the_package_imports_nothing_else():
    code = "import sys, pipeline; print({'numpy', 'pandas', 'pydantic', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_project_prepares_the_process_and_leaves_what_the_user_set():
    code = "import os, sys\nfrom pipeline import Project\nProject('demo')\nassert 'torch' not in sys.modules\n"
    code += "print(os.environ['GOMP_SPINCOUNT'], os.environ['CUBLAS_WORKSPACE_CONFIG'])"
    clean = {
        key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "CUBLAS_WORKSPACE_CONFIG")
    }
    for given, printed in (({}, "1000 :4096:8\n"), ({"GOMP_SPINCOUNT": "7"}, "7 :4096:8\n")):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean | given
        )
        assert done.stdout == printed


def test_a_project_is_what_the_command_line_prints(walked, comp):
    assert command("status", comp, "--root", comp.parent, "--json").json == walked.status()
    assert walked.status()["stages"]["submit"] == "done"
    assert not walked.train()
    assert "train: up to date" in walked.log.lines
    graded = walked.score(solution=comp.parent / "solution.csv")
    options = ["--solution", comp.parent / "solution.csv", "--json"]
    assert command("score", comp, "--root", comp.parent, *options).json == graded


def test_what_was_made_is_read_by_id(walked):
    manifest, folds = walked.manifest, walked.folds
    oof, test = walked.predictions(), walked.predictions("resnet", "test")
    assert isinstance(oof, Predictions)
    assert set(oof.ids) == set(folds.index) == set(manifest["id"][manifest["split"] == "train"])
    assert dict(zip(oof.ids, oof.folds, strict=True)) == folds.to_dict()
    assert set(test.ids) == set(manifest["id"][manifest["split"] == "test"])


def test_a_trained_fold_is_opened_both_ways(walked):
    trained, learn = walked.trained("resnet", 1), walked.learner("resnet", 1)
    held_out = [sample.path for sample in learn.dls.valid.items]
    ids = [sample.id for sample in learn.dls.valid.items]
    preds, _ = learn.get_preds()
    assert np.abs(trained.predict(ids, held_out, tta=0).values["colour"] - preds[:, :3].numpy()).max() < 1e-6
    with pytest.raises(RequestError, match="the file's models are resnet, byobnet"):
        walked.trained("resnett", 1)
    with pytest.raises(RequestError, match="numbered 0 to 1"):
        walked.learner("resnet", 2)


def test_a_trained_fold_of_ratings_is_opened_too(tmp_path):
    made = write_rated(tmp_path / "here")
    project = Project(made.file, root=tmp_path, log=CollectingLog())
    project.run()
    trained = project.trained("plain", 0)
    held_out = project.folds[project.folds == 0].index[:3]
    pairs = [id.split("/") for id in held_out]
    expected = project.predictions("plain").take(held_out)["rating"][:, 0]
    assert np.allclose(trained.predict([p[0] for p in pairs], [p[1] for p in pairs]), expected, atol=1e-6)
    with pytest.raises(RequestError, match="only image models"):
        project.learner("plain", 0)


def test_what_is_not_there_yet_is_said_with_the_next_step(comp, tmp_path):
    project = Project(comp, root=tmp_path)
    for wanted in (lambda: project.manifest, lambda: project.folds, project.predictions, project.train, project.score):
        with pytest.raises(RequestError, match=r"run `pipeline (data|run) .*tiny.toml`"):
            wanted()


def test_what_writes_takes_the_lock_and_status_does_not(walked):
    code = f"from pipeline import Project\np = Project({walked.called!r}, root={str(walked.workspace.root)!r})\n"
    code += "p.status()\ntry:\n p.train()\nexcept Exception as e:\n print(type(e).__name__, e)"
    with locked(walked.workspace):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(WorkFailed.__name__)
    assert "another pipeline process" in done.stdout
