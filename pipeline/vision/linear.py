"""The probe's arithmetic: linear layers fitted by scikit-learn to features of a frozen body.

Each target is fitted alone: a class by logistic regression, tags by one each, a number by ridge regression. The
penalty is the one of `PENALTIES` that does best on a quarter of the images held out; then all are fitted. Rows of
features are the images in their order, then their other views in the same: `copies` of each image in all.
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


Fit = Callable[[np.ndarray, np.ndarray, float], Linear]
Loss = Callable[[np.ndarray, np.ndarray], float]  # of raw outputs (n, width) and labels: less is better


def fit_classes(features: np.ndarray, codes: np.ndarray, width: int, seed: int, copies: int = 1) -> Linear:
    """For one class a row: `codes` (n,) from 0; raw outputs are logits of a softmax."""
    return _standardised(features, codes, lambda x, y, c: _of_classes(x, y, c, width), _class_loss, seed, copies)


def fit_tags(features: np.ndarray, tags: np.ndarray, seed: int, copies: int = 1) -> Linear:
    """For tags: `tags` (n, width) of 0 and 1; raw outputs are logits, each of its own tag."""
    return _standardised(features, tags, _of_tags, _tag_loss, seed, copies)


def fit_numbers(features: np.ndarray, numbers: np.ndarray, seed: int, copies: int = 1) -> Linear:
    """For numbers (n,): raw outputs are numbers of the same unit."""
    return _standardised(features, numbers, _of_numbers, _number_loss, seed, copies)


def _standardised(features: np.ndarray, labels: np.ndarray, fit: Fit, loss: Loss, seed: int, copies: int) -> Linear:
    """The layer for features as they are, fitted to standardised ones with the best of the penalties."""
    center, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 0, scale, 1)
    x = (features - center) / scale
    weight, bias = fit(x, labels, _best(x, labels, fit, loss, seed, copies))
    return Linear(weight / scale, bias - (weight / scale) @ center)


def _best(x: np.ndarray, labels: np.ndarray, fit: Fit, loss: Loss, seed: int, copies: int) -> float:
    """The penalty with the least loss on held-out images; the strongest where there are too few to tell."""
    images = len(x) // copies
    if images < FEWEST:
        return PENALTIES[0]
    held = np.tile(np.random.default_rng(seed).permutation(images) < images // HELD_OUT, copies)
    kept = ~held
    losses = []
    for penalty in PENALTIES:
        weight, bias = fit(x[kept], labels[kept], penalty)
        losses.append(loss(x[held] @ weight.T + bias, labels[held]))
    return PENALTIES[int(np.argmin(losses))]


def _of_classes(x: np.ndarray, codes: np.ndarray, penalty: float, width: int) -> Linear:
    weight, bias = np.zeros((width, x.shape[1])), np.full(width, ABSENT)
    present = np.unique(codes)
    if len(present) == 1:
        bias[present] = 0
        return Linear(weight, bias)
    model = _logistic(x, codes, penalty)
    if len(present) == 2:  # scikit-learn's one row says the second against the first
        weight[present], bias[present] = (
            np.array([[-0.5], [0.5]]) * model.coef_,
            np.array([-0.5, 0.5]) * model.intercept_,
        )
    else:
        weight[present], bias[present] = model.coef_, model.intercept_
    return Linear(weight, bias)


def _of_tags(x: np.ndarray, tags: np.ndarray, penalty: float) -> Linear:
    weight, bias = np.zeros((tags.shape[1], x.shape[1])), np.zeros(tags.shape[1])
    for number, own in enumerate(tags.T):
        if own.min() == own.max():
            bias[number] = ABSENT if own[0] == 0 else -ABSENT
            continue
        model = _logistic(x, own, penalty)
        weight[number], bias[number] = model.coef_[0], np.ravel(model.intercept_)[0]
    return Linear(weight, bias)


def _of_numbers(x: np.ndarray, numbers: np.ndarray, penalty: float) -> Linear:
    model = Ridge(alpha=1 / penalty).fit(x, numbers)
    return Linear(np.asarray(model.coef_).reshape(1, -1), np.asarray(model.intercept_).reshape(1))


def _logistic(x: np.ndarray, labels: np.ndarray, penalty: float) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough: training or a blend goes on from here
        return LogisticRegression(C=penalty, max_iter=200).fit(x, labels)


def _class_loss(raw: np.ndarray, codes: np.ndarray) -> float:
    shifted = raw - raw.max(axis=1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(raw)), codes.astype(int)]).mean())


def _tag_loss(raw: np.ndarray, tags: np.ndarray) -> float:
    return float((np.logaddexp(0, raw) - raw * tags).mean())


def _number_loss(raw: np.ndarray, numbers: np.ndarray) -> float:
    return float(((raw[:, 0] - numbers) ** 2).mean())
