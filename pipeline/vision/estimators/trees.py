"""Trees as arrays: of all of them one behind the other, and the sum of what rows find in their leaves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.vision.estimators import Arrays

ROWS = 4096  # that walk at once: their places in all trees stay in the cache


@dataclass(frozen=True)
class Grown:
    """One tree, an entry a node (nodes,): a row goes left where its `feature` is at most `threshold`.

    `left` and `right` are numbers of nodes; at its `ends` the tree adds `values` (nodes, w) to the outputs from number
    `first`.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    ends: np.ndarray
    values: np.ndarray
    first: int = 0


def joined(trees: Sequence[Grown], base: np.ndarray) -> dict[str, np.ndarray]:
    """What `sums` walks. The node of an end leads to itself; `base` (width,) is added to what trees give.

    {"feature", "threshold", "left", "right", "leaf" (nodes,), "values" (leaves, w), "roots", "first" (trees,), "base"}.
    """
    sizes = [len(tree.feature) for tree in trees]
    roots = np.cumsum([0, *sizes[:-1]])
    own = np.concatenate([np.arange(size) + root for size, root in zip(sizes, roots, strict=True)])
    ends = np.concatenate([tree.ends for tree in trees])
    left, right = (
        np.where(ends, own, np.concatenate([side(tree) + root for tree, root in zip(trees, roots, strict=True)]))
        for side in (lambda tree: tree.left.astype(np.int64), lambda tree: tree.right.astype(np.int64))
    )
    return {
        "feature": np.where(ends, 0, np.concatenate([tree.feature for tree in trees])).astype(np.int32),
        "threshold": np.concatenate([tree.threshold for tree in trees]).astype(np.float64),
        "left": left.astype(np.int32),
        "right": right.astype(np.int32),
        "leaf": np.where(ends, np.cumsum(ends) - 1, -1).astype(np.int32),
        "values": np.concatenate([tree.values[tree.ends] for tree in trees]),
        "roots": roots.astype(np.int32),
        "first": np.array([tree.first for tree in trees], dtype=np.int32),
        "base": base.astype(np.float64),
    }


def sums(arrays: Arrays, inputs: np.ndarray) -> np.ndarray:
    """The base and what each tree adds (n, width), for inputs (n, d)."""
    out = np.tile(arrays["base"], (len(inputs), 1))
    for begin in range(0, len(inputs), ROWS):
        part = inputs[begin : begin + ROWS]
        for root, first in zip(arrays["roots"], arrays["first"], strict=True):
            found = arrays["values"][arrays["leaf"][_walked(arrays, part, root)]]
            out[begin : begin + ROWS, first : first + found.shape[1]] += found
    return out


def _walked(arrays: Arrays, inputs: np.ndarray, root: int) -> np.ndarray:
    """The end (n,) that each row comes to from a root."""
    rows, at = np.arange(len(inputs)), np.full(len(inputs), root)
    while (arrays["leaf"][at] < 0).any():
        goes_left = inputs[rows, arrays["feature"][at]] <= arrays["threshold"][at]
        at = np.where(goes_left, arrays["left"][at], arrays["right"][at])
    return at
