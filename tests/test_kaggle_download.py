"""Downloading a competition: whole or not at all, taken up where it was cut, and never without need."""

import io
import os
import shutil
import zipfile

import pytest

from pipeline.data import fetch as fetching
from pipeline.errors import RequestError, WorkFailed
from pipeline.kaggle.client import ATTEMPTS
from pipeline.kaggle.competition import download_files
from pipeline.kaggle.transfer import PIECE
from pipeline.stages.data import data
from tests.command import pipeline
from tests.kaggle_server import TOKEN


@pytest.fixture
def archive(server) -> bytes:
    """What the server's competition is: a zip of 400 kB that does not compress."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as zipped:
        zipped.writestr("a.bin", os.urandom(400_000))
    server.archive = held.getvalue()
    return server.archive


@pytest.fixture
def target(tmp_path):
    return tmp_path / "data" / "tiny-comp.zip"


def beside(target) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def ranges(server) -> list[str | None]:
    return [headers.get("Range") for headers in server.said("GET storage")]


def test_the_whole_file_arrives_and_nothing_beside_it(kaggle, server, archive, target):
    download_files(kaggle, "tiny-comp", target)
    assert target.read_bytes() == archive
    assert beside(target) == ["tiny-comp.zip"]
    assert server.count("GET storage") == 1


def test_a_cut_download_goes_on_from_where_it_was_cut(kaggle, server, archive, target, slept, log):
    server.fail("GET storage", cut=2 * PIECE)
    download_files(kaggle, "tiny-comp", target)
    assert target.read_bytes() == archive
    # the address is asked for anew, opened, found to be of the same file, and only the rest is read
    assert ranges(server) == [None, None, f"bytes={2 * PIECE}-"]
    assert any(f"at {2 * PIECE:,} bytes; going on" in line for line in log.lines)


def test_cuts_with_progress_never_give_up(kaggle, server, archive, target):
    for _ in range(ATTEMPTS + 1):
        server.fail("GET storage", cut=PIECE)
        server.failures["GET storage"].append(server.failures["GET storage"][-1])
    download_files(kaggle, "tiny-comp", target)
    assert target.read_bytes() == archive


def test_a_killed_download_is_taken_up_by_the_next_command(kaggle, server, archive, target, monkeypatch):
    server.fail("GET storage", cut=4 * PIECE)
    monkeypatch.setattr(kaggle, "sleep", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        download_files(kaggle, "tiny-comp", target)
    assert not target.exists()
    assert beside(target) == [".tiny-comp.zip.part", ".tiny-comp.zip.part.json"]
    download_files(kaggle, "tiny-comp", target)
    assert target.read_bytes() == archive
    assert beside(target) == ["tiny-comp.zip"]
    assert ranges(server)[-1] == f"bytes={4 * PIECE}-"


def _interrupt(_seconds: float) -> None:
    raise KeyboardInterrupt


def test_an_address_that_expired_is_asked_for_anew(kaggle, server, archive, target, monkeypatch):
    server.fail("GET storage", cut=PIECE)
    sign, issued = server.sign, []

    def short_lived(path: str) -> str:
        url = sign(path)
        issued.append(url)
        if len(issued) == 2:
            server.expire()
        return url

    monkeypatch.setattr(server, "sign", short_lived)
    download_files(kaggle, "tiny-comp", target)
    assert target.read_bytes() == archive  # and not the page that said so
    assert len(issued) == 3
    assert ranges(server)[-1] == f"bytes={PIECE}-"


def test_an_address_that_expires_between_two_requests_is_asked_for_anew(kaggle, server, archive, target):
    server.fail("GET storage", cut=PIECE)
    server.failures["GET storage"] += [type(server.failures["GET storage"][0])(cut=0)]
    server.fail("GET storage", status=403, message="ExpiredToken")
    download_files(kaggle, "tiny-comp", target)
    assert target.read_bytes() == archive


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(kaggle, server, archive, target, monkeypatch):
    server.fail("GET storage", cut=2 * PIECE)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as zipped:
        zipped.writestr("b.bin", os.urandom(200_000))

    def change(_seconds: float) -> None:
        server.archive, server.etag = other.getvalue(), '"two"'

    monkeypatch.setattr(kaggle, "sleep", change)
    download_files(kaggle, "tiny-comp", target)
    assert target.read_bytes() == other.getvalue()


def test_a_stale_larger_leftover_is_thrown_away(kaggle, server, archive, target):
    target.parent.mkdir()
    part = target.with_name(".tiny-comp.zip.part")
    part.write_bytes(b"x" * 999_999)
    part.with_name(part.name + ".json").write_text('{"etag": "\\"zero\\"", "modified": null, "bytes": 2000000}')
    download_files(kaggle, "tiny-comp", target)
    assert target.read_bytes() == archive


def test_nothing_ever_arriving_is_given_up_and_kept(kaggle, server, archive, target):
    server.fail("GET storage", times=1, cut=3 * PIECE)
    server.fail("GET storage", times=2 * ATTEMPTS, cut=0)
    with pytest.raises(WorkFailed, match=r"5 times without a byte more; what came so far is kept"):
        download_files(kaggle, "tiny-comp", target)
    assert not target.exists()
    server.failures.clear()
    download_files(kaggle, "tiny-comp", target)
    assert target.read_bytes() == archive
    assert ranges(server)[-1] == f"bytes={3 * PIECE}-"


def test_what_is_no_archive_is_thrown_away(kaggle, server, target):
    server.archive = b"<html>maintenance</html>"
    with pytest.raises(WorkFailed, match=r"what came \(24 bytes\) is not a zip archive"):
        download_files(kaggle, "tiny-comp", target)
    assert beside(target) == []


def test_too_little_room_is_said_before_the_first_byte(kaggle, server, archive, target, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(WorkFailed, match=r"GB to download, but .* GB left; free some"):
        download_files(kaggle, "tiny-comp", target)


def test_refusals_are_those_of_the_api(kaggle, server, archive, target):
    server.fail("DownloadDataFiles", status=403, message="You must accept this competition's rules")
    with pytest.raises(WorkFailed, match=r"accept its rules at https://www.kaggle.com/competitions/tiny-comp/rules"):
        download_files(kaggle, "tiny-comp", target)
    with pytest.raises(RequestError, match=r"404 .*is 'tiny-com' the competition's name as in its address"):
        download_files(kaggle, "tiny-com", target)


# In the data stage


@pytest.fixture
def served(tiny, server, slept, tmp_path, monkeypatch):
    """tiny's files as a competition on the server; Kaggle's mounts are looked for below the test's own folder."""
    monkeypatch.setattr(fetching, "KAGGLE_INPUT", tmp_path / "kaggle-input")
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as zipped:
        for file in sorted(tiny.raw.rglob("*")):
            if file.is_file():
                zipped.write(file, file.relative_to(tiny.raw))
    server.archive = held.getvalue()
    return tiny.load("source.kaggle=tiny-comp")


def test_the_data_stage_downloads_once_and_then_asks_nothing(tiny, server, served, log):
    server.fail("GET storage", cut=2_000)
    server.fail("DownloadDataFiles", status=503)
    assert data(served, tiny.workspace, log) is True
    assert "24 training and 6 test images" in log.lines[-1]
    assert sorted(path.name for path in (tiny.root / "data").iterdir()) == ["tiny"]  # no archive, no leftovers
    calls = len(server.calls)
    assert data(served, tiny.workspace, log) is False
    assert data(served, tiny.workspace, log, force=True) is True
    assert len(server.calls) == calls


def test_a_broken_archive_says_how_to_get_another(tiny, served, log):
    (tiny.root / "data").mkdir()
    (tiny.root / "data" / "tiny-comp.zip").write_bytes(b"PK\x03\x04 stale" * 99)
    with pytest.raises(WorkFailed, match=r"once .*tiny-comp.zip is removed, `pipeline data` downloads it anew"):
        data(served, tiny.workspace, log)
    (tiny.root / "data" / "tiny-comp.zip").unlink()
    assert data(served, tiny.workspace, log) is True


@pytest.mark.parametrize("layout", ["competitions/tiny-comp", "tiny-comp"])
def test_on_kaggle_the_mount_is_used_and_nothing_asked(tiny, server, served, log, tmp_path, monkeypatch, layout):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("PIPELINE_KAGGLE_INPUT", str(tmp_path / "mounted"))
    with pytest.raises(WorkFailed, match=r"'tiny-comp' is not mounted below .*; add it to the notebook's inputs"):
        data(served, tiny.workspace, log)
    shutil.copytree(tiny.raw, tmp_path / "mounted" / layout)
    assert data(served, tiny.workspace, log) is True
    assert (tiny.workspace.raw / "train.csv").is_symlink()
    assert server.calls == []


def test_the_command_says_a_failure_in_one_line(tiny, server, served):
    for failure, code, words in (
        ({"status": 403, "message": "rules"}, 1, "/competitions/tiny-comp/rules"),
        ({"status": 404, "message": "none"}, 2, "404"),
        ({"status": 401, "message": f"no {TOKEN}"}, 1, "KAGGLE_API_TOKEN"),
    ):
        server.fail("DownloadDataFiles", **failure)
        result = pipeline("data", tiny.file, "--root", tiny.root, "--set", "source.kaggle=tiny-comp")
        assert (result.code, result.out) == (code, "")
        assert words in result.err.splitlines()[-1]
        assert TOKEN not in result.err
        assert not tiny.workspace.raw.exists()
