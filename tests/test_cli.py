"""What a user's mistakes and a bad night look like: one clear message, the right exit code, nothing half-written."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.command import Result, pipeline
from tests.drawn import write_competition


@pytest.fixture
def comp(tmp_path) -> Path:
    return write_competition(tmp_path, train=12, test=6)


def assert_clear(result: Result, code: int, *parts: str) -> None:
    assert result.code == code, result.err
    assert "Traceback" not in result.err + result.out
    message = result.err[result.err.index("error: ") :]
    assert len(message.strip().splitlines()) <= 2
    assert "a fault of the pipeline" not in message
    for part in parts:
        assert part in message


def edit(comp: Path, old: str, new: str) -> None:
    text = comp.read_text()
    assert old in text
    comp.write_text(text.replace(old, new))


def test_unknown_key(comp):
    edit(comp, "epochs = 2", "epoch = 2")
    assert_clear(pipeline("run", comp, "--root", comp.parent), 2, "models.0.epoch", "did you mean 'epochs'")


def test_not_toml(comp):
    comp.write_text("slug = ")
    assert_clear(pipeline("status", comp), 2, "not valid TOML", "tiny.toml")


def test_no_such_competition():
    assert_clear(pipeline("run", "padddy"), 2, "did you mean 'paddy'")


def test_unknown_option_and_command():
    assert_clear(pipeline("run", "--nonsense"), 2, "--nonsense")
    assert_clear(pipeline("trian"), 2, "trian")


def test_missing_column(comp):
    edit(comp, 'column = "form"', 'column = "shapes"')
    assert_clear(pipeline("run", comp, "--root", comp.parent), 2, "'shapes'", "image_id, colour, form")


def test_missing_image_folder(comp):
    edit(comp, "train_images/", "train_imagse/")
    assert_clear(pipeline("run", comp, "--root", comp.parent), 2, "train_imagse", "train_images")


def test_wrong_id_column(comp):
    edit(comp, 'id = "image_id"', 'id = "id"')
    edit(comp, "{image_id}", "{id}")
    assert_clear(pipeline("run", comp, "--root", comp.parent), 2, "data.id", "image_id")


def test_empty_class_folder(comp):
    edit(comp, 'table = "train.csv"\n', "")
    edit(comp, 'images = "train_images/{colour}/{image_id}"', 'images = "train_images"')
    edit(comp, 'name = "colour"', 'name = "colour"\nfolder = true')
    edit(comp, 'column = "form"', "regex = '(.)'")
    (comp.parent / "raw/train_images/purple").mkdir()
    assert_clear(pipeline("run", comp, "--root", comp.parent), 2, "'purple'", "no image")


def test_files_that_are_no_images(comp):
    for path in (comp.parent / "raw/train_images").rglob("*.png"):
        path.write_text("words")
    assert_clear(pipeline("run", comp, "--root", comp.parent), 2, "readable image", "0000.png")


def test_one_bad_image_is_left_out_and_a_bad_test_image_gets_priors(comp):
    import numpy as np
    import pandas as pd

    raw = comp.parent / "raw"
    (raw / "train_images/blue/0000.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    (raw / "test_images/1000.png").write_bytes(b"")
    result = pipeline("run", comp, "--root", comp.parent)
    assert result.code == 0, result.err
    assert "1 unreadable train image(s) left out: 0000.png" in result.err
    assert "1 unreadable test image(s) get a row of class priors: 1000.png" in result.err
    folds = pd.read_csv(comp.parent / "data/tiny/.pipeline/folds.csv")
    assert len(folds) == 11
    assert "0000.png" not in set(folds["id"])
    test = pd.read_parquet(comp.parent / "runs/tiny/ensemble/test.parquet").set_index("id")
    priors = test.loc["1000.png", ["colour/blue", "colour/green", "colour/red"]].to_numpy(dtype=float)
    assert np.allclose(priors, [3 / 11, 4 / 11, 4 / 11], atol=1e-6)


def test_unknown_architecture_before_anything_is_trained(comp):
    edit(comp, "test_byobnet", "test_byobnett")
    assert_clear(pipeline("run", comp, "--root", comp.parent), 2, "test_byobnett", "test_byobnet")
    assert not (comp.parent / "runs/tiny/resnet").exists()


def test_pretrained_weights_out_of_reach(comp, monkeypatch):
    import timm

    def no_network(*args, pretrained=False, **options):
        if pretrained:
            raise ConnectionError("no route to host")
        return create(*args, pretrained=False, **options)

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", no_network)
    edit(comp, 'weights = "none"\nresize = { size = 40, method = "squish" }', "resize = { size = 40 }")
    assert_clear(pipeline("run", comp, "--root", comp.parent), 1, "pretrained weights of test_resnet", "'none'")


def test_full_disk(comp, monkeypatch):
    """The disk fills up while a fold is trained: the message names the place; with room again, the run goes on."""
    from pipeline.vision import callbacks

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "save_file", full)
        assert_clear(pipeline("run", comp, "--root", comp.parent), 1, "no room left", "checkpoint")
    assert not list(comp.parent.rglob("*.tmp"))
    assert pipeline("run", comp, "--root", comp.parent).code == 0


def test_no_permission(comp, monkeypatch):
    real = Path.mkdir

    def refused(path, *args, **kwargs):
        if "data" in path.parts[-2:]:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refused)
    assert_clear(pipeline("run", comp, "--root", comp.parent), 1, "no permission", "data")


def test_stages_out_of_order(comp):
    assert_clear(pipeline("train", comp, "--root", comp.parent), 2, "train needs data, check, folds first")
    assert_clear(pipeline("score", comp, "--root", comp.parent), 2, "score needs data first")


def test_stage_by_stage_is_the_run(comp):
    for stage in ("data", "check", "folds"):
        assert pipeline(stage, comp, "--root", comp.parent).code == 0
    one = pipeline("train", comp, "--root", comp.parent, "--model", "resnet", "--fold", 1)
    assert one.code == 0, one.err
    trained = {p.parent.name for p in (comp.parent / "runs/tiny/resnet").glob("*/weights.safetensors")}
    assert trained == {"fold-1"}
    assert_clear(pipeline("predict", comp, "--root", comp.parent), 2, "resnet fold 0 is missing", "pipeline train")
    status = pipeline("status", comp, "--root", comp.parent, "--json").json
    assert status["models"][0]["folds_done"] == 1
    assert status["stages"]["train"] == "missing"
    for stage in ("train", "predict", "ensemble", "submit"):
        result = pipeline(stage, comp, "--root", comp.parent, "--json")
        assert result.code == 0, result.err
        assert result.json == {"competition": "tiny", "stage": stage, "did": True}
    assert "everything is up to date" in pipeline("run", comp, "--root", comp.parent).err


def test_unknown_model_and_fold(comp):
    for stage in ("data", "check", "folds"):
        pipeline(stage, comp, "--root", comp.parent)
    assert_clear(pipeline("train", comp, "--root", comp.parent, "--model", "vgg"), 2, "resnet, byobnet")
    assert_clear(pipeline("train", comp, "--root", comp.parent, "--fold", 2), 2, "0 to 1")


def test_folds_are_never_silently_remade(comp):
    for stage in ("data", "check", "folds"):
        pipeline(stage, comp, "--root", comp.parent)
    folds = comp.parent / "data/tiny/.pipeline/folds.csv"
    before = folds.read_bytes()
    assert_clear(
        pipeline("run", comp, "--root", comp.parent, "--set", "seed=8"), 2, "seed changed from 7 to 8", "--force"
    )
    assert folds.read_bytes() == before
    assert pipeline("folds", comp, "--root", comp.parent, "--set", "seed=8", "--force").code == 0
    assert folds.read_bytes() != before


def test_an_interrupted_command_says_how_to_go_on(comp, monkeypatch):
    def by_hand(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.competitions.load", by_hand)
    result = pipeline("run", comp, "--root", comp.parent)
    assert (result.code, result.err) == (1, "interrupted; the same command goes on from the last finished epoch\n")


def test_two_processes_do_not_work_on_the_same_competition(comp):
    import subprocess
    import sys

    code = "import sys\nfrom pathlib import Path\nfrom pipeline.workspace import Workspace, locked\n"
    code += f"with locked(Workspace(Path({str(comp.parent)!r}), 'tiny')):\n print('in', flush=True)\n sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    other = subprocess.Popen([sys.executable, "-c", code], **pipes, cwd=Path(__file__).parents[1])
    try:
        assert other.stdout.readline() == "in\n"
        assert_clear(pipeline("run", comp, "--root", comp.parent), 1, f"pid {other.pid}", "another pipeline process")
        assert pipeline("status", comp, "--root", comp.parent).code == 0
    finally:
        other.communicate("")


def test_an_image_that_vanishes_is_named(comp):
    for stage in ("data", "check", "folds"):
        assert pipeline(stage, comp, "--root", comp.parent).code == 0
    victim = comp.parent / "raw/train_images/red/0002.png"
    content = victim.read_bytes()
    victim.write_bytes(b"x" * len(content))  # the same size: nothing tells before it is read
    assert_clear(pipeline("run", comp, "--root", comp.parent), 1, "0002.png", "pipeline check --force")


def test_a_changed_raw_file_is_noticed(comp):
    assert pipeline("run", comp, "--root", comp.parent).code == 0
    victim = comp.parent / "raw/test_images/1000.png"
    Image.new("RGB", (50, 50)).save(victim)
    assert pipeline("status", comp, "--root", comp.parent, "--json").json["stages"]["data"] == "stale"


def test_a_competition_without_test_set_skips_the_submission(comp):
    edit(comp, 'test = "test_images"\n', "")
    result = pipeline("run", comp, "--root", comp.parent, "--json")
    assert result.code == 0, result.err
    assert "submit: skipped" in result.err
    assert result.json["submission"] is None
    assert_clear(pipeline("submit", comp, "--root", comp.parent), 2, "no test set")


def test_new_writes_a_file_that_loads(tmp_path):
    assert pipeline("new", "my-first", "--root", tmp_path).code == 0
    assert pipeline("status", tmp_path / "my-first.toml", "--root", tmp_path).code == 0
    assert_clear(pipeline("new", "my-first", "--root", tmp_path), 2, "exists already")
    assert_clear(pipeline("new", "My First", "--root", tmp_path), 2, "not a slug")


def test_json_leaves_standard_output_to_one_object(comp):
    result = pipeline("run", comp, "--root", comp.parent, "--json")
    assert set(result.json) == {"competition", "did", "seconds", "rows", "submission", "score"}
    assert result.json["did"] == ["data", "check", "folds", "presize", "train", "predict", "ensemble", "submit"]
    assert [row["name"] for row in result.json["rows"]] == ["resnet", "byobnet", "ensemble"]


def test_debug_shows_the_traceback(comp):
    edit(comp, "epochs = 2", "epoch = 2")
    assert "Traceback" in pipeline("run", comp, "--debug").err


def test_a_moved_root_stays_up_to_date(comp, tmp_path):
    root = tmp_path / "here"
    assert pipeline("run", comp, "--root", root).code == 0
    shutil.move(root, tmp_path / "there")
    assert "everything is up to date" in pipeline("run", comp, "--root", tmp_path / "there").err
    assert os.listdir(tmp_path / "there/data/tiny")
