"""The probe's arithmetic: linear layers fitted by scikit-learn to features of a frozen body.

Each target is fitted alone: a class by logistic regression, tags by one each, a number by ridge regression. The
penalty is the one of `PENALTIES` that does best on a quarter of the images held out; then all are fitted. Rows of
features are the images in their order, then their other views in the same: `copies` of each image in all. Rows count as
much as their `weights` (n,) say, all alike without.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, of standardised features: rising, so less and less
HELD_OUT = 4  # one in so many rows
ABSENT = -12.0  # the raw output of a class that no row has: a probability near none
FEWEST = 8  # images below which nothing is held out to choose by


class Linear(NamedTuple):
    """A layer: raw outputs (n, width) are `features @ weight.T + bias`."""

    weight: np.ndarray  # (width, features)
    bias: np.ndarray  # (width,)


Weights = np.ndarray | None
Fit = Callable[[np.ndarray, np.ndarray, float, Weights], Linear]
Loss = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of raw outputs (n, width) and labels, each: less is better


def fit_classes(
    features: np.ndarray, codes: np.ndarray, width: int, seed: int, copies: int = 1, weights: Weights = None
) -> Linear:
    """For one class a row: `codes` (n,) from 0; raw outputs are logits of a softmax."""

    def fit(x: np.ndarray, y: np.ndarray, c: float, w: Weights) -> Linear:
        return _of_classes(x, y, c, width, w)

    return _standardised(features, codes, fit, _class_loss, seed, copies, weights)


def fit_tags(features: np.ndarray, tags: np.ndarray, seed: int, copies: int = 1, weights: Weights = None) -> Linear:
    """For tags: `tags` (n, width) of 0 and 1; raw outputs are logits, each of its own tag."""
    return _standardised(features, tags, _of_tags, _tag_loss, seed, copies, weights)


def fit_numbers(
    features: np.ndarray, numbers: np.ndarray, seed: int, copies: int = 1, weights: Weights = None
) -> Linear:
    """For numbers (n,): raw outputs are numbers of the same unit."""
    return _standardised(features, numbers, _of_numbers, _number_loss, seed, copies, weights)


def _standardised(
    features: np.ndarray, labels: np.ndarray, fit: Fit, loss: Loss, seed: int, copies: int, weights: Weights
) -> Linear:
    """The layer for features as they are, fitted to standardised ones with the best of the penalties."""
    if weights is not None:  # of mean 1, so that a penalty means the same
        counting = weights > 0
        features, labels, weights = features[counting], labels[counting], weights[counting] / weights[counting].mean()
    center, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 0, scale, 1)
    x = (features - center) / scale
    weight, bias = fit(x, labels, _best(x, labels, fit, loss, seed, copies, weights), weights)
    return Linear(weight / scale, bias - (weight / scale) @ center)


def _best(x: np.ndarray, labels: np.ndarray, fit: Fit, loss: Loss, seed: int, copies: int, weights: Weights) -> float:
    """The penalty with the least loss on held-out images; the strongest where there are too few to tell."""
    images = len(x) // copies
    if images < FEWEST:
        return PENALTIES[0]
    held = np.tile(np.random.default_rng(seed).permutation(images) < images // HELD_OUT, copies)
    kept = ~held
    losses = []
    for penalty in PENALTIES:
        weight, bias = fit(x[kept], labels[kept], penalty, None if weights is None else weights[kept])
        each = loss(x[held] @ weight.T + bias, labels[held])
        losses.append(each.mean() if weights is None else (each.T * weights[held]).sum() / weights[held].sum())
    return PENALTIES[int(np.argmin(losses))]


def _of_classes(x: np.ndarray, codes: np.ndarray, penalty: float, width: int, weights: Weights) -> Linear:
    weight, bias = np.zeros((width, x.shape[1])), np.full(width, ABSENT)
    present = np.unique(codes)
    if len(present) == 1:
        bias[present] = 0
        return Linear(weight, bias)
    model = _logistic(x, codes, penalty, weights)
    if len(present) == 2:  # scikit-learn's one row says the second against the first
        weight[present], bias[present] = (
            np.array([[-0.5], [0.5]]) * model.coef_,
            np.array([-0.5, 0.5]) * model.intercept_,
        )
    else:
        weight[present], bias[present] = model.coef_, model.intercept_
    return Linear(weight, bias)


def _of_tags(x: np.ndarray, tags: np.ndarray, penalty: float, weights: Weights) -> Linear:
    weight, bias = np.zeros((tags.shape[1], x.shape[1])), np.zeros(tags.shape[1])
    for number, own in enumerate(tags.T):
        if own.min() == own.max():
            bias[number] = ABSENT if own[0] == 0 else -ABSENT
            continue
        model = _logistic(x, own, penalty, weights)
        weight[number], bias[number] = model.coef_[0], np.ravel(model.intercept_)[0]
    return Linear(weight, bias)


def _of_numbers(x: np.ndarray, numbers: np.ndarray, penalty: float, weights: Weights) -> Linear:
    model = Ridge(alpha=1 / penalty).fit(x, numbers, sample_weight=weights)
    return Linear(np.asarray(model.coef_).reshape(1, -1), np.asarray(model.intercept_).reshape(1))


def _logistic(x: np.ndarray, labels: np.ndarray, penalty: float, weights: Weights) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough: training or a blend goes on from here
        return LogisticRegression(C=penalty, max_iter=200).fit(x, labels, sample_weight=weights)


def _class_loss(raw: np.ndarray, codes: np.ndarray) -> np.ndarray:
    shifted = raw - raw.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(raw)), codes.astype(int)]


def _tag_loss(raw: np.ndarray, tags: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, raw) - raw * tags


def _number_loss(raw: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return (raw[:, 0] - numbers) ** 2
