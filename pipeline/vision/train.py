"""Training one fold: fastai's schedules in phases that can be taken up again after any epoch."""

import hashlib
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from fastai.callback.schedule import valley
from fastai.learner import Learner
from fastai.optimizer import Optimizer

from pipeline.data.boxes import Cutout
from pipeline.data.channels import RGB
from pipeline.data.levels import Levels, in_words
from pipeline.errors import TimeIsUp, WorkFailed
from pipeline.log import Log
from pipeline.losses import LOSSES
from pipeline.registry import code_in
from pipeline.settings import differences
from pipeline.vision.blocks import Sample, has_weights
from pipeline.vision.cache import Cache
from pipeline.vision.callbacks import (
    BatchBar,
    Checkpoint,
    History,
    RestoreScaler,
    SeedEpochs,
    StopInTime,
    epoch_line,
    in_line,
    load_checkpoint,
    seed_everything,
)
from pipeline.vision.config import ImageModel
from pipeline.vision.encoding import Features
from pipeline.vision.header import read_checkpoint
from pipeline.vision.heads import Head
from pipeline.vision.learner import build_learner, network_of, pixels_of
from pipeline.vision.metadata import Metadata, installed_versions
from pipeline.vision.model import save_weights, statistics_of
from pipeline.vision.probe import fit_probe
from pipeline.vision.scored import Scored, columns_of_line
from pipeline.workspace import CHECKPOINT, HISTORY, WEIGHTS, csv_text, write_text

OF_NUMBERS = ("transform", "order", "low", "high")  # options of a target's kind that its head is trained and scored by


@dataclass(frozen=True)
class Phase:
    """One call of fit_one_cycle: how many epochs, how much is frozen, at which rates."""

    epochs: int
    frozen: bool
    lr: slice | float
    pct_start: float
    div: float = 25.0


def phases_of(model: ImageModel, lr: float | Sequence[float]) -> list[Phase]:
    """fastai's `fine_tune` (book chapter 5) or `fit_one_cycle`, spelled out.

    fine_tune: the head alone at `lr`, then everything at half of it, the body from a hundredth of that.
    """
    if model.schedule_name == "probe":
        return []  # the heads are fitted already
    if model.schedule_name == "one_cycle":
        rate = slice(*lr) if isinstance(lr, Sequence) else lr
        return [Phase(model.epochs, False, rate, 0.25)]
    if isinstance(lr, Sequence):
        raise TypeError("fine_tune spreads one rate itself")
    phases = []
    if model.frozen_epochs:
        phases.append(Phase(model.frozen_epochs, True, slice(lr), 0.99))
    if model.epochs:
        phases.append(Phase(model.epochs, False, slice(lr / 2 / 100, lr / 2), 0.3, 5.0))
    return phases


def train_fold(  # noqa: PLR0913
    train: Sequence[Sample],
    valid: Sequence[Sample],
    heads: Sequence[Head],
    model: ImageModel,
    seed: tuple[int | str, ...],
    folder: Path,
    log: Log,
    label: str,
    cache: Cache | None = None,
    deadline: float = math.inf,
    scored: Scored | None = None,
    features: Features | None = None,
) -> None:
    """Train one fold and write `weights.safetensors` and `history.csv` into `folder`.

    After each epoch a checkpoint is kept there; a fold that was killed goes on from it, to the same bytes.
    `seed` is anything printable that names this fold; `cache` holds the presized images; with `scored`, history and
    epoch lines tell the leaderboard's metric of `valid`; `features` say how the samples' own were encoded. Raises
    WorkFailed if the loss is no longer a number, and TimeIsUp after the last epoch that ends before `deadline` (of
    time.monotonic), where there are more.
    """
    checkpoint = folder / CHECKPOINT
    levels, channels = (cache.levels, cache.channels) if cache else (None, RGB)
    inputs = _inputs(train, valid, heads, model, seed, cache.form if cache else "files", levels)
    inputs |= {"channels": channels.in_words()} if channels.settings() else {}
    kept = read_checkpoint(checkpoint)
    if kept and any(differences("", kept.get("inputs") or {}, inputs)):
        kept = None  # of another run
    pixels = pixels_of(model, cache)
    seed_everything(*seed, "network")
    learn = build_learner(
        model,
        heads,
        train,
        valid,
        weights="none" if kept else None,
        features=features,
        pixels=pixels,
        scored=scored,
        tell=lambda start: log.say(f"{label}  {start}"),
    )
    if kept:
        rows, lr, at, done = kept["rows"], kept["lr"], kept["phase"], kept["epoch"] + 1
        log.say(f"{label}  goes on after epoch {len(rows)}")
    else:
        rows, at, done = [], 0, 0
        if model.starts_from_probe:
            rows = [fit_probe(learn, heads, train, model, pixels, seed)]
            first = {name: value for name, value in rows[0].items() if name not in ("epoch", "seconds")}
            log.say(f"{label}  probe  {in_line(first)}  {rows[0]['seconds']:.1f} s")
        lr = find_rate(learn, folder, seed, frozen=model.frozen_epochs > 0) if model.lr == "auto" else model.lr
        if model.frozen_bn and not model.keeps_statistics:
            log.warn(f"{label}: frozen_bn: weights = 'none' has no statistics to keep; batch norms are trained")
    phases = phases_of(model, lr)
    if phases and not kept:
        rows = []  # history is of epochs, where there are any
    total = sum(phase.epochs for phase in phases)
    line = epoch_line(log, label, total, *columns_of_line(heads, scored))
    stop = StopInTime(deadline, rows, total)
    with log.bar(label) as progress:
        for number, phase in list(enumerate(phases))[at:]:
            about = {"inputs": inputs, "phase": number, "lr": lr}
            before = sum(p.epochs for p in phases[:number])
            watch = [
                SeedEpochs(*seed, number),
                History(rows, line),
                Checkpoint(checkpoint, rows, about),
                BatchBar(progress, before, total),
                stop,
            ]
            if number == at and kept:
                _fit(learn, phase, [*watch, RestoreScaler(kept.get("scaler"))], done, checkpoint)
            else:
                _fit(learn, phase, watch)
            if stop.stopped:
                raise TimeIsUp(f"{label}  stopped after epoch {len(rows)}/{total}")
    if not np.isfinite(rows[-1]["train_loss"]):
        raise WorkFailed(f"{label}: the loss is {rows[-1]['train_loss']}; lower the model's lr ({lr}) and train again")
    network = network_of(learn)
    cut = any(isinstance(sample.path, Cutout) for sample in train)
    known = statistics_of(network), installed_versions(), levels, channels, cut, features
    described = Metadata.of(model, heads, seed, *known)
    save_weights(folder / WEIGHTS, network, described.header())
    write_text(folder / HISTORY, csv_text(_alike(rows)))
    shutil.rmtree(checkpoint.parent, ignore_errors=True)


def find_rate(learn: Learner, folder: Path, seed: tuple[int | str, ...], frozen: bool = False) -> float:
    """fastai's learning rate finder (Smith 2015), by the longest valley of the loss; leaves the learner as it was.

    `frozen`: of the heads alone, where the first epochs train those: the body's gradients ask for a lower rate.
    """
    if frozen:
        learn.freeze()
    place = Path(CHECKPOINT).parent.name
    learn.path, learn.model_dir = folder, place  # pyright: ignore[reportAttributeAccessIssue] - fastai's store_attr
    with learn.no_mbar(), learn.no_logging():
        learn.add_cb(SeedEpochs(*seed, "lr_find"))
        found = learn.lr_find(show_plot=False, suggest_funcs=(valley,))
        learn.remove_cbs(SeedEpochs)
    return float(found.valley)


def _alike(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the columns of all: epochs from before a restart may have been told another metric."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name != "seconds"]
    return [{name: row.get(name, "") for name in (*names, "seconds")} for row in rows]


def _fit(
    learn: Learner, phase: Phase, callbacks: Sequence[Any], start_epoch: int = 0, checkpoint: Path | None = None
) -> None:
    """One phase, from its start or taken up after `start_epoch` epochs with the checkpoint that was kept then."""
    learn.freeze() if phase.frozen else learn.unfreeze()  # fastai forgets the optimizer's moments here
    if checkpoint is not None:
        load_checkpoint(checkpoint, network_of(learn), cast(Optimizer, learn.opt))
    if start_epoch >= phase.epochs:
        return
    with learn.no_logging(), learn.no_mbar():
        learn.fit_one_cycle(
            phase.epochs, phase.lr, pct_start=phase.pct_start, div=phase.div, cbs=callbacks, start_epoch=start_epoch
        )


def _inputs(
    train: Sequence[Sample],
    valid: Sequence[Sample],
    heads: Sequence[Head],
    model: ImageModel,
    seed: tuple[int | str, ...],
    form: str,
    levels: Levels | None,
) -> dict[str, Any]:
    """Everything that a fold is trained from: a checkpoint of anything else is not taken up. Without the paths: it goes
    on under another root, and on another machine.
    """
    samples: list = [[(sample.id, sample.labels) for sample in part] for part in (train, valid)]
    samples += [[sample.weight for sample in train]] if has_weights(train) else []
    samples += [[s.id, s.path.cut] for part in (train, valid) for s in part if isinstance(s.path, Cutout)]
    samples += [[s.id, s.beside.tolist()] for part in (train, valid) for s in part if s.beside is not None]
    return {
        "samples": hashlib.sha256(repr(samples).encode()).hexdigest(),
        "heads": [_head_inputs(head) for head in heads],
        "model": model.settings(leave_out={"name", "tta"}),
        "seed": list(seed),
        "pixels": form,
        **in_words(levels or {}),
        **model.corrected,
    }


def _head_inputs(head: Head) -> dict[str, Any]:
    spec, options = head.spec, head.options or LOSSES[head.loss].options()
    loss = {"loss": head.loss, "options": options.settings(), **code_in("loss", LOSSES, head.loss)}
    numbers = [repr(number) for number in (head.weight, head.center, head.scale)]
    told = {key: value for key, value in spec.options if key in OF_NUMBERS}
    return {"name": spec.name, "kind": spec.kind, "vocab": list(spec.vocab), **loss, "numbers": numbers, **told}
