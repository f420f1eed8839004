"""train: every model on every fold. A finished fold is never trained again while nothing it depends on changes."""

import functools
import hashlib
import math
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import tomli_w

from pipeline.config import Competition, Model
from pipeline.data.labels import specs_of
from pipeline.errors import RequestError, TimeIsUp
from pipeline.fold import Fold
from pipeline.freshness import Step, digest
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.machine import device_in_words
from pipeline.predictions import TargetSpec
from pipeline.stages import presize
from pipeline.stages.folds import read_folds, training_rows
from pipeline.workspace import Workspace, write_text

if TYPE_CHECKING:
    from fastai.learner import Learner

    from pipeline.vision.metadata import Metadata
    from pipeline.vision.trained import TrainedModel

VERSION = 2
Loaded = tuple[pd.DataFrame, tuple[TargetSpec, ...], np.ndarray]  # what `load_rows` gives


def train(
    comp: Competition,
    workspace: Workspace,
    log: Log,
    force: bool = False,
    only_model: str | None = None,
    only_fold: int | Collection[int] | None = None,
    minutes: float | None = None,
) -> bool:
    """Train what is not up to date, one model and fold after the other. Returns whether it did anything.

    After `minutes` it stops at the end of an epoch, and says so; the next call goes on from there.
    """
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    models = chosen_models(comp, only_model)
    numbers = chosen_folds(comp, only_fold)
    todo = [(model, k) for model in models for k in numbers if force or not step(comp, workspace, model, k).done()]
    if not todo:
        return False
    kind_of(comp).check_models([model for model, _ in todo])
    if comp.kind == "image":
        log.say(f"train: {len(todo)} fold(s) on {device_in_words(log)}")
    presize.ensure(comp, workspace, log)
    loaded = load_rows(comp, workspace)
    for done, (model, number) in enumerate(todo):
        try:
            if done:  # the first one trains an epoch in any case, so that every call gets further
                _refuse_start(workspace, model, number, deadline)
            _train_one(comp, workspace, model, number, loaded, log, deadline)
        except TimeIsUp as stopped:
            log.say(f"{stopped}: {minutes:g} minutes are over, {len(todo) - done} fold(s) not done; run the same again")
            break
    return True


def _refuse_start(workspace: Workspace, model: Model, number: int, deadline: float) -> None:
    """Raise TimeIsUp unless an epoch, as long as the longest so far of any fold, would end before `deadline`."""
    histories = [pd.read_csv(path) for path in workspace.model(model.name).glob("fold-*/history.csv")]
    longest = max((rows["seconds"].max() for rows in histories if "seconds" in rows), default=0.0)
    if time.monotonic() + longest > deadline:
        raise TimeIsUp(f"train {model.name} fold {number + 1} was not begun")


def step(comp: Competition, workspace: Workspace, model: Model, fold: int) -> Step:
    """One fold of one model: its part of the file, the labels, and the split."""
    inputs = {
        "version": VERSION,
        "model": model.model_dump(exclude=kind_of(comp).FREE),
        "targets": [target.model_dump(include={"name", "kind", "loss", "weight"}) for target in comp.targets],
        "seed": comp.seed,
        "manifest": digest(workspace.manifest),
        "images": images_digest(workspace) if comp.kind == "image" else None,
        "folds": digest(workspace.folds),
        **kind_of(comp).side_inputs(comp.data, model, workspace.raw),
    }
    folder = workspace.fold(model.name, fold)
    return Step(folder / "trained.json", inputs, (folder / "weights.safetensors", folder / "history.csv"))


def images_digest(workspace: Workspace) -> str | None:
    """What the audit found in the training images, as one digest; None before the audit."""
    if not (workspace.manifest.is_file() and workspace.facts.is_file()):
        return None
    return _images_digest(workspace, digest(workspace.manifest), digest(workspace.facts))


@functools.lru_cache(maxsize=8)
def _images_digest(workspace: Workspace, *_: str | None) -> str:
    """Once for each state of the two tables: every fold asks for it."""
    rows = training_rows(workspace)
    # Joined in Python: pandas 2, as on Kaggle's image, drops a NUL that it adds to a column.
    lines = (f"{id}\0{sha}\n" for id, sha in zip(rows["id"], rows["sha256"], strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def chosen_models(comp: Competition, only: str | None) -> list[Model]:
    """All models, or the one of that name."""
    if only is None:
        return list(comp.models)
    chosen = [model for model in comp.models if model.name == only]
    if not chosen:
        raise RequestError(f"--model {only}: the file's models are {', '.join(model.name for model in comp.models)}")
    return chosen


def chosen_folds(comp: Competition, only: int | Collection[int] | None) -> list[int]:
    """All folds' numbers, or those asked for. Raises RequestError for one that there is not."""
    numbers = range(comp.folds.n) if only is None else sorted({only} if isinstance(only, int) else only)
    for number in numbers:
        if number not in range(comp.folds.n):
            raise RequestError(f"--fold {number}: folds are numbered 0 to {comp.folds.n - 1}")
    return list(numbers)


def load_rows(comp: Competition, workspace: Workspace) -> Loaded:
    """Readable training rows sorted by id, the targets as the data showed them, and each row's fold."""
    rows = training_rows(workspace)
    specs = specs_of(comp.targets, pd.read_parquet(workspace.manifest))
    return rows, specs, read_folds(workspace).loc[rows["id"]].to_numpy()


def seed_of(comp: Competition, model: Model, fold: int) -> tuple[object, ...]:
    """What names a fold's randomness."""
    return (comp.seed, model.name, fold)


def metadata_of(
    comp: Competition, workspace: Workspace, model: Model, fold: int, weights: Path | None = None
) -> "Metadata":
    """What a fold's weights say of themselves; for those of an earlier version, which say nothing, what the
    competition file, the manifest and the folds say of them. `weights` may lie elsewhere than in the workspace.
    """
    from pipeline.vision.fold import heads_of
    from pipeline.vision.metadata import Metadata, read_metadata

    said = read_metadata(weights or workspace.fold(model.name, fold) / "weights.safetensors")
    if said is not None:
        return said
    rows, specs, fold_of = load_rows(comp, workspace)
    return Metadata.of(model, heads_of(comp.targets, specs, rows[fold_of != fold]), seed_of(comp, model, fold))


def open_fold(
    comp: Competition, workspace: Workspace, model: Model, fold: int, weights: Path | None = None
) -> "TrainedModel":
    """A trained fold of a competition; of what `metadata_of` tells where its weights do not say it themselves."""
    from pipeline.vision.trained import TrainedModel

    path = weights or workspace.fold(model.name, fold) / "weights.safetensors"
    return TrainedModel.open(path, metadata_of(comp, workspace, model, fold, path))


def reopen(comp: Competition, workspace: Workspace, name: str, fold: int) -> "Learner":
    """A trained fold as a fastai Learner, to look into: show_results, predict, ClassificationInterpretation.

    Raises RequestError for a model that the file does not name, WorkFailed for weights that are not there.
    """
    from pipeline.vision.fold import samples_of
    from pipeline.vision.gather import PixelSource
    from pipeline.vision.learner import build_learner
    from pipeline.vision.model import load_weights

    (model,) = chosen_models(comp, name)
    rows, specs, fold_of = load_rows(comp, workspace)
    held_out = fold_of == fold
    learn = build_learner(
        model,
        [head.head() for head in metadata_of(comp, workspace, model, fold).heads],
        samples_of(rows[~held_out], specs, workspace.raw),
        samples_of(rows[held_out], specs, workspace.raw),
        weights="none",
        pixels=PixelSource(model.presize, presize.open_cache(workspace, comp, model.presize, Log()), exact=True),
    )
    load_weights(workspace.fold(name, fold) / "weights.safetensors", learn.model)
    return learn


def _train_one(
    comp: Competition,
    workspace: Workspace,
    model: Model,
    fold: int,
    loaded: Loaded,
    log: Log,
    deadline: float = math.inf,
) -> None:
    write_text(workspace.model(model.name) / "config.toml", resolved(comp, model))
    started = time.monotonic()
    work = fold_of_rows(comp, workspace, model, fold, loaded, log)
    kind_of(comp).train_fold(work, log, deadline)
    step(comp, workspace, model, fold).record(seconds=round(time.monotonic() - started, 2))


def fold_of_rows(
    comp: Competition,
    workspace: Workspace,
    model: Model,
    number: int,
    loaded: Loaded,
    log: Log,
) -> Fold:
    """What one fold is trained and predicted from, out of what `load_rows` gave."""
    rows, specs, fold_of = loaded
    return Fold(
        model=model,
        data=comp.data,
        targets=comp.targets,
        specs=specs,
        train=rows[fold_of != number],
        held_out=rows[fold_of == number],
        raw=workspace.raw,
        folder=workspace.fold(model.name, number),
        seed=seed_of(comp, model, number),
        number=number,
        name=f"{model.name} fold {number + 1}/{comp.folds.n}",
        cache=presize.open_cache(workspace, comp, model.presize, log) if comp.kind == "image" else None,
    )


def resolved(comp: Competition, model: Model) -> str:
    """The competition file with this model alone and every default written out."""
    alone = comp.model_copy(update={"models": [model]})
    return tomli_w.dumps(alone.model_dump(exclude_none=True, mode="json"))
