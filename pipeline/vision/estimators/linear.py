"""linear: a weight for each column; logistic regression for classes and tags, ridge regression for numbers."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.settings import Section
from pipeline.vision.estimators import Answers, Arrays, Estimator

YES, NO = np.array(1, dtype=np.uint8), np.array(0, dtype=np.uint8)
RARE = 1e-6  # the probability of a class that no training row has, and of a tag that none or all have
PENALTIES = np.logspace(-2, 4, 13)  # that ridge regression chooses from, by its leave-one-out error


class Linear(Section, frozen=True):
    """`c` is scikit-learn's C of logistic regression: the larger, the larger the weights may become."""

    c: Annotated[float, Field(gt=0)] = 1.0


def fit(inputs: np.ndarray, answers: Answers, options: Linear, seed: int) -> Arrays:
    """{"coef" (d, width), "intercept" (width,), "one" (): whether the outputs exclude each other}."""
    if answers.sort == "number":
        return _ridge(inputs, answers)
    weights = answers.weights
    if answers.sort == "one":
        return _exclusive(inputs, answers.values.argmax(axis=1), answers.width, options, weights)
    columns = [_exclusive(inputs, tag.astype(int), 2, options, weights) for tag in answers.values.T]
    coef = np.stack([own["coef"][:, 1] - own["coef"][:, 0] for own in columns], axis=1)
    return {"coef": coef, "intercept": np.array([np.subtract(*own["intercept"][::-1]) for own in columns]), "one": NO}


def predict(arrays: Arrays, inputs: np.ndarray) -> np.ndarray:
    scores = inputs @ arrays["coef"] + arrays["intercept"]
    return log_shares(scores) if arrays["one"] else scores


def log_shares(scores: np.ndarray) -> np.ndarray:
    """Logarithms of what softmax makes of scores (n, width)."""
    top = scores.max(axis=1, keepdims=True)
    return scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))


def _exclusive(
    inputs: np.ndarray, codes: np.ndarray, width: int, options: Linear, weights: np.ndarray | None
) -> dict[str, np.ndarray]:
    from sklearn.linear_model import LogisticRegression

    coef, intercept = np.zeros((inputs.shape[1], width)), np.full(width, np.log(RARE))
    found = np.unique(codes)
    if len(found) == 1:
        intercept[found] = 0.0
        return {"coef": coef, "intercept": intercept, "one": YES}
    fitted = LogisticRegression(C=options.c, max_iter=2000).fit(inputs, codes, sample_weight=weights)
    if len(found) == 2:  # scikit-learn keeps the weights of the second of two classes alone
        coef[:, found[1]], intercept[found] = fitted.coef_[0], (0.0, fitted.intercept_[0])
    else:
        coef[:, found], intercept[found] = fitted.coef_.T, fitted.intercept_
    return {"coef": coef, "intercept": intercept, "one": YES}


def _ridge(inputs: np.ndarray, answers: Answers) -> Arrays:
    from sklearn.linear_model import RidgeCV

    fitted = RidgeCV(alphas=PENALTIES).fit(inputs, answers.values, sample_weight=answers.weights)
    coef = np.asarray(fitted.coef_).reshape(answers.width, -1).T
    return {"coef": coef, "intercept": np.atleast_1d(fitted.intercept_), "one": NO}


ENTRY = Estimator(fit, predict, Linear)
