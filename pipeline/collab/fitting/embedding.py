"""Embeddings trained by gradient steps: dot product, range, bias, decay; or two-layer network on top of them.

Users and items are rows of one table. In a large one only the rows that a batch touches are computed: what Adam and
weight decay would have done to a row meanwhile is made up for when it is next touched, so that a step costs the same
among a hundred thousand users and a million. A small table is quicker stepped as a whole.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from pipeline.collab.fitting.factors import product

MOMENTUM, SQUARES, EPS = 0.8, 0.95, 1e-8  # of Adam; short memories suit a few hundred steps
WARM_UP = 0.25  # share of the steps in which the rate rises
SPREAD = 0.01  # standard deviation of what embeddings start from
DECAY_BATCH = 64  # the batch size for which a weight decay is given


@dataclass(frozen=True)
class Schedule:
    """Rates of all steps (the first at 1), and how far weight decay has come by then: a row shrinks by e^-decay.

    Decay follows the ratings seen, not the steps made: a row shrinks by as much in an epoch whatever the batch.
    """

    rates: torch.Tensor
    decay: torch.Tensor

    @classmethod
    def one_cycle(cls, steps: int, lr: float, weight_decay: float, batch_size: int) -> "Schedule":
        done = torch.arange(steps + 1, dtype=torch.float64) / steps
        up = _cosine(lr / 25, lr, (done / WARM_UP).clamp(max=1))
        down = _cosine(lr, lr / 1e5, ((done - WARM_UP) / (1 - WARM_UP)).clamp(min=0))
        rates = torch.where(done < WARM_UP, up, down)
        rates[0] = 0
        return cls(rates.float(), torch.cumsum(rates * weight_decay * batch_size / DECAY_BATCH, 0))


def _cosine(first: float, last: float, share: torch.Tensor) -> torch.Tensor:
    return last + (first - last) * (1 + torch.cos(math.pi * share)) / 2


class Rows:
    """A table of embeddings (rows, 1 + factors), the bias in front, with Adam's moments and each row's last step.

    Stepped as a whole where `whole` is given, which it should be for a table of few rows for its batches.
    """

    def __init__(self, rows: int, factors: int, rng: torch.Generator, bias: bool, whole: bool = False) -> None:
        self.whole = whole
        self.values = torch.randn(rows, factors + 1, generator=rng) * SPREAD
        if not bias:
            self.values[:, 0] = 0
        self.mean, self.square = torch.zeros_like(self.values), torch.zeros_like(self.values)
        self.last = torch.zeros(rows, dtype=torch.int64)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {f"rows.{key}": getattr(self, key) for key in ("values", "mean", "square", "last")}

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        for key in ("values", "mean", "square", "last"):
            setattr(self, key, tensors[f"rows.{key}"])

    def step_whole(self, ids: torch.Tensor, grads: torch.Tensor, at: "Moment") -> None:
        """Adam with decoupled decay on all rows; `grads` belong to the rows `ids`, which may repeat."""
        summed = torch.zeros_like(self.values).index_add_(0, ids, grads)
        self.mean.lerp_(summed, 1 - MOMENTUM)
        self.square.mul_(SQUARES).addcmul_(summed, summed, value=1 - SQUARES)
        denominator = torch.sqrt(self.square, out=summed).mul_(at.second**-0.5).add_(EPS)
        self.values.mul_(at.shrink).addcdiv_(self.mean, denominator, value=-at.rate / at.first)
        self.last.fill_(at.step)

    def fetch(self, rows: torch.Tensor, step: int, schedule: Schedule) -> tuple[torch.Tensor, ...]:
        """Values and moments of these rows as they are after `step`, the steps that passed them by made up for."""
        last = self.last[rows]
        passed = (step - last).to(torch.float32)[:, None]
        since = last.clamp_min(1).to(torch.float32)[:, None]
        ratio = MOMENTUM / SQUARES**0.5  # of one missed step of Adam to the one before
        missed = ratio * (1 - ratio**passed) / (1 - ratio)
        rate = schedule.rates[((last + step + 1) // 2).clamp_max(step)][:, None]
        scale = rate * missed * (1 - SQUARES**since).sqrt() / (1 - MOMENTUM**since)
        shrink = torch.exp(schedule.decay[last] - schedule.decay[step]).to(torch.float32)[:, None]
        values, mean, square = self.values[rows], self.mean[rows], self.square[rows]
        values.mul_(shrink).sub_((mean / square.sqrt().add_(EPS)).mul_(scale))
        return values, mean.mul_(MOMENTUM**passed), square.mul_(SQUARES**passed)

    def step(self, rows: torch.Tensor, fetched: tuple[torch.Tensor, ...], grads: torch.Tensor, at: "Moment") -> None:
        """Adam with decoupled decay (Loshchilov and Hutter 2019) on the rows that were fetched."""
        values, mean, square = fetched
        mean = mean.mul_(MOMENTUM).add_(grads, alpha=1 - MOMENTUM)
        square = square.mul_(SQUARES).addcmul_(grads, grads, value=1 - SQUARES)
        self.mean[rows], self.square[rows], self.last[rows] = mean, square, at.step
        denominator = square.sqrt().mul_(at.second**-0.5).add_(EPS)
        self.values[rows] = values.mul_(at.shrink).addcdiv_(mean, denominator, value=-at.rate / at.first)

    def finish(self, step: int, schedule: Schedule) -> torch.Tensor:
        """All values as they are after `step`."""
        parts = torch.arange(len(self.values)).split(1 << 16)
        return torch.cat([self.fetch(part, step, schedule)[0] for part in parts])


@dataclass(frozen=True)
class Moment:
    """A step's number, rate, shrinking by decay, and Adam's corrections for its start."""

    step: int
    rate: float
    shrink: float
    first: float
    second: float

    @classmethod
    def at(cls, step: int, schedule: Schedule) -> "Moment":
        shrink = math.exp(float(schedule.decay[step - 1] - schedule.decay[step]))
        return cls(step, float(schedule.rates[step]), shrink, 1 - MOMENTUM**step, 1 - SQUARES**step)


Gradients = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # sum of squared errors; of user rows, of item rows


def dot_gradients(
    mine: torch.Tensor, theirs: torch.Tensor, y: torch.Tensor, low: float, span: float, bias: bool
) -> Gradients:
    """Of the mean squared error, for embeddings (batch, 1 + factors); a span of 0 means no sigmoid."""
    score = product(mine, theirs, bias)
    if span:
        share = torch.sigmoid(score)
        error = low + span * share - y
        slope = error * (2 / len(y)) * span * share * (1 - share)
    else:
        error = low + score - y
        slope = error * (2 / len(y))
    slope = slope[:, None]
    grads = [slope * theirs, slope * mine]
    for part in grads:
        part[:, 0] = slope[:, 0] if bias else 0
    return error.square().sum(), grads[0], grads[1]


def batch_step(
    rows: Rows,
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    at: Moment,
    schedule: Schedule,
    gradients: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Gradients],
) -> torch.Tensor:
    """One step on a batch of rows of users, rows of items and ratings; returns the sum of squared errors."""
    ids, size = torch.cat(batch[:2]), len(batch[2])
    if rows.whole:
        values = rows.values[ids]
        squared, mine, theirs = gradients(values[:size], values[size:], batch[2])
        rows.step_whole(ids, torch.cat([mine, theirs]), at)
        return squared
    unique, inverse = torch.unique(ids, return_inverse=True)
    fetched = rows.fetch(unique, at.step - 1, schedule)
    values = fetched[0][inverse]
    squared, mine, theirs = gradients(values[:size], values[size:], batch[2])
    summed = torch.zeros_like(fetched[0]).index_add_(0, inverse, torch.cat([mine, theirs]))
    rows.step(unique, fetched, summed, at)
    return squared
