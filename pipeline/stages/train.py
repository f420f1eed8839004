"""train: every model on every fold. A finished fold is never trained again while nothing it depends on changes."""

import math
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pandas as pd
import tomli_w

from pipeline.config import Competition, Model
from pipeline.deciding import refuse_unscorable
from pipeline.errors import TimeIsUp
from pipeline.fold import Fold
from pipeline.freshness import Step, digest
from pipeline.jobs import Engine, Job, LocalEngine, jobs_of
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.rows import Loaded, load_rows, trained_on
from pipeline.scoring import scored_by
from pipeline.stage import Part, Stage
from pipeline.stages import presize
from pipeline.workspace import HISTORY, TRAINED, WEIGHTS, Workspace, write_text

C = TypeVar("C", bound=Competition)

VERSION = 2
READ = ("column", "regex", "path_regex", "folder", "separator", "none")  # settings of a target that are in its labels


def train(
    comp: Competition,
    workspace: Workspace,
    log: Log,
    force: bool = False,
    only_model: str | None = None,
    only_fold: int | Collection[int] | None = None,
    minutes: float | None = None,
    engine: Engine | None = None,
) -> bool:
    """Train what is not up to date, by default one model and fold after the other. Returns whether it did anything.

    After `minutes` it stops at the end of an epoch, and says so; the next call goes on from there.
    """
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    jobs = jobs_of(comp, only_model, only_fold)
    todo = [job for job in jobs if force or not step(comp, workspace, job).done()]
    if not todo:
        return False
    kind = kind_of(comp)
    kind.check_models(list({job.model.name: job.model for job in todo}.values()), workspace)
    device = kind.device(log)
    if device is not None:
        log.say(f"train: {len(todo)} fold(s) on {device}")
    presize.ensure(comp, workspace, log)
    loaded, done = load_rows(comp, workspace), 0
    refuse_unscorable(comp, loaded.rows, loaded.specs)  # the metric may be newer than the data

    def work(job: Job) -> None:
        if job is not todo[0]:  # the first one trains an epoch in any case, so that every call gets further
            _refuse_start(workspace, job, deadline)
        _train_one(comp, workspace, job, loaded, log, deadline)

    try:
        for _ in (engine or LocalEngine()).map(work, todo):
            done += 1
    except TimeIsUp as stopped:
        log.say(f"{stopped}: {minutes:g} minutes are over, {len(todo) - done} fold(s) not done; run the same again")
    return True


def step(comp: Competition, workspace: Workspace, job: Job) -> Step:
    """One fold of one model: its part of the file, the labels, and the split."""
    kind, folder = kind_of(comp), job.folder(workspace)
    inputs = {
        "version": VERSION,
        "model": job.model.settings(comp, leave_out=kind.free),
        "targets": [target.settings(comp, leave_out=READ) for target in comp.targets],
        "seed": comp.seed,
        "manifest": digest(workspace.manifest),
        "folds": digest(workspace.folds),
        **({"by_time": True} if comp.folds.by_time else {}),  # the same numbers then mean other rows to train on
        **kind.training_inputs(comp, workspace, job.model),
    }
    return Step(folder / TRAINED, inputs, (folder / WEIGHTS, folder / HISTORY))


def _parts(comp: Competition, workspace: Workspace) -> Iterator[Part]:
    for job in jobs_of(comp):
        yield job.title, step(comp, workspace, job)


STAGE = Stage(train, _parts, needs=("folds", "presize"))


def fold_of(comp: C, workspace: Workspace, job: Job, loaded: Loaded) -> Fold[C, Any]:
    """What one fold is trained and predicted from, out of what `load_rows` gave."""
    rows, specs, numbers = loaded
    return Fold(
        comp=comp,
        model=job.model,
        number=job.fold,
        specs=specs,
        train=rows[trained_on(numbers, job.fold, comp.folds.by_time)],
        held_out=rows[numbers == job.fold],
        raw=workspace.raw,
        folder=job.folder(workspace),
        seed=job.randomness,
        name=job.title,
        presized=presize.cache_of(comp, workspace, job.model),
    )


def resolved(comp: Competition, model: Model) -> str:
    """The competition file with this model alone and every default written out."""
    alone = comp.resolved().model_copy(update={"models": [model.resolved(comp)]})
    return tomli_w.dumps(alone.model_dump(exclude_none=True, mode="json"))


def _train_one(comp: Competition, workspace: Workspace, job: Job, loaded: Loaded, log: Log, deadline: float) -> None:
    write_text(workspace.config(job.model.name), resolved(comp, job.model))
    started = time.monotonic()
    fold = replace(fold_of(comp, workspace, job, loaded), scored=scored_by(comp, workspace))
    kind_of(comp).train_fold(fold, log, deadline)
    step(comp, workspace, job).record(seconds=round(time.monotonic() - started, 2))


def _refuse_start(workspace: Workspace, job: Job, deadline: float) -> None:
    """Raise TimeIsUp unless an epoch, as long as the longest so far of any fold, would end before `deadline`."""
    histories = [pd.read_csv(path) for path in workspace.model(job.model.name).glob(f"fold-*/{HISTORY}")]
    longest = max((rows["seconds"].max() for rows in histories if "seconds" in rows), default=0.0)
    if time.monotonic() + longest > deadline:
        raise TimeIsUp(f"train {job.model.name} fold {job.fold + 1} was not begun")
