"""kernel: train and predict on Kaggle: push, wait, pull. What comes back joins the local runs."""

import re
import shutil
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.commands.bundle import MINUTES, refuse_stale
from pipeline.commands.send import competition_of
from pipeline.config import Competition
from pipeline.errors import RequestError, WorkFailed
from pipeline.freshness import digest
from pipeline.jobs import Job, chosen_folds, chosen_models, jobs_of
from pipeline.kaggle import dataset
from pipeline.kaggle.client import Kaggle
from pipeline.kaggle.kernel import Kernel, fetch_output, outputs, save, watch
from pipeline.kaggle.manifest import NAME, refuse_damage
from pipeline.kaggle.notebook import notebook
from pipeline.log import Log
from pipeline.stages.train import resolved, step
from pipeline.workspace import (
    CHECKPOINT,
    HISTORY,
    SUBMISSION,
    TRAINED,
    WEIGHTS,
    Workspace,
    explained,
    read_json,
    swap_folder,
    sync_folder,
    write_json,
    write_text,
)

STAGES = ("train", "infer")
LONGEST = 50  # characters of a name on Kaggle
PATIENCE = 60.0  # minutes for a dataset to be processed
DAY = 24 * 60.0  # minutes to wait for a kernel


@dataclass(frozen=True)
class Chosen:
    """What a kernel does: its stage, the folds and model (all where None), and its machine."""

    stage: str
    folds: Collection[int] | None = None
    model: str | None = None
    minutes: float = MINUTES
    gpu: bool = True
    internet: bool = False


def choose(
    stage: str,
    folds: str | None = None,
    model: str | None = None,
    minutes: float = MINUTES,
    gpu: bool = True,
    internet: bool = False,
) -> Chosen:
    """What the command line asks for; `folds` as 3, 0-4 or 0,2. Raises RequestError."""
    if stage not in STAGES:
        raise RequestError(f"--stage {stage!r}: expected {' or '.join(STAGES)}")
    return Chosen(stage, _numbers(folds) if folds else None, model, minutes, gpu, internet)


def _numbers(text: str) -> list[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or len(text) > 100:
            raise RequestError(f"--folds {text!r}: expected numbers such as 3, 0-4 or 0,2")
        found |= set(range(int(first), min(int(last or first), 9999) + 1))
    if not found:
        raise RequestError(f"--folds {text!r} names no fold")
    return sorted(found)


def push(
    comp: Competition, workspace: Workspace, log: Log, chosen: Chosen, plugins: Sequence[Path] = ()
) -> dict[str, Any]:
    """Upload the bundle where Kaggle does not hold it yet, wait until it is READY, push and start the kernel.

    A kernel that was pushed before is among its own inputs: it goes on from its last output. Returns what is kept in
    runs/<slug>/kernel/<stage>.json: {"owner", "slug", "version", "url", ...}. Raises WorkFailed, and has then
    reported nothing as pushed.
    """
    competition = competition_of(comp)
    numbers = chosen_folds(comp, chosen.folds)
    models = [model.name for model in chosen_models(comp, chosen.model)]
    folder = refuse_stale(comp, workspace, plugins)
    refuse_damage(folder)
    kaggle = Kaggle(log)
    owner = kaggle.username
    data = f"{owner}/{dataset_slug(comp)}"
    _publish(kaggle, comp, workspace, folder, owner)
    before = read_json(workspace.pushed(chosen.stage))
    again = bool(before and before["owner"] == owner and chosen.stage == "train")
    settings = {"slug": comp.slug, "stage": chosen.stage, "minutes": chosen.minutes, "bundle": digest(folder / NAME)}
    if chosen.stage == "train":
        settings |= {"model": chosen.model, "folds": numbers}
    slug = kernel_slug(comp, chosen.stage)
    kernel = Kernel(
        owner,
        slug,
        notebook(settings),
        [data],
        [competition],
        [f"{owner}/{slug}"] if again else [],
        chosen.gpu,
        chosen.internet,
        round(60 * (chosen.minutes + 45)),  # Kaggle's own stop comes well after ours
    )
    version, url = save(kaggle, kernel)
    kept = {"owner": owner, "slug": slug, "version": version, "url": url, "stage": chosen.stage}
    kept |= {"models": models, "folds": numbers, "pushed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    write_json(workspace.pushed(chosen.stage), kept)
    log.say(f"kernel: pushed version {version}{', going on from the one before' if again else ''}: {url}")
    return kept


def wait(workspace: Workspace, log: Log, stage: str, minutes: float = DAY) -> dict[str, Any]:
    """Show the log of the kernel that was pushed until it is over. Raises WorkFailed where it failed."""
    kept = _record(workspace, stage)
    watch(Kaggle(log), kept["owner"], kept["slug"], lambda line: log.say(f"  {line}"), minutes)
    return kept


def pull(comp: Competition, workspace: Workspace, log: Log, stage: str, force: bool = False) -> dict[str, Any]:
    """Fetch the output of the kernel that was pushed, and take up what it trained.

    A fold joins the local ones if it was made from what is here now: same settings, manifest and folds. A local
    fold that is done stays, unless `force`. Returns {"joined", "kept", "refused", "unfinished"}, lists of
    "<model>/fold-<k>", and "submission". Raises WorkFailed, after joining the others, for folds of something else.
    """
    kept = _record(workspace, stage)
    kaggle, owner, slug = Kaggle(log), kept["owner"], kept["slug"]
    arriving = workspace.output(slug, kept["version"])
    addresses = outputs(kaggle, owner, slug)
    wanted = _wanted(comp, addresses)
    if not wanted:
        raise WorkFailed(
            f"{owner}/{slug} has no output of {comp.slug} ({len(addresses)} others); `pipeline kernel wait` says why"
        )
    for name in wanted:
        if not (arriving / name).is_file():
            fetch_output(kaggle, owner, slug, addresses, name, arriving / name)
    result = {"joined": [], "kept": [], "refused": [], "unfinished": [], "submission": None}
    why = [_join(comp, workspace, arriving, job, force, result) for job in jobs_of(comp)]
    if (arriving / SUBMISSION).is_file():
        result["submission"] = _take_submission(workspace, arriving, kept)
    shutil.rmtree(arriving)
    for key in ("joined", "kept", "unfinished"):
        if result[key]:
            log.say(f"kernel: {key}: {', '.join(result[key])}")
    if result["unfinished"]:
        log.say("kernel: push again to go on with what is unfinished")
    if result["refused"]:
        raise WorkFailed(
            f"{', '.join(result['refused'])} of {owner}/{slug} were trained from something else "
            f"({next(one for one in why if one)}) and are not taken up; bundle and push again"
        )
    return result


def dataset_slug(comp: Competition) -> str:
    return f"pipeline-{_plain(comp)}"[:LONGEST].rstrip("-")


def kernel_slug(comp: Competition, stage: str) -> str:
    """The kernel's name, which is its title too: Kaggle derives one from the other."""
    return f"{f'pipeline-{_plain(comp)}'[: LONGEST - len(stage) - 1].rstrip('-')}-{stage}"


def _plain(comp: Competition) -> str:
    return re.sub(r"[^a-z0-9]+", "-", comp.slug).strip("-")


def _record(workspace: Workspace, stage: str) -> dict[str, Any]:
    kept = read_json(workspace.pushed(stage))
    if kept is None:
        raise RequestError(f"no kernel was pushed for {stage} yet; run `pipeline kernel push --stage {stage}`")
    return kept


def _publish(kaggle: Kaggle, comp: Competition, workspace: Workspace, folder: Path, owner: str) -> None:
    """Upload the bundle, unless this very one is there; wait until it is READY and whole."""
    slug, mark = dataset_slug(comp), digest(folder / NAME)
    note = workspace.dataset
    kept = read_json(note) or {}
    if kept.get("bundle") == mark and kept.get("owner") == owner and dataset.status(kaggle, owner, slug) is not None:
        kaggle.log.say(f"kernel: the dataset {owner}/{slug} holds this bundle already")
        dataset.wait_ready(kaggle, owner, slug, PATIENCE)
        dataset.refuse_incomplete(kaggle, owner, slug, folder)
        return
    size = sum(path.stat().st_size for path in folder.iterdir())
    kaggle.log.say(f"kernel: uploading {size / 1e6:.1f} MB to the private dataset {owner}/{slug}")
    dataset.publish(kaggle, owner, slug, slug, folder, f"bundle {(mark or '')[:12]}", PATIENCE)
    write_json(note, {"owner": owner, "slug": slug, "bundle": mark})


def _wanted(comp: Competition, names: Collection[str]) -> list[str]:
    """Output files that we know how to use; the names come from outside, so only exact shapes are taken."""
    models = "|".join(re.escape(model.name) for model in comp.models)
    files = "|".join(map(re.escape, (WEIGHTS, HISTORY, TRAINED, CHECKPOINT)))
    folds = rf"runs/{re.escape(comp.slug)}/(?:{models})/fold-\d{{1,4}}"
    shape = re.compile(rf"{folds}/(?:{files})|{re.escape(SUBMISSION)}")
    return sorted(name for name in names if shape.fullmatch(name))


def _join(
    comp: Competition, workspace: Workspace, arriving: Path, job: Job, force: bool, result: dict[str, Any]
) -> str:
    """Take up one fold; returns why it was refused, if it was."""
    folder = job.folder(workspace)
    came = arriving / folder.relative_to(workspace.root)
    if not came.is_dir():
        return ""
    name, whole = job.name, (came / TRAINED).is_file()
    why = fits(comp, workspace, arriving, job) if whole else ""
    if why:
        result["refused"].append(name)
    elif step(comp, workspace, job).done() and not (force and whole):
        result["kept"].append(name)
    elif whole or _epochs(came) > _epochs(folder):
        write_text(workspace.config(job.model.name), resolved(comp, job.model))
        with explained(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            swap_folder(came, folder)
        result["joined" if whole else "unfinished"].append(name)
    else:
        result["unfinished"].append(name)
    return why


def fits(comp: Competition, workspace: Workspace, root: Path, job: Job) -> str:
    """Why a fold below another root would not count as trained here; empty where it would."""
    local = step(comp, workspace, job)
    folder = root / job.folder(workspace).relative_to(workspace.root)
    other = replace(local, stamp=folder / local.stamp.name, outputs=tuple(folder / p.name for p in local.outputs))
    return "" if other.done() else other.reason()


def _epochs(fold: Path) -> int:
    """Epochs in a fold's checkpoint, by its header alone; 0 without one."""
    from pipeline.vision.header import read_checkpoint

    rows = (read_checkpoint(fold / CHECKPOINT) or {}).get("rows")
    return len(rows) if isinstance(rows, list) else 0


def _take_submission(workspace: Workspace, arriving: Path, kept: dict[str, Any]) -> str:
    """Keep a kernel's submission beside ours, under the name that its score will have."""
    target = workspace.kernel_submission(kept["slug"], kept["version"])
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        (arriving / SUBMISSION).replace(target)
        sync_folder(target.parent)
    return str(target)
