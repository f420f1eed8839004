"""Rehearsals: no network, no more room than Kaggle gives, nothing of ours but the bundle, Kaggle's folders."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands import rehearse as rehearsing
from pipeline.errors import WorkFailed
from pipeline.kaggle.sandbox import Folders, environment, fence_off, refuse_sockets, run_cells
from tests.command import pipeline
from tests.kaggle_tiny import run, write_index, write_on_kaggle


def layer_environment(place: Folders, python: str, packages: object) -> None:
    """A virtual environment that sees the packages of this one, but not ours: no registry is needed.

    Paths in a .pth file are added without their own .pth files, and ours is an editable install of that kind.
    """
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(place.root / "venv")], check=True)
    (theirs,) = {path for path in sys.path if path.endswith("site-packages") and Path(path, "pip").is_dir()}
    (packages,) = (place.root / "venv/lib").glob("python*/site-packages")
    (packages / "layer.pth").write_text(theirs + "\n")
    refuse_sockets(place)


@pytest.fixture
def place(tmp_path) -> Folders:
    """An empty place with an environment."""
    made = Folders(tmp_path)
    for folder in (made.input, made.working, made.scratch, tmp_path / "home"):
        folder.mkdir()
    layer_environment(made, "", None)
    return made


def cells(place: Folders, *codes: str, gigabytes: float = 1.0, fence: tuple[str, ...] = ()) -> tuple:
    said: list[str] = []
    return (*run_cells(place, list(fence), codes, said.append, gigabytes), said)


def test_cells_share_their_names_and_see_kaggles_places_only(place, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    monkeypatch.setenv("PIP_FIND_LINKS", "somewhere")
    code, _, over, said = cells(place, "import os\nx = 2", "print(x, os.getcwd())\nprint(sorted(os.environ))")
    assert (code, over) == (0, False)
    assert said[0] == f"2 {place.working}"
    assert "PIPELINE_KAGGLE_INPUT" in said[1]
    assert "TOKEN" not in said[1]
    assert "PIP_FIND_LINKS" not in said[1]


def test_a_cell_that_fails_fails_the_notebook(place):
    code, _, _, said = cells(place, "raise SystemExit('no bundle')", "print('never')")
    assert code != 0
    assert said == ["no bundle"]


def test_a_working_folder_that_grows_too_large_ends_it(place):
    write = "import time\nopen('big', 'wb').write(b'x' * 3_000_000)\ntime.sleep(60)"
    code, most, over, _ = cells(place, write, gigabytes=0.002)
    assert over
    assert code != 0
    assert most == 3_000_000


def test_room_is_counted_after_the_end_too(place):
    code, most, over, _ = cells(place, "open('big', 'wb').write(b'x' * 3_000_000)", gigabytes=0.002)
    assert (code, most, over) == (0, 3_000_000, True)
    with pytest.raises(WorkFailed, match=r"the working folder came to 0.003 GB; Kaggle keeps 0.002 GB"):
        rehearsing._refuse_failure(code, most, over, 0.002)


REACH = "import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)"


def test_there_is_no_network_in_python_either(place):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        code, _, _, said = cells(place, REACH.format(port=listening.getsockname()[1]))
    assert code != 0
    assert "a rehearsal has none" in said[-1]
    pair = "import socket\na, b = socket.socketpair()\na.send(b'x')\nprint(b.recv(1))"  # as loaders' workers talk
    assert cells(place, pair)[3] == ["b'x'"]


def test_an_environment_that_is_not_what_it_should_be_is_refused(place, monkeypatch):
    _, network = fence_off(place)
    assert network.startswith(("none", "refused"))
    (packages,) = (place.root / "venv/lib").glob("python*/site-packages")
    (packages / "pipeline.py").write_text("")
    with pytest.raises(WorkFailed, match="has our package before the bundle is installed"):
        fence_off(place)
    (packages / "sitecustomize.py").unlink()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(WorkFailed, match="has a network; it would prove nothing"):
        fence_off(place)
    assert "PATH" in environment(place)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory, built_once) -> Path:
    folder = tmp_path_factory.mktemp("rehearsal")
    comp = write_on_kaggle(folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PIP_NO_INDEX", "1")
        patched.setenv("PIP_FIND_LINKS", str(write_index(folder / "index")))
        run(comp, folder / "root", "data", "check", "folds")
        assert pipeline("kernel", "bundle", comp, "--root", folder / "root").code == 0
    return comp


@pytest.mark.slow
def test_the_very_notebook_runs_and_what_it_trains_would_be_taken_up(bundled, monkeypatch):
    monkeypatch.setattr(rehearsing, "make_environment", layer_environment)
    rehearse = ("kernel", "rehearse", bundled, "--root", bundled.parent / "root")
    result = pipeline(*rehearse, "--folds", "0", "--minutes", "0", "--json")
    assert result.code == 0, result.err
    assert result.json["outputs"] == ["resnet/fold-0 (unfinished)"]
    assert result.json["versions"]["fastai"]
    assert "datasets/you/pipeline-tiny" in result.err
    assert "which is here already; nothing is downloaded" in result.err
    result = pipeline(*rehearse, "--folds", "0", "--json")
    assert "goes on after epoch 1" in result.err
    assert result.json["outputs"] == ["resnet/fold-0"]
    place = bundled.parent / "root/runs/tiny/kernel/rehearsal/image"
    (packages,) = (place / "venv/lib").glob("python*/site-packages")
    assert (packages / "pipeline/cli.py").is_file(), "installed from the bundle"


def test_wrong_lines_and_pythons_are_said(bundled):
    rehearse = ("kernel", "rehearse", bundled, "--root", bundled.parent / "root")
    result = pipeline(*rehearse, "--line", "last")
    assert result.code == 2
    assert "expected image or next" in result.err
    result = pipeline(*rehearse, "--python", "no-such-python")
    assert result.code == 1
    assert result.err.splitlines()[-1].startswith("error: rehearse: uv venv")


def test_packages_are_those_of_the_image_that_we_ask_for(bundled):
    folder = bundled.parent / "root/runs/tiny/kernel/bundle"
    image, following = (rehearsing.packages_of(folder, line) for line in ("image", "next"))
    assert {"torch==2.10.0", "fastai==2.8.7", "fastcore==1.14.5", "plum-dispatch==2.8.0"} <= set(image)
    assert {"torch==2.10.0", "fastai==2.8.12", "fastcore>=2,<3", "plum-dispatch"} <= set(following)
    assert not [one for one in image if one.startswith(("tomli", "six"))]
