"""forest: the mean of trees that are each grown on rows drawn anew (Breiman 2001)."""

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pipeline.settings import Section
from pipeline.vision.estimators import Answers, Arrays, Estimator
from pipeline.vision.estimators.trees import Grown, joined, sums


class Forest(Section, frozen=True):
    """`leaf` is the least number of rows in a leaf."""

    trees: Annotated[int, Field(ge=1)] = 200
    leaf: Annotated[int, Field(ge=1)] = 2


def fit(inputs: np.ndarray, answers: Answers, options: Forest, seed: int) -> Arrays:
    """`joined` trees, and "floor" (): the least probability. Of 0 and 1 the squared error grows what Gini's measure
    does, for all classes in one tree.
    """
    from sklearn.ensemble import RandomForestRegressor

    number = answers.sort == "number"
    tried: Any = 1 / 3 if number else "sqrt"
    truth = answers.values[:, 0] if answers.width == 1 else answers.values
    forest = RandomForestRegressor(
        options.trees, min_samples_leaf=options.leaf, max_features=tried, random_state=seed
    ).fit(inputs, truth, sample_weight=answers.weights)
    trees = []
    for tree in (one.tree_ for one in forest.estimators_):
        values = tree.value.reshape(tree.node_count, answers.width) / options.trees
        ends = tree.children_left < 0
        trees.append(Grown(tree.feature, tree.threshold, tree.children_left, tree.children_right, ends, values))
    floor = 0.0 if number else 1 / (len(inputs) + 1)  # no number of rows makes certain
    return joined(trees, np.zeros(answers.width)) | {"floor": np.array(floor), "one": np.array(answers.sort == "one")}


def predict(arrays: Arrays, inputs: np.ndarray) -> np.ndarray:
    # scikit-learn's trees compare with what they were grown on: float32.
    values, floor = sums(arrays, inputs.astype(np.float32)), float(arrays["floor"])
    if not floor:
        return values
    values = values.clip(floor, 1 - floor)
    return np.log(values) if arrays["one"] else np.log(values / (1 - values))


ENTRY = Estimator(fit, predict, Forest)
