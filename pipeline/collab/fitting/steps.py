"""The loop of gradient steps on embeddings, whatever scores a pair of them."""

import math
from typing import Protocol

import torch

from pipeline.collab.algorithms.base import Learned, Tell
from pipeline.collab.algorithms.sgd import StepSettings
from pipeline.collab.checkpoint import Keeper
from pipeline.collab.fitting.embedding import Gradients, Moment, Rows, Schedule, batch_step
from pipeline.collab.fitting.factors import with_mean
from pipeline.collab.observations import Observations
from pipeline.collab.randomness import generator
from pipeline.errors import RequestError, WorkFailed

WHOLE = 8  # rows for each rating of a batch, up to which the table is stepped as a whole


class Scorer(Protocol):
    """What makes a rating of two embeddings, and learns beside them."""

    @property
    def low(self) -> float:
        """Where ratings start, and by `span` how far they reach, as `span_of` gives it."""
        ...

    @property
    def span(self) -> float: ...

    def gradients(self, mine: torch.Tensor, theirs: torch.Tensor, y: torch.Tensor) -> Gradients:
        """Of a batch's embeddings; what it has of its own it steps itself."""
        ...

    def set_rate(self, rate: float) -> None: ...

    def weights(self) -> dict[str, torch.Tensor]:
        """What it learned."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """What it goes on from after a kill."""
        ...

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take up a state; `tensors` hold the embeddings' too."""
        ...


def fit_steps(
    seen: Observations,
    settings: StepSettings,
    seed: tuple[object, ...],
    keeper: Keeper,
    tell: Tell,
    scorer: Scorer,
) -> Learned:
    """Steps on embeddings, one cycle of the rate over all epochs."""
    per_epoch = math.ceil(len(seen) / settings.batch_size)
    schedule = Schedule.one_cycle(per_epoch * settings.epochs, settings.lr, settings.weight_decay, settings.batch_size)
    users, many = len(seen.users.raw), len(seen.users.raw) + len(seen.items.raw)
    whole = many <= WHOLE * settings.batch_size
    table = Rows(many, settings.factors, generator(*seed, "start"), settings.bias, whole)
    done, rmse = 0, math.nan
    kept = keeper.restore()
    if kept:
        done, tensors = kept
        table.load(tensors)
        scorer.load(tensors)
    for epoch in range(done, settings.epochs):
        order = torch.randperm(len(seen), generator=generator(*seed, epoch), dtype=torch.int64)
        squared = torch.zeros((), dtype=torch.float64)
        for number, batch in enumerate(order.split(settings.batch_size)):
            at = Moment.at(epoch * per_epoch + number + 1, schedule)
            scorer.set_rate(at.rate)
            parts = (seen.user[batch], seen.item[batch] + users, seen.rating[batch])
            squared += batch_step(table, parts, at, schedule, scorer.gradients)
        rmse = math.sqrt(float(squared) / len(seen))
        if not math.isfinite(rmse):
            raise WorkFailed(
                f"model {settings.name!r}: the error is {rmse}; lower its lr ({settings.lr}) and train again"
            )
        tell(epoch, rmse)
        keeper.offer(epoch + 1, lambda: table.tensors() | scorer.state())
    values = table.finish(per_epoch * settings.epochs, schedule)
    learned = {"user": with_mean(values[:users]), "item": with_mean(values[users:])}
    noise = keeper.rows[-1]["train_rmse"] if keeper.rows else rmse
    return Learned(learned | scorer.weights(), {"low": scorer.low, "span": scorer.span, "noise": noise})


def span_of(seen: Observations, settings: StepSettings) -> tuple[float, float]:
    """Where predictions start and how far they reach; a reach of 0 is without a limit.

    From the data: a quarter of its range below and an eighth above, as the course's 0 to 5.5 for 1 to 5. A sigmoid
    comes near its ends only, and a film that few have seen is rather a bad one. Raises RequestError for ratings
    outside of a range that is given.
    """
    if settings.limits is not None:
        low, high = settings.limits
        _refuse_outside(seen, settings, low, high)
        return low, high - low
    if not settings.range:
        return 0.0, 0.0
    lowest, highest = float(seen.rating.min()), float(seen.rating.max())
    reach = (highest - lowest) or 1.0
    return lowest - reach / 4, reach * 11 / 8


def _refuse_outside(seen: Observations, settings: StepSettings, low: float, high: float) -> None:
    outside = torch.nonzero((seen.rating < low) | (seen.rating > high))[:, 0]
    if len(outside):
        row = int(outside[0])
        raise RequestError(
            f"model {settings.name!r}: range = [{low:g}, {high:g}], but {len(outside)} ratings lie outside, for "
            f"example {float(seen.rating[row]):g} of user {seen.users.raw[int(seen.user[row])]!r} for item "
            f"{seen.items.raw[int(seen.item[row])]!r}; widen the range or correct the rows"
        )
