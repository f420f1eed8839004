"""Stages and jobs as values: order, state and readiness follow from what a stage says of itself."""

from pathlib import Path

import pytest

from pipeline import road
from pipeline.errors import RequestError, TimeIsUp
from pipeline.freshness import Step
from pipeline.jobs import Job, LocalEngine, jobs_of
from pipeline.kinds import MODULES, kind_named
from pipeline.road import refuse_unready, standings
from pipeline.stage import Stage
from pipeline.stages.data import data
from pipeline.stages.folds import folds
from pipeline.stages.train import train
from pipeline.workspace import Workspace
from tests.command import pipeline
from tests.conftest import CollectingLog
from tests.drawn import write_competition


def made(name: str, needs: tuple[str, ...] = (), **options) -> Stage:
    """A stage whose step lies at <root>/<name>.json and makes nothing."""

    def run(comp, workspace, log, force=False):
        return False

    run.__name__ = name
    return Stage(run, lambda comp, workspace: [("", step(workspace, name))], needs, **options)


def step(workspace: Workspace, name: str, **inputs) -> Step:
    return Step(workspace.root / f"{name}.json", inputs or {"version": 1}, ())


@pytest.fixture
def place(tmp_path) -> Workspace:
    return Workspace(tmp_path, "tiny")


@pytest.fixture
def a_road(monkeypatch):
    def lay(*stages: Stage) -> None:
        monkeypatch.setattr(road, "STAGES", road._in_order(list(stages)))

    return lay


def test_stages_stand_behind_what_they_need(a_road):
    a_road(made("c", ("a", "b")), made("b", ("a",)), made("a"))
    assert list(road.STAGES) == ["a", "b", "c"]


def test_needs_that_are_never_met_are_refused(a_road):
    with pytest.raises(ValueError, match=r"never met: \['a', 'b'\]"):
        a_road(made("a", ("b",)), made("b", ("a",)), made("c"))


def test_what_stands_on_a_stage_that_is_not_done_is_stale_at_best(a_road, place):
    a_road(made("a"), made("b", ("a",)), made("c", ("b",)))
    for name in "abc":
        step(place, name).record()
    assert [found.state for found in standings(None, place).values()] == ["done"] * 3
    step(place, "a", version=2).record()
    found = standings(None, place)
    assert [found[name].state for name in "abc"] == ["stale"] * 3
    assert found["a"].why == ["version changed from 2 to 1"]
    assert found["c"].why == ["stands on b, which is stale"]
    (place.root / "a.json").unlink()
    assert standings(None, place)["b"].why == ["stands on a, which is missing"]


def test_what_is_made_on_demand_upsets_nothing(a_road, place):
    a_road(made("a"), made("cache", ("a",), on_demand=True), made("b", ("a", "cache")))
    step(place, "a").record()
    step(place, "b").record()
    assert {name: found.state for name, found in standings(None, place).items()} == {
        "a": "done",
        "cache": "missing",
        "b": "done",
    }
    refuse_unready(None, place, "b", "tiny")


def test_a_stage_is_refused_with_what_it_lacks(a_road, place):
    a_road(made("a"), made("b", ("a",)), made("c", ("b",), looks_itself=frozenset({"b"})))
    with pytest.raises(RequestError, match="b needs a first; run `pipeline a tiny`, or `pipeline run tiny`"):
        refuse_unready(None, place, "b", "tiny")
    step(place, "a").record()
    refuse_unready(None, place, "c", "tiny")  # it sees itself whether b will do
    refuse_unready(None, place, "a", "tiny")


def test_a_stage_that_does_not_apply_is_not_there(a_road, place):
    a_road(made("a"), made("b", ("a",), applies=lambda comp: False))
    assert list(standings(None, place)) == ["a"]


def test_equal_reasons_are_told_once(a_road, place):
    def run(comp, workspace, log, force=False):
        return False

    steps = {f"fold {n}": step(place, f"fold{n}") for n in range(3)}
    for n in range(3):
        step(place, f"fold{n}", version=5).record()
    stage = Stage(run, lambda comp, workspace: steps.items())
    assert stage.state(None, place) == ("stale", ["fold 0 and 2 more: version changed from 5 to 1"])


# Kinds


@pytest.mark.parametrize("name", MODULES)
def test_a_kind_is_called_as_the_file_calls_it_and_reads_its_own_file(name):
    kind = kind_named(name)
    assert kind.name == name
    assert kind.competition.model_fields["kind"].annotation.__args__ == (name,)
    model = kind.competition.model_fields["models"].annotation.__args__[0]
    assert kind.free <= set(getattr(model, "known_keys", list)()), "free settings are settings of its models"


# Jobs


@pytest.fixture
def comp(tmp_path) -> Path:
    return write_competition(tmp_path, train=24, test=6)


def test_jobs_are_every_model_on_every_fold(comp, place):
    from pipeline.competitions import load

    loaded = load(str(comp))
    jobs = jobs_of(loaded)
    assert [job.name for job in jobs] == ["resnet/fold-0", "resnet/fold-1", "byobnet/fold-0", "byobnet/fold-1"]
    assert (jobs[3].title, jobs[3].randomness) == ("byobnet fold 2/2", (7, "byobnet", 1))
    assert jobs[3].folder(place) == place.runs / "byobnet/fold-1"
    assert jobs_of(loaded, "byobnet", 1) == [jobs[3]]
    assert jobs_of(loaded, only_folds=[1, 0, 1]) == jobs
    with pytest.raises(RequestError, match="--model net"):
        jobs_of(loaded, "net")
    with pytest.raises(RequestError, match="--fold 2: folds are numbered 0 to 1"):
        jobs_of(loaded, only_folds=[0, 2])


class Backwards:
    """An engine that does the last job first, as one with several machines may."""

    def __init__(self) -> None:
        self.did: list[Job] = []

    def map(self, work, jobs):
        for job in reversed(list(jobs)):
            self.did.append(job)
            yield work(job)


def test_training_goes_through_its_engine_and_gives_the_same_folds(comp, tmp_path):
    from pipeline.competitions import load

    for stage in ("data", "check", "folds"):
        for root in ("here", "there"):
            assert pipeline(stage, comp, "--root", tmp_path / root).code == 0
    loaded, engine = load(str(comp)), Backwards()
    assert train(loaded, Workspace(tmp_path / "here", "tiny"), CollectingLog())
    assert train(loaded, Workspace(tmp_path / "there", "tiny"), CollectingLog(), engine=engine)
    assert [job.name for job in engine.did] == [job.name for job in reversed(jobs_of(loaded))]
    for job in jobs_of(loaded):
        mine, theirs = (job.folder(Workspace(tmp_path / root, "tiny")) for root in ("here", "there"))
        assert (mine / "weights.safetensors").read_bytes() == (theirs / "weights.safetensors").read_bytes()


def test_what_a_job_raises_ends_the_others():
    did = []

    def work(job):
        did.append(job)
        if job == 2:
            raise TimeIsUp("over")

    with pytest.raises(TimeIsUp):
        list(LocalEngine().map(work, [1, 2, 3]))
    assert did == [1, 2]


def test_every_stage_says_what_it_needs():
    assert road.STAGES["train"].run is train
    assert (road.STAGES["data"].run, road.STAGES["folds"].run) == (data, folds)
    needs = {name: stage.needs for name, stage in road.STAGES.items()}
    assert needs == {
        "data": (),
        "check": ("data",),
        "folds": ("check",),
        "presize": ("check",),
        "train": ("folds", "presize"),
        "predict": ("train", "presize"),
        "ensemble": ("predict",),
        "submit": ("ensemble",),
    }
