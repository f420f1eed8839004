"""Sending a submission: guarded, counted, never twice, and its score kept beside the CV."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from pipeline.commands import send as sending
from pipeline.data import fetch as fetching
from pipeline.kaggle import competition as competitions
from tests.command import pipeline
from tests.drawn import write_competition
from tests.kaggle_server import TOKEN


@pytest.fixture(scope="module")
def walked(tmp_path_factory) -> Path:
    """A root with a submission of one small model, of a competition that is on Kaggle."""
    folder = tmp_path_factory.mktemp("sent")
    comp = write_competition(folder)
    text = comp.read_text().replace(f'path = "{folder / "raw"}"', 'kaggle = "tiny-comp"')
    text = text[: text.index('[[models]]\nname = "byobnet"')] + text[text.index("[submission]") :]
    comp.write_text(text.replace("epochs = 2", "epochs = 1"))
    shutil.copytree(folder / "raw", folder / "root" / "data" / "tiny")
    result = pipeline("run", comp, "--root", folder / "root")
    assert result.code == 0, result.err
    return folder


@pytest.fixture
def root(walked, tmp_path, server, slept, monkeypatch) -> Path:
    monkeypatch.setattr(fetching, "KAGGLE_INPUT", tmp_path / "kaggle-input")
    shutil.copytree(walked / "root", tmp_path / "root", symlinks=True)
    return tmp_path / "root"


@pytest.fixture
def submit(walked, root):
    """`pipeline submit --send` in this process."""

    def run(*args, message: str = "a first try"):
        return pipeline("submit", walked / "tiny.toml", "--root", root, "--send", "-m", message, *args)

    return run


def about(root: Path) -> dict:
    (path,) = (root / "submissions/tiny").glob("ensemble-*.json")
    return json.loads(path.read_text())


def sent(root: Path) -> dict:
    return about(root)["scores"]["kaggle"]


def test_a_submission_is_sent_and_its_score_kept_beside_the_cv(submit, server, root, slept):
    server.pending = 2
    result = submit("--json")
    assert result.code == 0, result.err
    assert (result.json["public"], result.json["status"]) == (0.91234, "complete")
    (csv,) = (root / "submissions/tiny").glob("*.csv")
    assert list(server.blobs.values()) == [csv.read_bytes()]
    assert server.said("CreateSubmission")[0]["submissionDescription"] == "a first try"
    kept = about(root)
    assert kept["cv"]["colour"]["accuracy"] > 0
    assert kept["scores"]["kaggle"] | {"began": ""} == {
        "began": "",
        "status": "complete",
        "message": "a first try",
        "ref": 1000,
        "date": "2026-11-01T10:00:00",
        "public": 0.91234,
        "private": None,
    }
    assert "5 submissions left today" in result.err
    assert slept == [5, 7.5]


def test_status_shows_cv_against_leaderboard_over_time(submit, server, root, walked):
    status = ("status", walked / "tiny.toml", "--root", root)
    assert "leaderboard" not in pipeline(*status, "--json").json
    submit()
    folder = root / "submissions/tiny"
    (first,) = folder.glob("*.json")
    later = json.loads(first.read_text())
    later["scores"]["kaggle"] |= {"date": "2026-12-24T00:00:00", "public": 0.95}
    (folder / "resnet-00000000.json").write_text(json.dumps(later))
    rows = pipeline(*status, "--json").json["leaderboard"]
    assert [(row["submission"], row["public"]) for row in rows] == [(first.stem, 0.91234), ("resnet-00000000", 0.95)]
    assert rows[0]["cv"] == pytest.approx(about_cv(first))
    shown = pipeline(*status).out
    assert "0.9123" in shown
    assert shown.index("0.9123") < shown.index("0.9500")


def about_cv(path: Path) -> float:
    return json.loads(path.read_text())["cv"]["colour"]["accuracy"]


def test_the_same_file_is_never_sent_twice(submit, server, root):
    assert submit().code == 0
    again = submit(message="once more")
    assert again.code == 0
    assert "was sent before, as submission 1000" in again.err
    assert (server.count("CreateSubmission"), server.count("PUT storage")) == (1, 1)
    assert submit("--force").code == 0  # writes the file again; it is the same
    assert server.count("CreateSubmission") == 1


def test_the_guard_comes_before_anything_is_asked(submit, server, root):
    (root / "data/tiny/sample_submission.csv").write_text("image_id,colour\n9999.png,\n")
    result = submit()
    assert result.code == 2, result.err
    assert server.calls == []


def test_a_file_changed_by_hand_is_made_again_before_it_is_sent(submit, server, root):
    (csv,) = (root / "submissions/tiny").glob("*.csv")
    before = csv.read_bytes()
    csv.write_bytes(before.replace(b"red", b"mauve").replace(b"blue", b"mauve").replace(b"green", b"mauve"))
    assert submit().code == 0
    assert list(server.blobs.values()) == [before]


def test_a_zip_of_the_file_is_sent_where_it_is_asked_for_and_not_the_file_again(submit, server, root):
    (csv,) = (root / "submissions/tiny").glob("*.csv")
    server.fail("CreateSubmission", after=True, status=500)
    server.scores = ["0.5"]
    assert submit("--set", "submission.file=zip").code == 0
    packed = csv.with_suffix(".csv.zip")
    assert list(server.names.values()) == [packed.name]
    assert list(server.blobs.values()) == [packed.read_bytes()]
    with zipfile.ZipFile(packed) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {csv.name: csv.read_bytes()}
    assert sent(root)["public"] == 0.5
    assert submit().code == 0
    assert len(server.submissions) == 1


def test_no_submission_left_is_said_with_the_time_to_wait(submit, server, root):
    server.allowed, server.today = 0, 5
    result = submit()
    assert result.code == 1
    line = result.err.splitlines()[-1]
    assert line.startswith("error: no submission left today (5 made); the count starts anew in ")
    assert "min (midnight UTC)" in line
    assert server.count("StartSubmissionUpload") == 0
    assert "kaggle" not in about(root)["scores"]


def test_the_time_until_midnight_is_that_of_utc():
    assert competitions.until_midnight(1_800_000_000) == "16 h 0 min"  # 2027-01-15 08:00 UTC
    assert competitions.until_midnight(86_399) == "0 h 0 min"


def test_an_ended_competition_wants_to_be_asked_late(submit, server, root):
    server.deadline = "2020-01-01T23:59:00Z"
    result = submit()
    assert result.code == 2
    assert "tiny-comp ended on 2020-01-01 23:59 UTC" in result.err
    assert "--late" in result.err
    assert server.count("StartSubmissionUpload") == 0
    assert submit("--late").code == 0
    assert (sent(root)["public"], sent(root)["private"]) == (0.91234, 0.90001)


def test_an_upload_that_breaks_goes_on_where_it_stopped(submit, server, root):
    server.fail("PUT storage", cut=20)
    assert submit().code == 0
    (csv,) = (root / "submissions/tiny").glob("*.csv")
    assert list(server.blobs.values()) == [csv.read_bytes()]
    size = csv.stat().st_size
    spans = [headers.get("Content-Range") for headers in server.said("PUT storage")]
    assert spans == [None, f"bytes */{size}", f"bytes 20-{size - 1}/{size}"]


@pytest.mark.parametrize(("status", "attempts"), [(403, 1), (503, 9)])
def test_an_upload_that_is_refused_hands_nothing_in(submit, server, root, status, attempts):
    server.fail("PUT storage", times=20, status=status)
    result = submit()
    assert result.code == 1
    assert "nothing was handed in" in result.err.splitlines()[-1]
    assert server.count("CreateSubmission") == 0
    assert server.count("PUT storage") == attempts
    server.failures.clear()
    assert submit().code == 0
    assert sent(root)["public"] == 0.91234


def test_could_not_submit_is_a_failure_though_kaggle_says_it_in_passing(submit, server, root, monkeypatch):
    monkeypatch.setattr(server, "_submit", lambda name, body: {"message": "Could not submit to competition"})
    result = submit()
    assert result.code == 1
    assert "Kaggle did not take it: Could not submit to competition" in result.err.splitlines()[-1]
    assert "ref" not in sent(root)


@pytest.mark.parametrize("failure", [{"status": 500}, {"silent": 0.3}])
def test_an_answer_lost_on_the_way_back_is_looked_up_not_sent_again(submit, server, root, monkeypatch, failure):
    monkeypatch.setattr("pipeline.kaggle.client.READ", 0.1)
    server.fail("CreateSubmission", after=True, **failure)
    result = submit()
    assert result.code == 0, result.err
    assert len(server.submissions) == 1
    assert sent(root)["ref"] == 1000


def test_a_submission_that_never_arrived_is_not_taken_for_sent(submit, server, root):
    server.fail("CreateSubmission", status=500)
    result = submit()
    assert result.code == 1
    assert "it was not handed in, as Kaggle lists no such submission" in result.err.splitlines()[-1]
    assert submit().code == 0
    assert len(server.submissions) == 1


def test_too_many_requests_are_waited_for_also_when_handing_in(submit, server, root, slept):
    server.fail("CreateSubmission", times=2, status=429, headers={"Retry-After": "9"})
    assert submit().code == 0
    assert slept[:2] == [9, 9]
    assert len(server.submissions) == 1


def test_killed_before_the_answer_it_is_found_again(submit, server, root, monkeypatch):
    def die(*args, **options):
        real(*args, **options)
        raise KeyboardInterrupt

    real = sending.send_file
    with monkeypatch.context() as patched:
        patched.setattr(sending, "send_file", die)
        assert submit().code != 0
    assert sent(root)["status"] == "sending"
    result = submit()
    assert result.code == 0
    assert "Kaggle has ensemble-" in result.err
    assert len(server.submissions) == 1
    assert sent(root)["public"] == 0.91234


def test_a_submission_that_kaggle_cannot_score_is_a_failure(submit, server, root):
    server.scores = ["error"]
    result = submit()
    assert result.code == 1
    assert "Kaggle refused submission 1000" in result.err
    assert "Evaluation Exception: ids do not match" in result.err
    assert sent(root)["status"] == "error"


def test_a_score_that_takes_too_long_is_waited_for_by_the_same_command(submit, server, root, slept, monkeypatch):
    server.pending = 10_000
    monkeypatch.setattr(competitions, "POLL", 600.0)
    result = submit()
    assert result.code == 1
    assert "is taken but not scored yet; the same command waits on, and does not send it again" in result.err
    assert sent(root)["status"] == "pending"
    assert sum(slept) >= 3600
    server.submissions[0]["looks"] = 0
    assert submit().code == 0
    assert sent(root)["public"] == 0.91234
    assert len(server.submissions) == 1


def test_a_kernels_version_is_handed_in(submit, server, root):
    result = submit("--kernel", "ada/pipeline-tiny-infer/3", "--json")
    assert result.code == 0, result.err
    assert server.said("CreateCodeSubmission") == [
        {
            "competitionName": "tiny-comp",
            "kernelOwner": "ada",
            "kernelSlug": "pipeline-tiny-infer",
            "kernelVersion": 3,
            "fileName": "submission.csv",
            "submissionDescription": "a first try",
        }
    ]
    kept = json.loads((root / "submissions/tiny/kernel-pipeline-tiny-infer-v3.json").read_text())
    assert kept["scores"]["kaggle"]["public"] == 0.91234
    assert kept["cv"]["colour"]["accuracy"] > 0


@pytest.mark.parametrize("wrong", ["x", "a/b", "a/b/c", "a/b/1/2", "/b/1"])
def test_a_kernel_that_is_no_version_is_refused(submit, server, wrong):
    result = submit("--kernel", wrong)
    assert result.code == 2
    assert "expected OWNER/SLUG/VERSION" in result.err
    assert server.calls == []


def test_options_of_sending_go_with_send(walked, root):
    result = pipeline("submit", walked / "tiny.toml", "--root", root, "--late")
    assert result.code == 2
    assert "go with --send" in result.err


def test_a_competition_elsewhere_has_nowhere_to_send_to(walked, root, server):
    result = pipeline(
        "submit", walked / "tiny.toml", "--root", root, "--send", "-m", "x", "--set", f"source.path={walked / 'raw'}"
    )
    assert result.code == 2, result.err


def test_no_secret_is_in_any_output_or_file(submit, server, root):
    server.fail("GetSubmissionLimits", status=500, message=f"trace {TOKEN}")
    server.fail("PUT storage", cut=20)
    results = [submit(), submit("--debug")]
    server.fail("GetSubmission", status=401, message=f"bad {TOKEN}")
    results.append(submit("--debug"))
    assert results[2].code == 1
    for result in results:
        for secret in (TOKEN, "X-Goog-Signature", *server.signed):
            assert secret not in result.out + result.err
    for path in root.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes()
