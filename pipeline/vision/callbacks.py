"""Exact training semantics as fastai callbacks: accumulation, seeding, checkpoints, the visible epoch line."""

import json
import random
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.callback.core import (
    Callback,
    CancelBatchException,  # pyright: ignore[reportAttributeAccessIssue] - made by a call
    CancelFitException,  # pyright: ignore[reportAttributeAccessIssue]
)
from fastai.data.core import DataLoaders
from fastai.learner import Learner, Recorder
from fastai.optimizer import Optimizer
from safetensors import safe_open
from safetensors.torch import save_file

from pipeline.log import Log
from pipeline.workspace import write_with


class LearnerCallback(Callback):
    """fastai's Callback with the types of its learner, and of what it reads of that as its own."""

    learn: Learner
    model: torch.nn.Module
    opt: Optimizer
    dls: DataLoaders
    recorder: Recorder
    training: bool
    epoch: int
    iter: int
    n_iter: int
    yb: tuple[torch.Tensor, ...]
    loss: torch.Tensor


class Accumulate(LearnerCallback):
    """One optimizer step for every `batches` batches, with the gradient of their mean loss.

    fastai's GradientAccumulation counts samples and lets gradients cross into the next epoch; here the last
    group of an epoch steps on its own mean, however few batches it holds.
    """

    order, run_valid = 6, False  # before MixedPrecision (10), whose scaler must not see a step that is put off

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def before_batch(self) -> None:
        start = self.iter - self.iter % self.batches
        self.group = min(self.batches, self.n_iter - start)
        self.last = self.iter - start == self.group - 1

    def before_backward(self) -> None:
        self.learn.loss_grad = self.learn.loss_grad / self.group

    def before_step(self) -> None:
        if not self.last:
            raise CancelBatchException()


class FrozenStatistics(LearnerCallback):
    """The body's batch norms normalise by the statistics that it came with, and do not change them; their scales and
    shifts are trained as other parameters. Those of the heads, which have no statistics yet, are as always.

    Few images of a small set say less of a channel's mean than the many of pretraining.
    """

    order, run_valid = 0, False  # after TrainEvalCallback (-10), which puts the whole network into training mode

    def before_train(self) -> None:
        body = next(self.model.children())
        for module in body.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()


def seed_everything(*parts: object) -> int:
    """Seed Python, numpy and torch from anything printable; the same parts give the same numbers anywhere."""
    seed = zlib.crc32(repr(parts).encode())
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return seed


@contextmanager
def seeded(*parts: object) -> Iterator[None]:
    """Seed everything inside; afterwards the generators of the CPU go on where they were."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed_everything(*parts)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


class SeedEpochs(LearnerCallback):
    """Make each epoch's randomness a function of the seed and the epoch's number alone.

    So an epoch after a kill draws what it would have drawn, and no generator needs saving.
    """

    order = -100

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def before_epoch(self) -> None:
        seed = seed_everything(*self.parts, self.epoch)
        for number, loader in enumerate(self.dls.loaders):
            loader.rng = random.Random(seed + number)


class EpochWatcher(LearnerCallback):
    """Calls `after_trained_epoch` at an epoch's end; fastai also ends the epochs that a resumed fit skips."""

    trained = False

    def before_train(self) -> None:
        self.trained = True

    def after_epoch(self) -> None:
        if self.trained:
            self.trained = False
            self.after_trained_epoch()

    def after_trained_epoch(self) -> None:
        raise NotImplementedError


class History(EpochWatcher):
    """One row an epoch: its number, seconds, the mean training loss, the validation loss and metrics."""

    order = 70  # after Recorder (50)

    def __init__(self, rows: list[dict[str, Any]], line: Callable[[dict[str, Any]], None]) -> None:
        self.rows, self.line = rows, line

    def before_train(self) -> None:
        super().before_train()
        self.started, self.total, self.count = time.monotonic(), torch.zeros(()), 0

    def after_batch(self) -> None:
        if self.training:
            loss, items = self.loss.detach(), len(self.yb[0])
            self.total = loss * items + self.total.to(loss.device)
            self.count += items

    def after_trained_epoch(self) -> None:
        names = self.recorder.metric_names[2:]
        values = self.recorder.log[2 : 2 + len(names)]
        row = {"epoch": len(self.rows), "train_loss": float(self.total) / max(1, self.count)}
        row |= {name: float(value) for name, value in zip(names, values, strict=False) if name != "time"}
        self.rows.append({**row, "seconds": round(time.monotonic() - self.started, 2)})
        self.line(self.rows[-1])


class Checkpoint(EpochWatcher):
    """After each epoch, everything that the next one needs, in one file without pickle."""

    order = 90  # last: what it saves is final

    def __init__(self, path: Path, rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
        self.path, self.rows, self.about = path, rows, about

    def after_trained_epoch(self) -> None:
        about = {**self.about, "epoch": self.epoch, "rows": self.rows}
        scaler = getattr(self.learn, "scaler", None)
        about["scaler"] = scaler.state_dict() if scaler is not None else None
        save_checkpoint(self.path, self.model, self.opt, about)


class RestoreScaler(LearnerCallback):
    """Gives fp16's loss scaler, which MixedPrecision makes anew at each fit, the state that a checkpoint kept."""

    order = 11  # after MixedPrecision (10)

    def __init__(self, state: dict[str, Any] | None) -> None:
        self.state = state

    def before_fit(self) -> None:
        if self.state:
            self.learn.scaler.load_state_dict(self.state)


def save_checkpoint(path: Path, model: torch.nn.Module, optimizer: Optimizer, about: dict[str, Any]) -> None:
    """Write model and optimizer to a safetensors file; `about` is JSON in its header."""
    tensors = {f"model.{key}": value.contiguous() for key, value in model.state_dict().items()}
    scalars: list[dict[str, Any]] = []
    for number, state in enumerate(optimizer.state_dict()["state"]):
        scalars.append({key: value for key, value in state.items() if not torch.is_tensor(value)})
        moments = {key: value for key, value in state.items() if torch.is_tensor(value)}
        tensors |= {f"opt.{number}.{key}": value.contiguous() for key, value in moments.items()}
    metadata = {"about": json.dumps(about), "optimizer": json.dumps(scalars)}
    write_with(path, lambda file: save_file(tensors, file, metadata=metadata))


def load_checkpoint(path: Path, model: torch.nn.Module, optimizer: Optimizer) -> None:
    """Put a checkpoint's tensors into a freshly built model and optimizer."""
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        states = json.loads(file.metadata()["optimizer"])
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    for number, (param, *_) in enumerate(optimizer.all_params()):
        prefix = f"opt.{number}."
        own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        optimizer.state[param] = states[number] | {key: _laid_out_as(param, value) for key, value in own.items()}


def _laid_out_as(param: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """A moment of a parameter on its device and in its memory format, which files do not keep."""
    if value.shape != param.shape:
        return value.to(param.device)
    return torch.empty_like(param).copy_(value)


class StopInTime(EpochWatcher):
    """Ends the fit after an epoch, once another one as long as the longest would not end before `deadline`."""

    order = 95  # after Checkpoint: the next run takes this epoch up

    def __init__(self, deadline: float, rows: list[dict[str, Any]], total: int) -> None:
        self.deadline, self.rows, self.total = deadline, rows, total
        self.stopped = False

    def after_trained_epoch(self) -> None:
        longest = max(row["seconds"] for row in self.rows)
        if len(self.rows) < self.total and time.monotonic() + longest > self.deadline:
            self.stopped = True
            raise CancelFitException()


class BatchBar(LearnerCallback):
    """Drives a progress bar over the training batches of all phases; counted in epochs before and in all."""

    order = 80

    def __init__(self, progress: Callable[[int, int], None], before: int, total: int) -> None:
        self.progress, self.before, self.total = progress, before, total

    def after_batch(self) -> None:
        if self.training:
            done = (self.before + self.epoch) * self.n_iter + self.iter + 1
            self.progress(done, self.total * self.n_iter)


def epoch_line(
    log: Log, label: str, total: int, first: tuple[str, Mapping[str, float]], rest: Sequence[str]
) -> Callable[[dict[str, Any]], None]:
    """A function that says an epoch's row in one line: a name for the mean of some columns, by their weights, the
    losses, the `rest`."""
    name, weights = first
    whole = sum(weights.values())

    def say(row: dict[str, Any]) -> None:
        mean = {name: sum(weight * row[column] for column, weight in weights.items()) / whole} if whole else {}
        shown = mean | {column: row[column] for column in ("train_loss", "valid_loss", *rest)}
        log.say(f"{label}  epoch {row['epoch'] + 1}/{total}  {in_line(shown)}  {row['seconds']:.1f} s")

    return say


def in_line(numbers: Mapping[str, float]) -> str:
    """Numbers with their names, one behind the other."""
    return "  ".join(f"{what} {value:.4f}" for what, value in numbers.items())
