"""Matrix factorisation drawn from its posterior: one Gibbs sweep after another, whole sides at a time.

The model is y = p_u . q_i + biases + moods (+ noise), or an ordered probit of it. Its parts are known as Bayesian
probabilistic matrix factorisation (Salakhutdinov and Mnih 2008), with side information in the prior means as in
Macau (Simm et al. 2017), where features and implicit feedback enter through kernels that are decomposed once.
Factors of a row are drawn one coordinate after the other, all rows at once, from their precomputed Gram matrix.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags, sparray, spmatrix
from scipy.sparse.linalg import svds

from pipeline.collab.fitting.factors import product

State = dict[str, torch.Tensor]
SMALLEST_BUCKET = 8
FAR = 40.0  # a cutpoint beyond all others, in standard deviations


@dataclass(frozen=True)
class Group:
    """Rows that share an effect of their own, such as all of a user on one day: numbers (n,) and how many."""

    of: torch.Tensor
    count: torch.Tensor


@dataclass(frozen=True)
class Side:
    """Users or items: `of` (n,) the inner id of each rating, `buckets` the ratings of each row, padded."""

    name: str
    of: torch.Tensor
    rows: int
    kernels: tuple[tuple[torch.Tensor, torch.Tensor], ...] = ()  # eigenvectors (rows, rank), eigenvalues (rank,)
    buckets: tuple[tuple[torch.Tensor, torch.Tensor], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "buckets", _buckets(self.of.numpy(), self.rows))


@dataclass(frozen=True)
class Observed:
    """What is drawn from: both sides, the ratings (n,) centred or as level numbers from 0, groups."""

    user: Side
    item: Side
    y: torch.Tensor
    groups: tuple[Group, ...]
    levels: int = 0  # of an ordered probit; 0 for numbers


def start(seen: Observed, factors: int, rng: torch.Generator) -> State:
    """Small random factors, everything else at its prior."""
    width = factors + 1  # the bias is the first coordinate
    state: State = {"alpha": torch.ones(())}
    for side in (seen.user, seen.item):
        drawn = torch.randn(side.rows, width, generator=rng) * 0.1
        drawn[:, 0] = 0
        state[side.name] = drawn
        state[f"{side.name}.mean"], state[f"{side.name}.precision"] = torch.zeros(width), torch.full((width,), 10.0)
        for number in range(len(side.kernels)):
            state[f"{side.name}.kernel{number}"] = torch.zeros(side.rows, width)
            state[f"{side.name}.scale{number}"] = torch.ones(width)
    for number, group in enumerate(seen.groups):
        state[f"group{number}"], state[f"group{number}.precision"] = torch.zeros(len(group.count)), torch.tensor(10.0)
    if seen.levels:
        below = torch.stack([(seen.y <= level).float().mean() for level in range(seen.levels - 1)])
        state["cuts"] = torch.special.ndtri(below) * 1.3
    return state


def sweep(state: State, seen: Observed, rng: torch.Generator) -> None:
    """Draw every part of the state once, in place, given all others."""
    fitted = fitted_of(state, seen)
    if seen.levels:
        _draw_cuts(state, seen, fitted, rng)
        y = _draw_latent(state, seen, fitted, rng)
    else:
        y = seen.y
    rest = y - fitted
    for number, group in enumerate(seen.groups):
        rest = _draw_group(state, f"group{number}", group, rest, rng)
    for side in (seen.user, seen.item):
        _draw_prior(state, side, rng)
    for side, other in ((seen.user, seen.item), (seen.item, seen.user)):
        theirs = state[other.name][other.of]
        rest = rest + product(state[side.name][side.of], theirs)
        # The other side's bias is theirs alone: it stays subtracted while this side is drawn.
        _draw_rows(state, side, theirs, rest - theirs[:, 0], rng)
        rest = rest - product(state[side.name][side.of], theirs)
    if not seen.levels:
        state["alpha"] = _gamma(0.5 * len(rest) + 1, 0.5 * rest.square().sum() + 1, rng)


def kernel_of(features: np.ndarray | spmatrix | sparray, largest: int = 3000) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvectors and eigenvalues of X X' for features (rows, any); for many rows only the strongest.

    Each row is scaled to length 1 first, so that a long history does not count for more than a short one.
    """
    sparse = csr_matrix(features, dtype=np.float64)
    length = np.sqrt(np.asarray(sparse.multiply(sparse).sum(axis=1)).ravel())
    scaled = diags(1 / np.maximum(length, 1e-9)) @ sparse
    if scaled.shape[0] <= largest:
        gram = torch.tensor(cast(csr_matrix, scaled @ scaled.T).toarray())
        values, vectors = (part.numpy() for part in torch.linalg.eigh(gram))
    else:
        rank = min(128, min(scaled.shape) - 1)
        vectors, singular = (np.asarray(part) for part in svds(scaled, k=rank, v0=np.ones(min(scaled.shape)))[:2])
        values = singular**2
    kept = values > 1e-6 * values.max()
    return torch.tensor(vectors[:, kept], dtype=torch.float32), torch.tensor(values[kept], dtype=torch.float32)


def residuals(state: State, seen: Observed, levels: torch.Tensor) -> torch.Tensor:
    """What the current draw leaves of each rating (n,); `levels` are the ratings of an ordered probit."""
    fitted = fitted_of(state, seen)
    if not seen.levels:
        return seen.y - fitted
    expected = levels[0] + torch.special.ndtr(fitted[:, None] - state["cuts"]) @ levels.diff()
    return levels[seen.y] - expected


def fitted_of(state: State, seen: Observed) -> torch.Tensor:
    """The model's score of each rating (n,)."""
    fitted = product(state["user"][seen.user.of], state["item"][seen.item.of])
    for number, group in enumerate(seen.groups):
        fitted = fitted + state[f"group{number}"][group.of]
    return fitted


def _draw_group(state: State, name: str, group: Group, rest: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    rest = rest + state[name][group.of]
    precision = state[f"{name}.precision"] + state["alpha"] * group.count
    total = torch.zeros_like(group.count).index_add_(0, group.of, rest)
    drawn = state["alpha"] * total / precision + _normal(precision.shape, rng) / precision.sqrt()
    state[name] = drawn
    state[f"{name}.precision"] = _gamma(0.5 * len(drawn) + 1, 0.5 * drawn.square().sum() + 0.1, rng)
    return rest - drawn[group.of]


def _draw_prior(state: State, side: Side, rng: torch.Generator) -> None:
    """Mean and precision of each coordinate, then what the kernels explain of the rows."""
    name, rows = side.name, side.rows
    alone = state[name] - _explained(state, side)
    mean = alone.sum(0) / (rows + 1) + _normal(alone.shape[1:], rng) / (state[f"{name}.precision"] * (rows + 1)).sqrt()
    spread = (alone - mean).square().sum(0) + mean.square()
    precision = _gamma(0.5 * (rows + 1) + 1, 0.5 * spread + 0.5, rng)
    state[f"{name}.mean"], state[f"{name}.precision"] = mean, precision
    for number, (vectors, values) in enumerate(side.kernels):
        key = f"{name}.kernel{number}"
        others = _explained(state, side) - state[key]
        turned = vectors.T @ (state[name] - mean - others)
        share = values[:, None] / (values[:, None] + state[f"{name}.scale{number}"])
        drawn = share * turned + (share / precision).sqrt() * _normal(turned.shape, rng)
        state[key] = vectors @ drawn
        weight = (drawn.square() * precision / values[:, None]).sum(0)
        state[f"{name}.scale{number}"] = _gamma(0.5 * len(values) + 1, 0.5 * weight + 1, rng)


def _explained(state: State, side: Side) -> torch.Tensor:
    total = torch.zeros_like(state[side.name])
    for number in range(len(side.kernels)):
        total = total + state[f"{side.name}.kernel{number}"]
    return total


def _draw_rows(state: State, side: Side, theirs: torch.Tensor, rest: torch.Tensor, rng: torch.Generator) -> None:
    """Every row's bias and factors: one coordinate at a time given the others, all rows of a bucket at once."""
    alpha, precision = state["alpha"], state[f"{side.name}.precision"]
    prior = precision * (state[f"{side.name}.mean"] + _explained(state, side))
    design = torch.cat([theirs, theirs.new_zeros(1, theirs.shape[1])])  # the row behind all others pads
    design[:-1, 0] = 1
    rest = torch.cat([rest, rest.new_zeros(1)])
    for rows, ratings in side.buckets:
        own = design[ratings]
        gram = torch.bmm(own.transpose(1, 2), own) * alpha
        gram.diagonal(dim1=1, dim2=2).add_(precision)
        pull = torch.bmm(own.transpose(1, 2), rest[ratings].unsqueeze(2)).squeeze(2) * alpha + prior[rows]
        # Coordinates first, rows behind: the inner loop then reads memory in order.
        gram, pull = gram.permute(1, 2, 0).contiguous(), pull.t().contiguous()
        drawn = state[side.name][rows].t().contiguous()
        variance = 1 / gram.diagonal(dim1=0, dim2=1).t()
        noise = _normal(drawn.shape, rng) * variance.sqrt()
        for k in range(len(drawn)):
            drawn[k] += (pull[k] - (gram[k] * drawn).sum(0)) * variance[k] + noise[k]
        state[side.name][rows] = drawn.t()


def _bounds(cuts: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    ends = torch.cat([cuts.new_tensor([-FAR]), cuts, cuts.new_tensor([FAR])])
    return ends[y], ends[y + 1]


def _draw_cuts(state: State, seen: Observed, fitted: torch.Tensor, rng: torch.Generator) -> None:
    """A Metropolis step on the cutpoints with the latent values integrated out (Cowles 1996)."""
    proposed = state["cuts"] + _normal(state["cuts"].shape, rng) * (1.1 / len(seen.y) ** 0.5)
    threshold = torch.rand((), generator=rng).log()
    if bool((proposed.diff() > 0).all()):
        gained = _log_likelihood(proposed, seen.y, fitted) - _log_likelihood(state["cuts"], seen.y, fitted)
        if threshold < gained:
            state["cuts"] = proposed


def _log_likelihood(cuts: torch.Tensor, y: torch.Tensor, fitted: torch.Tensor) -> torch.Tensor:
    low, high = _bounds(cuts, y)
    share = torch.special.ndtr((high - fitted).double()) - torch.special.ndtr((low - fitted).double())
    return share.clamp_min(1e-300).log().sum()


def _draw_latent(state: State, seen: Observed, fitted: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """The value behind each rated level: a normal around what is fitted, cut off at the level's bounds."""
    low, high = _bounds(state["cuts"], seen.y)
    below, above = torch.special.ndtr((low - fitted).double()), torch.special.ndtr((high - fitted).double())
    uniform = torch.rand(len(seen.y), generator=rng, dtype=torch.float64)
    place = (below + (above - below) * uniform).clamp(1e-12, 1 - 1e-12)
    return fitted + torch.special.ndtri(place).float()


def _normal(shape: Sequence[int], rng: torch.Generator) -> torch.Tensor:
    return torch.randn(tuple(shape), generator=rng)


def _gamma(shape: float, rate: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    # torch's public Gamma takes no generator.
    return torch._standard_gamma(torch.full_like(rate, shape), generator=rng) / rate  # pyright: ignore[reportPrivateImportUsage]


def _buckets(of: np.ndarray, rows: int) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    """Rows of about equally many ratings together: their numbers, and (rows, length) numbers of ratings.

    Lengths are powers of two; a place without a rating holds n, the number behind the last. Rows without any
    rating are in the smallest bucket: they are drawn from the prior.
    """
    order = np.argsort(of, kind="stable")
    counts = np.bincount(of, minlength=rows)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    lengths = np.maximum(SMALLEST_BUCKET, 2 ** np.ceil(np.log2(np.maximum(counts, 1)))).astype(int)
    made = []
    for length in np.unique(lengths):
        members = np.flatnonzero(lengths == length)
        inside = np.arange(length)[None] < counts[members][:, None]
        place = np.minimum(first[members][:, None] + np.arange(length)[None], len(of) - 1)
        made.append((torch.tensor(members), torch.tensor(np.where(inside, order[place], len(of)))))
    return tuple(made)
