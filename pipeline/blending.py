"""Four ways to make one prediction of many: mean, weighted, rank, hillclimb; weights come from OOF rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipeline.predictions import Predictions, blend

Gain = Callable[[Predictions], tuple[float, float]]  # (what the leaderboard scores, tie-breaker): more is better
Weights = dict[str, float]
ROUNDS = 25  # of the hill climb: weights come in steps of 1/25


def fit_weights(method: str, members: Mapping[str, Predictions], gain: Gain) -> Weights:
    """Each member's weight (they sum to 1). `members` are OOF predictions of the same rows."""
    names = list(members)
    if method in ("mean", "rank") or len(names) == 1:
        return {name: 1 / len(names) for name in names}
    parts = list(members.values())
    fitted = _hillclimb(parts, gain) if method == "hillclimb" else _simplex(parts, gain)
    return dict(zip(names, fitted.tolist(), strict=True))


def combine(method: str, members: Mapping[str, Predictions], weights: Weights) -> Predictions:
    """The members' blend, joined by id; `rank` blends ranks in place of values."""
    parts = list(members.values())
    if method == "rank":
        parts = [to_ranks(part) for part in parts]
    return blend(parts, [weights[name] for name in members])


def cross_fit(method: str, members: Mapping[str, Predictions], gain: Gain) -> Predictions:
    """The OOF predictions of the ensemble: each fold blended with weights fitted on the other folds.

    Weights fitted on the rows that they are scored on would flatter the ensemble. Of a single fold, fifths of its rows
    stand for folds: no member has seen any of them.
    """
    first = next(iter(members.values()))
    blended = combine(method, members, fit_weights(method, members, gain))
    if method in ("mean", "rank") or len(members) == 1:
        return blended
    values = {spec.name: blended.values[spec.name].copy() for spec in first.specs}
    folds = first.folds
    if len(folds) > 1 and (folds == folds[0]).all():
        folds = np.arange(len(folds)) % 5
    for fold in np.unique(folds):
        inside = folds == fold
        others = {name: part.only(first.ids[~inside]) for name, part in members.items()}
        own = {name: part.only(first.ids[inside]) for name, part in members.items()}
        held_out = combine(method, own, fit_weights(method, others, gain))
        for name, array in values.items():
            array[inside] = held_out.values[name]
    return replace(first, values=values)


def to_ranks(preds: Predictions) -> Predictions:
    """Each class's values replaced by their rank among the rows, from 0 to 1; a target's sum to 1 again."""
    values = {spec.name: spec.target_kind.ranks(preds.values[spec.name]) for spec in preds.specs}
    return replace(preds, values=values)


def _hillclimb(parts: Sequence[Predictions], gain: Gain) -> np.ndarray:
    """Ensemble selection with replacement (Caruana et al. 2004), from the even mean of all members.

    Starting even and not from the best member: with few members, greedy steps from one of them overfit.
    """
    counts = np.ones(len(parts))
    best, best_gain = counts.copy(), gain(blend(parts, counts))
    for _ in range(ROUNDS):
        trials = [counts + step for step in np.eye(len(parts))]
        gains = [gain(blend(parts, trial)) for trial in trials]
        top = max(range(len(parts)), key=gains.__getitem__)
        counts = trials[top]
        if gains[top] > best_gain:
            best, best_gain = counts.copy(), gains[top]
    return best / best.sum()


def _simplex(parts: Sequence[Predictions], gain: Gain) -> np.ndarray:
    """Weights that maximise the smooth tie-breaker (log-likelihood, or minus the squared error)."""
    from scipy.optimize import minimize

    def weights_at(logits: np.ndarray) -> np.ndarray:
        return _softmax(np.append(logits, 0.0))

    free = len(parts) - 1
    # From the even mean with steps of a factor e: the search's own first steps from 0 are 0.00025, which
    # is below its tolerance, so that it would end where it began.
    steps = np.vstack([np.zeros(free), np.eye(free)])
    options = {"initial_simplex": steps, "xatol": 1e-3, "fatol": 1e-6, "maxiter": 400}
    found = minimize(
        lambda logits: -gain(blend(parts, weights_at(logits)))[1],
        steps[0],
        method="Nelder-Mead",
        options=options,
    )
    return weights_at(found.x)


def _softmax(raw: np.ndarray) -> np.ndarray:
    shifted = np.exp(raw - raw.max())
    return shifted / shifted.sum()
