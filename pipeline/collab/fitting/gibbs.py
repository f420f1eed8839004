"""Matrix factorisation drawn from its posterior: some of the draws, evenly spread, are the model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_matrix

from pipeline.collab.algorithms.base import Algorithm, Features, Learned, Tell
from pipeline.collab.algorithms.gibbs import BURN_IN, MOST_LEVELS, GibbsSettings
from pipeline.collab.checkpoint import Keeper
from pipeline.collab.fitting import sampler
from pipeline.collab.fitting.factors import product, with_mean
from pipeline.collab.fitting.ridge import ROUNDS, ridge, score_of
from pipeline.collab.observations import Observations
from pipeline.collab.randomness import generator
from pipeline.errors import RequestError, WorkFailed

PERIODS = (86400, 1)  # seconds: a user's mood of a day, and of a moment (films rated on one page)
PERIOD_BITS = 40  # a mood's key: the user's inner id above the number of the period
SAMPLES = 80  # kept of a model
LOOK_EVERY = 10  # sweeps between two looks at the error on the training rows


class Gibbs(Algorithm[GibbsSettings]):
    """Tensors `user` and `item` are (samples, rows + 1, 1 + factors): the bias in front, the mean row behind.

    Beside them `cuts` (samples, levels - 1) of an ordered probit, and of each kind of mood its effects `group0`
    (samples, moods) and `group0.keys` (moods,).
    """

    def fit(
        self,
        seen: Observations,
        settings: GibbsSettings,
        seed: tuple[object, ...],
        features: Features,
        keeper: Keeper,
        tell: Tell,
    ) -> Learned:
        levels, center = _levels(seen, settings), float(seen.rating.mean())
        moods = _moods_of(seen, settings)
        observed = _observed(seen, settings, features, moods, levels, center)
        names = ["user", "item", *[f"group{n}" for n in range(len(moods))], *(["cuts"] if settings.ordinal else [])]
        chosen = _evenly(settings.epochs)
        state, samples, done = sampler.start(observed, settings.factors, generator(*seed, "start")), [], 0
        kept = keeper.restore()
        if kept:
            done, tensors = kept
            state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
            many = sum(number < done for number in chosen)
            samples = [{name: tensors[f"samples.{name}"][n] for name in names} for n in range(many)]
        for number in range(done, settings.epochs):
            sampler.sweep(state, observed, generator(*seed, number))
            if number in chosen:
                samples.append({name: state[name].clone() for name in names})
            if number % LOOK_EVERY == 0 or number == settings.epochs - 1:
                tell(number, _finite_rmse(sampler.residuals(state, observed, levels), settings))
            keeper.offer(number + 1, lambda: _held(state, samples, names))
        about: dict[str, Any] = {"periods": list(PERIODS) if settings.time else [], "center": center}
        about["noise"] = float(state["alpha"]) ** -0.5
        about |= {"lowest": float(levels[0]), "highest": float(levels[-1])}
        if settings.ordinal:
            about["levels"] = levels.tolist()
        learned = {name: torch.stack([sample[name] for sample in samples]) for name in names}
        learned |= {name: with_mean(learned[name]) for name in ("user", "item")}
        learned |= {f"group{number}.keys": keys for number, (keys, _) in enumerate(moods)}
        return Learned(learned, about)

    def predict(
        self, learned: Learned, users: torch.Tensor, items: torch.Tensor, times: torch.Tensor | None
    ) -> torch.Tensor:
        """The mean over the samples, float64."""
        total = torch.zeros(len(users), dtype=torch.float64)
        moods = _met(learned, users, times)
        samples = len(learned.tensors["user"])
        for number in range(samples):
            score = product(learned.tensors["user"][number][users], learned.tensors["item"][number][items])
            for name, place, known in moods:
                score = score + learned.tensors[name][number][place] * known
            total += expected(learned, score, number)
        return total / samples

    def fold_in(self, learned: Learned, items: torch.Tensor, ratings: torch.Tensor) -> dict[str, torch.Tensor]:
        """In each sample the most probable row given the ratings, with the spread of all users for a prior."""
        rows = learned.tensors["user"].clone()
        for number in range(len(rows)):
            rows[number, -1] = _solve(learned, number, rows[number], items, ratings)
        return {"user": rows}

    def item_rows(self, learned: Learned) -> tuple[np.ndarray, np.ndarray]:
        """Biases as the mean over the samples; factors, which turn from sample to sample, of the last one."""
        rows = learned.tensors["item"]
        return rows.mean(0)[:, 0].numpy(), rows[-1][:, 1:].numpy()


def expected(learned: Learned, score: torch.Tensor, sample: int) -> torch.Tensor:
    """The rating that a sample's score (n,) stands for."""
    if "cuts" not in learned.tensors:
        return (score + learned.about["center"]).clamp(learned.about["lowest"], learned.about["highest"])
    levels = torch.tensor(learned.about["levels"])
    above = torch.special.ndtr(score[:, None] - learned.tensors["cuts"][sample])
    return levels[0] + above @ levels.diff()


def _observed(
    seen: Observations,
    settings: GibbsSettings,
    features: Features,
    moods: Sequence[tuple[torch.Tensor, sampler.Group]],
    levels: torch.Tensor,
    center: float,
) -> sampler.Observed:
    """What the sampler draws from."""
    return sampler.Observed(
        sampler.Side("user", seen.user, len(seen.users.raw), _kernels(seen, settings, features[0], "user")),
        sampler.Side("item", seen.item, len(seen.items.raw), _kernels(seen, settings, features[1], "item")),
        torch.searchsorted(levels, seen.rating) if settings.ordinal else seen.rating - center,
        tuple(group for _, group in moods),
        len(levels) if settings.ordinal else 0,
    )


def _moods_of(seen: Observations, settings: GibbsSettings) -> list[tuple[torch.Tensor, sampler.Group]]:
    """Of each kind of mood the keys that were met (moods,), ascending, and which of them each rating is in."""
    found = []
    for width in PERIODS if settings.time else ():
        keys, of, count = torch.unique(_keys(seen.user, seen.time, width), return_inverse=True, return_counts=True)
        found.append((keys, sampler.Group(of, count.float())))
    return found


def _keys(users: torch.Tensor, times: torch.Tensor, width: int) -> torch.Tensor:
    """What a user's ratings of one period (width in seconds) share."""
    return (users << PERIOD_BITS) + times.div(width, rounding_mode="floor")


def _met(
    learned: Learned, users: torch.Tensor, times: torch.Tensor | None
) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Each kind of mood: its tensor's name, each row's place in it, and whether it was met in training."""
    found = []
    for number, width in enumerate(learned.about.get("periods", [])):
        keys = learned.tensors[f"group{number}.keys"]
        if times is None or not len(keys):
            continue
        wanted = _keys(users, times, width)
        place = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
        found.append((f"group{number}", place, (keys[place] == wanted).float()))
    return found


def _held(state: sampler.State, samples: Sequence[sampler.State], names: Sequence[str]) -> dict[str, torch.Tensor]:
    held = {f"state.{key}": value for key, value in state.items()}
    if samples:
        held |= {f"samples.{name}": torch.stack([sample[name] for sample in samples]) for name in names}
    return held


def _evenly(sweeps: int) -> set[int]:
    """The sweeps whose draws are kept."""
    many = min(SAMPLES, sweeps - BURN_IN)
    return {sweeps - 1 - (number * (sweeps - BURN_IN)) // many for number in range(many)}


def _kernels(
    seen: Observations, settings: GibbsSettings, features: np.ndarray | None, name: str
) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    made = []
    if settings.implicit:
        shape = (len(seen.users.raw), len(seen.items.raw))
        pairs = coo_matrix((np.ones(len(seen)), (seen.user.numpy(), seen.item.numpy())), shape=shape).tocsr()
        made.append(sampler.kernel_of(pairs if name == "user" else pairs.T.tocsr()))
    if settings.side and features is not None:
        made.append(sampler.kernel_of(features))
    return tuple(made)


def _levels(seen: Observations, settings: GibbsSettings) -> torch.Tensor:
    """The different ratings, ascending. Raises RequestError where there are too many, or too few, for steps."""
    levels = torch.unique(seen.rating)
    if settings.ordinal and not 2 <= len(levels) <= MOST_LEVELS:
        raise RequestError(
            f"model {settings.name!r}: ordinal = true needs 2 to {MOST_LEVELS} different ratings, and there are "
            f"{len(levels)}; take it out"
        )
    return levels


def _finite_rmse(residuals: torch.Tensor, settings: GibbsSettings) -> float:
    rmse = float(residuals.square().mean().sqrt())
    if not np.isfinite(rmse):
        raise WorkFailed(
            f"model {settings.name!r}: the error is {rmse}; lower its factors ({settings.factors}) and train again"
        )
    return rmse


def _solve(learned: Learned, number: int, rows: torch.Tensor, items: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
    """Somebody's row in a sample, for what they said of these items."""
    theirs = learned.tensors["item"][number][items]
    if "cuts" not in learned.tensors:
        return ridge(rows, theirs, said - learned.about["center"], torch.full_like(said, learned.about["noise"] ** -2))
    cuts, levels = learned.tensors["cuts"][number], torch.tensor(learned.about["levels"])
    level = (said[:, None] - levels).abs().argmin(1)
    ends = torch.cat([cuts.new_tensor([-sampler.FAR]), cuts, cuts.new_tensor([sampler.FAR])])
    row = rows[-1]
    for _ in range(ROUNDS):  # the mean of the latent value behind each level, then the row, in turn
        score = score_of(row, theirs)
        below, above = ends[level] - score, ends[level + 1] - score
        density = [torch.exp(-0.5 * bound.square()) / (2 * torch.pi) ** 0.5 for bound in (below, above)]
        inside = (torch.special.ndtr(above) - torch.special.ndtr(below)).clamp_min(1e-6)
        target = score + (density[0] - density[1]) / inside
        row = ridge(rows, theirs, target, torch.ones_like(target))
    return row
