"""The command as users start it, in a process of its own, against the local Kaggle by way of `http_proxy`."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.kaggle_server import TOKEN, KaggleServer
from tests.kaggle_tiny import COMPETITION, run, write_index, write_on_kaggle


@pytest.fixture(scope="module")
def trained(tmp_path_factory, built_once) -> Path:
    """A competition with its submission written."""
    folder = tmp_path_factory.mktemp("command")
    run(write_on_kaggle(folder), folder / "root", "run")
    write_index(folder / "index")
    return folder


@pytest.fixture
def kaggle(tmp_path):
    server = KaggleServer(COMPETITION).start()
    yield server
    server.stop()


@pytest.fixture
def command(trained, tmp_path, kaggle):
    """`python -m pipeline ...` with an account of its own; every secret is looked for in all that it leaves."""
    folder = Path(shutil.copytree(trained, tmp_path / "c", symlinks=True))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
        "KAGGLE_API_TOKEN": TOKEN,
        "http_proxy": kaggle.url,
        "OMP_NUM_THREADS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder / "index"),
        "PIPELINE_KAGGLE_INPUT": str(tmp_path / "no-mounts"),
    }
    (tmp_path / "home").mkdir()

    def start(*args: object, **changed: str) -> subprocess.CompletedProcess:
        line = [sys.executable, "-m", "pipeline", *map(str, args), "--root", str(folder / "root")]
        done = subprocess.run(line, capture_output=True, text=True, env=env | changed, cwd=tmp_path, check=False)
        for secret in (TOKEN, "stale-token", "X-Goog-Signature"):
            assert secret not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    yield start
    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert TOKEN.encode() not in path.read_bytes(), path


def test_download_after_a_cut_and_a_busy_server(command, kaggle, tmp_path):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as zipped:
        for file in sorted((tmp_path / "c/raw").rglob("*.*")):
            zipped.write(file, file.relative_to(tmp_path / "c/raw"))
    kaggle.archive = held.getvalue()
    shutil.rmtree(tmp_path / "c/root/data")
    kaggle.fail("DownloadDataFiles", status=429, headers={"Retry-After": "0"})
    kaggle.fail("GET storage", cut=1 << 16)
    done = command("data", tmp_path / "c/tiny.toml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"competition": "tiny", "stage": "data", "did": True}
    assert "Kaggle answered 429; again in 0 s" in done.stderr
    assert "the connection broke at 65,536 bytes" in done.stderr
    names = sorted(path.name for path in (tmp_path / "c/root/data/tiny").iterdir())
    assert names == [".pipeline", "sample_submission.csv", "test_images", "train.csv", "train_images"]
    calls = len(kaggle.calls)
    assert command("data", tmp_path / "c/tiny.toml").returncode == 0
    assert len(kaggle.calls) == calls


@pytest.mark.parametrize(
    ("changed", "failure", "code", "words"),
    [
        ({"KAGGLE_API_TOKEN": ""}, None, 1, "no Kaggle credentials: create a token at https://www.kaggle.com/settings"),
        ({"KAGGLE_API_TOKEN": "stale-token"}, None, 1, "credentials from KAGGLE_API_TOKEN: Kaggle refused them"),
        ({}, {"status": 403, "message": "rules"}, 1, f"https://www.kaggle.com/competitions/{COMPETITION}/rules"),
        ({}, {"status": 404, "message": "none"}, 2, "is 'tiny-comp' the competition's name as in its address?"),
        ({}, {"status": 429, "headers": {"Retry-After": "7200"}}, 1, "asks to wait 120 min"),
        ({}, {"page": "<html>login"}, 1, "what came (11 bytes) is not a zip archive"),
    ],
)
def test_a_failure_is_one_line_and_nothing_is_there_afterwards(
    command, kaggle, tmp_path, changed, failure, code, words
):
    shutil.rmtree(tmp_path / "c/root/data")
    if failure:
        kaggle.fail("DownloadDataFiles", **failure)
    done = command("data", tmp_path / "c/tiny.toml", **changed)
    assert done.returncode == code
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not (tmp_path / "c/root/data/tiny").exists()


def test_send_and_see_it_in_status(command, kaggle, tmp_path):
    done = command("submit", tmp_path / "c/tiny.toml", "--send", "-m", "from a process", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["public"] == 0.91234
    assert kaggle.submissions[0]["description"] == "from a process"
    status = command("status", tmp_path / "c/tiny.toml", "--json")
    (row,) = json.loads(status.stdout)["leaderboard"]
    assert (row["public"], row["status"]) == (0.91234, "complete")


def test_bundle_push_wait_and_pull(command, kaggle, tmp_path):
    comp = tmp_path / "c/tiny.toml"
    kaggle.log_lines = ["session: every fold is done\n"]
    assert command("kernel", "bundle", comp).returncode == 0
    done = command("kernel", "push", comp, "--stage", "infer", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == 1
    assert any(name.endswith("fold-1--weights.safetensors") for name in kaggle.datasets["ada/pipeline-tiny"]["files"])
    done = command("kernel", "wait", comp, "--stage", "infer")
    assert "  session: every fold is done" in done.stderr
    kaggle.outputs = {"submission.csv": b"image_id,colour\n"}
    done = command("kernel", "pull", comp, "--stage", "infer", "--json")
    assert Path(json.loads(done.stdout)["submission"]).read_bytes() == b"image_id,colour\n"
    kaggle.kernel_states = ["ERROR"]
    assert command("kernel", "wait", comp, "--stage", "infer").returncode == 1
