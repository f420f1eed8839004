"""boosting: trees that each mend what those before have left over, on binned columns (Friedman 2001; LightGBM 2017)."""

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline.errors import WorkFailed
from pipeline.settings import Section
from pipeline.vision.estimators import Answers, Arrays, Estimator
from pipeline.vision.estimators.linear import RARE, log_shares
from pipeline.vision.estimators.trees import Grown, joined, sums


class Boosting(Section, frozen=True):
    """scikit-learn's HistGradientBoosting: rounds, the step of each, the most leaves of a tree, the least rows of a
    leaf."""

    rounds: Annotated[int, Field(ge=1)] = 100
    lr: Annotated[float, Field(gt=0)] = 0.1
    leaves: Annotated[int, Field(ge=2)] = 31
    leaf: Annotated[int, Field(ge=1)] = 20


def fit(inputs: np.ndarray, answers: Answers, options: Boosting, seed: int) -> Arrays:
    """`joined` trees, and "one" (): whether the outputs exclude each other."""
    trees: list[Grown] = []
    if answers.sort == "one":
        base = _exclusive(inputs, answers, options, seed, trees)
    else:
        base = np.array([_alone(inputs, answers, number, options, seed, trees) for number in range(answers.width)])
    return joined(trees or [_nothing()], base) | {"one": np.array(answers.sort == "one")}


def predict(arrays: Arrays, inputs: np.ndarray) -> np.ndarray:
    scores = sums(arrays, inputs)
    return log_shares(scores) if arrays["one"] else scores


def _exclusive(inputs: np.ndarray, answers: Answers, options: Boosting, seed: int, trees: list[Grown]) -> np.ndarray:
    """Adds trees for classes; returns the base (width,)."""
    codes, base = answers.values.argmax(axis=1), np.full(answers.width, np.log(RARE))
    found = np.unique(codes)
    base[found] = 0.0
    if len(found) > 1:
        fitted = _classifier(options, seed).fit(inputs, codes, sample_weight=answers.weights)
        outputs = found if len(found) > 2 else found[1:]  # of two classes, trees are those of the second alone
        base[outputs] = np.ravel(fitted._baseline_prediction)
        trees += _grown(fitted, outputs.tolist(), inputs)
    return base


def _alone(
    inputs: np.ndarray, answers: Answers, output: int, options: Boosting, seed: int, trees: list[Grown]
) -> float:
    """Adds trees for one tag or number; returns its base."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    truth, number = answers.values[:, output], answers.sort == "number"
    if not number and len(np.unique(truth)) == 1:
        return float(np.log(RARE)) * (-1 if truth[0] else 1)
    fitted: Any = HistGradientBoostingRegressor(**_said(options, seed)) if number else _classifier(options, seed)
    fitted.fit(inputs, truth if number else truth.astype(int), sample_weight=answers.weights)
    trees += _grown(fitted, [output], inputs)
    return float(np.ravel(fitted._baseline_prediction)[0])


def _classifier(options: Boosting, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(**_said(options, seed))


def _said(options: Boosting, seed: int) -> dict[str, Any]:
    """Options by scikit-learn's names. Without early stopping: it would hold rows back, and folds do that already."""
    return {
        "max_iter": options.rounds,
        "learning_rate": options.lr,
        "max_leaf_nodes": options.leaves,
        "min_samples_leaf": options.leaf,
        "early_stopping": False,
        "random_state": seed,
    }


def _grown(fitted: Any, outputs: list[int], inputs: np.ndarray) -> list[Grown]:
    """The trees of each round. scikit-learn promises no place where they are found, so that what they say is compared
    with what it says itself. Raises WorkFailed where it keeps them otherwise.
    """
    trees = []
    try:
        for grown in fitted._predictors:
            for output, tree in zip(outputs, grown, strict=True):
                nodes = tree.nodes
                values, ends = nodes["value"][:, None], nodes["is_leaf"].astype(bool)
                sides = nodes["left"], nodes["right"]
                trees.append(Grown(nodes["feature_idx"], nodes["num_threshold"], *sides, ends, values, output))
        said = fitted._raw_predict(inputs[:100])
        own = sums(joined(trees, np.zeros(max(outputs) + 1)), inputs[:100])[:, outputs] + fitted._baseline_prediction
        same = np.allclose(said.reshape(own.shape), own, atol=1e-6)
    except (AttributeError, KeyError, ValueError, TypeError):
        same = False
    if not same:
        import sklearn

        raise WorkFailed(
            f"table:boosting cannot read the trees of scikit-learn {sklearn.__version__}; take table:forest"
        )
    return trees


def _nothing() -> Grown:
    """A tree that adds nothing."""
    one = np.zeros(1, dtype=np.int64)
    return Grown(one, one.astype(float), one, one, np.ones(1, dtype=bool), np.zeros((1, 1)))


ENTRY = Estimator(fit, predict, Boosting)
