"""Fitting rating models: inner ids and ratings in, a trained model out; taken up again after a kill."""

import json
import math
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pipeline.collab import gibbs
from pipeline.collab.config import BURN_IN, RatingsModel
from pipeline.collab.embedding import Moment, Rows, Schedule, batch_step, dot_gradients
from pipeline.collab.model import Trained, mood_keys, one_thread, with_mean
from pipeline.collab.network import build_layers, network_gradients
from pipeline.collab.ratings import Ids
from pipeline.errors import RequestError, WorkFailed
from pipeline.workspace import write_with

KEEP_EVERY = 1.0  # seconds between checkpoints at least; a fit is often over before the first
PERIODS = (86400, 1)  # seconds: a user's mood of a day, and of a moment (films rated on one page)
WHOLE = 8  # rows for each rating of a batch, up to which the table is stepped as a whole
SAMPLES = 80  # kept of a gibbs model
LOOK_EVERY = 10  # sweeps between two looks at the error on the training rows
MOST_LEVELS = 20  # of an ordered probit
Features = tuple[np.ndarray | None, np.ndarray | None]  # (rows, any) of users and items, in the order of inner ids
Tell = Callable[[int, float], None]  # (epoch or sweep, RMSE on the training rows)


@dataclass(frozen=True)
class Observations:
    """Training rows with raw ids resolved: all (n,)."""

    users: Ids
    items: Ids
    user: torch.Tensor
    item: torch.Tensor
    rating: torch.Tensor
    time: torch.Tensor

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "Observations":
        """From a table with the columns user, item, rating and timestamp."""
        users, items = Ids.of(rows["user"]), Ids.of(rows["item"])
        return cls(
            users,
            items,
            torch.tensor(users.inner(rows["user"])),
            torch.tensor(items.inner(rows["item"])),
            torch.tensor(rows["rating"].to_numpy(dtype=np.float32)),
            torch.tensor(rows["timestamp"].to_numpy(dtype=np.int64)),
        )

    def __len__(self) -> int:
        return len(self.rating)


@dataclass
class Keeper:
    """Checkpoints of a fit: tensors and a JSON of what else; only those of the same fit are taken up."""

    path: Path | None = None
    identity: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)  # the history so far travels along
    saved: float = field(default_factory=time.monotonic)
    resumed: int = 0  # epochs or sweeps that were done before

    def restore(self) -> tuple[int, dict[str, torch.Tensor]] | None:
        """(steps done, tensors) of the last checkpoint; None if there is none that fits."""
        if self.path is None:
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                about = json.loads(file.metadata()["about"])
                if about["identity"] != self.identity:
                    return None
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except Exception:  # noqa: BLE001 - absent or torn in any way: the fit starts again
            return None
        self.rows[:], self.resumed = about["rows"], about["done"]
        return about["done"], tensors

    def offer(self, done: int, tensors: Callable[[], dict[str, torch.Tensor]]) -> None:
        """Keep where a fit is, if the last time is long enough ago."""
        if self.path is None or time.monotonic() - self.saved < KEEP_EVERY:
            return
        about = json.dumps({"identity": self.identity, "rows": self.rows, "done": done})
        held = {key: value.clone().contiguous() for key, value in tensors().items()}
        write_with(self.path, lambda file: save_file(held, file, metadata={"about": about}))
        self.saved = time.monotonic()


def fit(
    seen: Observations,
    model: RatingsModel,
    seed: tuple[object, ...],
    features: Features = (None, None),
    keeper: Keeper | None = None,
    tell: Tell = lambda epoch, rmse: None,
) -> Trained:
    """Train one model. The same arguments give the same bytes, also when it goes on from a checkpoint."""
    _refuse_outside(seen, model)
    with one_thread(), torch.no_grad():
        fitting = fit_gibbs if model.method == "gibbs" else fit_sgd
        return fitting(seen, model, seed, features, keeper or Keeper(), tell)


def fit_sgd(
    seen: Observations, model: RatingsModel, seed: tuple[object, ...], features: Features, keeper: Keeper, tell: Tell
) -> Trained:
    """Gradient steps on embeddings, one cycle of the rate over all epochs."""
    low, span = span_of(seen, model)
    per_epoch = math.ceil(len(seen) / model.batch_size)
    schedule = Schedule.one_cycle(per_epoch * model.epochs, model.lr, model.weight_decay, model.batch_size)
    users, many = len(seen.users.raw), len(seen.users.raw) + len(seen.items.raw)
    table = Rows(many, model.factors, generator(*seed, "start"), model.bias, many <= WHOLE * model.batch_size)
    network = _Network(model, seed) if model.layers else None
    if network:
        gradients = partial(network.gradients, low=low, span=span)
    else:
        gradients = partial(dot_gradients, low=low, span=span, bias=model.bias)
    done = 0
    kept = keeper.restore()
    if kept:
        done, tensors = kept
        table.load(tensors)
        if network:
            network.load(tensors)

    def tensors() -> dict[str, torch.Tensor]:
        return table.tensors() | (network.state() if network else {})

    for epoch in range(done, model.epochs):
        order = torch.randperm(len(seen), generator=generator(*seed, epoch), dtype=torch.int64)
        squared = torch.zeros((), dtype=torch.float64)
        for number, batch in enumerate(order.split(model.batch_size)):
            at = Moment.at(epoch * per_epoch + number + 1, schedule)
            if network:
                network.set_rate(at.rate)
            parts = (seen.user[batch], seen.item[batch] + users, seen.rating[batch])
            squared += batch_step(table, parts, at, schedule, gradients)
        _tell_finite(tell, epoch, math.sqrt(float(squared) / len(seen)), model)
        keeper.offer(epoch + 1, tensors)
    values = table.finish(per_epoch * model.epochs, schedule)
    learned = {"user": with_mean(values[:users]), "item": with_mean(values[users:])}
    noise = keeper.rows[-1]["train_rmse"] if keeper.rows else math.sqrt(float(squared) / len(seen))
    about = {"method": "network" if network else "dot", "low": low, "span": span, "noise": noise}
    return Trained(seen.users, seen.items, learned | (network.weights() if network else {}), about)


class _Network:
    """The hidden layers and their optimizer."""

    def __init__(self, model: RatingsModel, seed: tuple[object, ...]) -> None:
        torch.manual_seed(_number(*seed, "layers"))
        self.layers = build_layers(model.factors, model.layers)
        decay = model.weight_decay * model.batch_size / 64
        self.optimizer = torch.optim.AdamW(self.layers.parameters(), lr=model.lr, weight_decay=decay, foreach=True)

    def gradients(self, mine: torch.Tensor, theirs: torch.Tensor, y: torch.Tensor, low: float, span: float):
        with torch.enable_grad():
            return network_gradients(self.layers, self.optimizer, mine, theirs, y, low, span)

    def set_rate(self, rate: float) -> None:
        self.optimizer.param_groups[0]["lr"] = rate

    def weights(self) -> dict[str, torch.Tensor]:
        return {f"layers.{key}": value for key, value in self.layers.state_dict().items()}

    def state(self) -> dict[str, torch.Tensor]:
        moments = {
            f"moments.{number}.{key}": value
            for number, state in self.optimizer.state_dict()["state"].items()
            for key, value in state.items()
        }
        return self.weights() | moments

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        own = {k.removeprefix("layers."): v for k, v in tensors.items() if k.startswith("layers.")}
        self.layers.load_state_dict(own)
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("moments."):
                _, number, name = key.split(".")
                state.setdefault(int(number), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})


def fit_gibbs(
    seen: Observations, model: RatingsModel, seed: tuple[object, ...], features: Features, keeper: Keeper, tell: Tell
) -> Trained:
    """Draw from the posterior; some of the draws, evenly spread, are the model."""
    levels, center = _levels(seen, model), float(seen.rating.mean())
    keys = [mood_keys(seen.user, seen.time, width) for width in PERIODS] if model.time else []
    unique = [torch.unique(key, return_inverse=True, return_counts=True) for key in keys]
    observed = gibbs.Observed(
        gibbs.Side("user", seen.user, len(seen.users.raw), _kernels(seen, model, features[0], "user")),
        gibbs.Side("item", seen.item, len(seen.items.raw), _kernels(seen, model, features[1], "item")),
        torch.searchsorted(levels, seen.rating) if model.ordinal else seen.rating - center,
        tuple(gibbs.Group(of, count.float()) for _, of, count in unique),
        len(levels) if model.ordinal else 0,
    )
    names = ["user", "item", *[f"group{n}" for n in range(len(keys))], *(["cuts"] if model.ordinal else [])]
    chosen = _evenly(model.epochs)
    state, samples, done = gibbs.start(observed, model.factors, generator(*seed, "start")), [], 0
    kept = keeper.restore()
    if kept:
        done, tensors = kept
        state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
        many = sum(number < done for number in chosen)
        samples = [{name: tensors[f"samples.{name}"][n] for name in names} for n in range(many)]
    for number in range(done, model.epochs):
        gibbs.sweep(state, observed, generator(*seed, number))
        if number in chosen:
            samples.append({name: state[name].clone() for name in names})
        if number % LOOK_EVERY == 0 or number == model.epochs - 1:
            error = float(gibbs.residuals(state, observed, levels).square().mean().sqrt())
            _tell_finite(tell, number, error, model)
        keeper.offer(number + 1, lambda: _held(state, samples, names))
    about: dict[str, Any] = {"method": "gibbs", "periods": list(PERIODS) if model.time else [], "center": center}
    about["noise"] = float(state["alpha"]) ** -0.5
    about |= {"lowest": float(levels[0]), "highest": float(levels[-1])}
    if model.ordinal:
        about["levels"] = levels.tolist()
    learned = {name: torch.stack([sample[name] for sample in samples]) for name in names}
    learned |= {name: with_mean(learned[name]) for name in ("user", "item")}
    learned |= {f"group{number}.keys": known for number, (known, _, _) in enumerate(unique)}
    return Trained(seen.users, seen.items, learned, about)


def _held(state: gibbs.State, samples: Sequence[gibbs.State], names: Sequence[str]) -> dict[str, torch.Tensor]:
    held = {f"state.{key}": value for key, value in state.items()}
    if samples:
        held |= {f"samples.{name}": torch.stack([sample[name] for sample in samples]) for name in names}
    return held


def _evenly(sweeps: int) -> set[int]:
    """The sweeps whose draws are kept."""
    many = min(SAMPLES, sweeps - BURN_IN)
    return {sweeps - 1 - (number * (sweeps - BURN_IN)) // many for number in range(many)}


def _kernels(seen: Observations, model: RatingsModel, features: np.ndarray | None, name: str):
    made = []
    if model.implicit:
        from scipy.sparse import coo_matrix

        shape = (len(seen.users.raw), len(seen.items.raw))
        pairs = coo_matrix((np.ones(len(seen)), (seen.user.numpy(), seen.item.numpy())), shape=shape).tocsr()
        made.append(gibbs.kernel_of(pairs if name == "user" else pairs.T.tocsr()))
    if model.side and features is not None:
        made.append(gibbs.kernel_of(features))
    return tuple(made)


def _levels(seen: Observations, model: RatingsModel) -> torch.Tensor:
    levels = torch.unique(seen.rating)
    if model.ordinal and not 2 <= len(levels) <= MOST_LEVELS:
        raise RequestError(
            f"model {model.name!r}: ordinal = true needs 2 to {MOST_LEVELS} different ratings, and there are "
            f"{len(levels)}; take it out"
        )
    return levels


def span_of(seen: Observations, model: RatingsModel) -> tuple[float, float]:
    """Where predictions start and how far they reach; a reach of 0 is without a limit.

    From the data: a quarter of its range below and an eighth above, as the course's 0 to 5.5 for 1 to 5. A sigmoid
    comes near its ends only, and a film that few have seen is rather a bad one.
    """
    if model.range is False:
        return 0.0, 0.0
    if model.range is True:
        lowest, highest = float(seen.rating.min()), float(seen.rating.max())
        reach = (highest - lowest) or 1.0
        return lowest - reach / 4, reach * 11 / 8
    return model.range[0], model.range[1] - model.range[0]


def _refuse_outside(seen: Observations, model: RatingsModel) -> None:
    if isinstance(model.range, list):
        low, high = model.range
        outside = torch.nonzero((seen.rating < low) | (seen.rating > high))[:, 0]
        if len(outside):
            row = int(outside[0])
            raise RequestError(
                f"model {model.name!r}: range = [{low:g}, {high:g}], but {len(outside)} ratings lie outside, for "
                f"example {float(seen.rating[row]):g} of user {seen.users.raw[int(seen.user[row])]!r} for item "
                f"{seen.items.raw[int(seen.item[row])]!r}; widen the range or correct the rows"
            )


def _tell_finite(tell: Tell, epoch: int, rmse: float, model: RatingsModel) -> None:
    if not math.isfinite(rmse):
        raise WorkFailed(f"model {model.name!r}: the error is {rmse}; lower its lr ({model.lr}) and train again")
    tell(epoch, rmse)


def generator(*parts: object) -> torch.Generator:
    """Randomness that is named by anything printable: the same parts give the same numbers."""
    return torch.Generator().manual_seed(_number(*parts))


def _number(*parts: object) -> int:
    return zlib.crc32(repr(parts).encode())
