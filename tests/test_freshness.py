"""Steps: missing, done or stale, and why in words."""

import hashlib
import json
from pathlib import Path

import pytest

from pipeline import freshness
from pipeline.freshness import Step, digest


def make_step(folder: Path, names: tuple[str, ...] = ("out.csv",), **inputs) -> Step:
    return Step(folder / "step.json", inputs or {"version": 1}, tuple(folder / name for name in names))


def finish(step: Step, **facts) -> Step:
    for path in step.outputs:
        path.write_text(f"made {path.name}")
    step.record(**facts)
    return step


def test_a_step_is_missing_until_it_is_recorded(tmp_path):
    step = make_step(tmp_path)
    assert (step.state(), step.done(), step.facts()) == ("missing", False, {})
    (tmp_path / "out.csv").write_text("half")  # killed before its stamp was written
    assert step.state() == "missing"


def test_a_recorded_step_is_done_and_keeps_its_facts(tmp_path):
    step = finish(make_step(tmp_path), seconds=1.5)
    assert (step.state(), step.done()) == ("done", True)
    assert step.facts()["seconds"] == 1.5
    assert step.reason() == "nothing changed"


def test_inputs_are_compared_as_json(tmp_path):
    finish(make_step(tmp_path, size=(64, 48), names_of={"a": (1,)}))
    assert make_step(tmp_path, size=[64, 48], names_of={"a": [1]}).state() == "done"
    assert make_step(tmp_path, names_of={"a": [1]}, size=[64, 48]).state() == "done"  # order says nothing
    assert make_step(tmp_path, size=[48, 64], names_of={"a": [1]}).state() == "stale"


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"inputs": {"version": 1}}'])
def test_a_torn_stamp_counts_as_missing(tmp_path, content):
    step = finish(make_step(tmp_path))
    step.stamp.write_text(content)
    assert step.state() == "missing"
    assert step.facts() == {}


def test_an_output_changed_by_hand_makes_it_stale(tmp_path):
    step = finish(make_step(tmp_path, ("a.csv", "b.csv")))
    (tmp_path / "b.csv").write_text("Made b.csv")  # of the same length
    assert step.state() == "stale"
    assert step.reason() == "b.csv is missing or was changed by hand"


def test_a_deleted_output_makes_it_stale(tmp_path):
    step = finish(make_step(tmp_path, ("a.csv", "b.csv")))
    (tmp_path / "a.csv").unlink()
    assert step.state() == "stale"
    assert step.reason() == "a.csv is missing or was changed by hand"


def test_writing_the_same_bytes_again_changes_nothing(tmp_path):
    step = finish(make_step(tmp_path))
    (tmp_path / "out.csv").write_text("made out.csv")
    assert step.state() == "done"


def test_another_list_of_outputs_makes_it_stale(tmp_path):
    finish(make_step(tmp_path, ("a.csv",)))
    assert make_step(tmp_path, ("a.csv", "b.csv")).state() == "stale"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"seed": 42}, {"seed": 43}, "seed changed from 42 to 43"),
        (
            {"folds": {"n": 5, "group": "none"}},
            {"folds": {"n": 3, "group": "none"}},
            "folds.n changed from 5 to 3",
        ),
        ({"a": {"b": {"c": "x"}}}, {"a": {"b": {"c": "y"}}}, 'a.b.c changed from "x" to "y"'),
        ({"preds": "0" * 64}, {"preds": "1" * 64}, "preds changed"),
        ({"old": 1, "same": 0}, {"same": 0}, "old changed from 1 to null"),
        ({"same": 0}, {"same": 0, "new": "ü"}, 'new changed from null to "ü"'),
        ({"a": {"old": 1}}, {"a": {}}, "a.old changed from 1 to null"),
    ],
)
def test_the_reason_names_the_input_that_changed(tmp_path, before, after, words):
    finish(make_step(tmp_path, **before))
    now = make_step(tmp_path, **after)
    assert now.state() == "stale"
    assert now.reason() == words


def test_a_changed_input_comes_before_a_changed_output(tmp_path):
    finish(make_step(tmp_path, seed=1))
    (tmp_path / "out.csv").unlink()
    assert make_step(tmp_path, seed=2).reason() == "seed changed from 1 to 2"


def test_recording_again_makes_a_stale_step_done(tmp_path):
    finish(make_step(tmp_path, seed=1))
    now = make_step(tmp_path, seed=2)
    now.record()
    assert now.state() == "done"
    assert make_step(tmp_path, seed=1).state() == "stale"


def test_digest_is_the_sha256_of_the_bytes(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"abc" * 100_000)
    assert digest(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()
    assert digest(tmp_path / "absent") is None
    assert digest(path / "below") is None


def test_very_large_outputs_are_known_by_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr(freshness, "HASHED_UP_TO", 5)
    step = finish(make_step(tmp_path))
    assert json.loads(step.stamp.read_text())["outputs"] == {"out.csv": len("made out.csv")}
    assert step.state() == "done"
    (tmp_path / "out.csv").write_text("shorter")
    assert step.state() == "stale"
