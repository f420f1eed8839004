"""What kinds of target with classes have in common, and those whose classes exclude each other more."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import RequestError
from pipeline.targets import OwnLabel, TargetKind, TargetSpec

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


class Classes(TargetKind[str, OwnLabel]):
    """A target with classes, a column of predictions for each."""

    takes = frozenset({"columns", "order"})

    def columns(self, spec: TargetSpec) -> list[str]:
        return [f"{spec.name}/{label}" for label in spec.vocab]

    def class_counts(self, spec: TargetSpec, labels: Collection[str]) -> dict[str, int]:
        counts = dict.fromkeys(spec.vocab, 0)
        for label, rows in Counter(labels).items():
            named = self.sample_label(label)
            for name in set(named) if isinstance(named, tuple) else {str(named)}:
                counts[name] += rows
        return counts


class ExclusiveClasses(Classes[str]):
    """A target with one class a row: probabilities sum to 1, the largest one decides, the label is a code."""

    exclusive = True
    default_loss = "cross_entropy"
    standard_metrics = ("error_rate", "accuracy", "log_loss")
    smooth_metric = "log_loss"
    error_name = "error_rate"

    def parse_labels(self, target: str, labels: "pd.Series", ids: "pd.Series") -> "pd.Series":
        refuse_empty(target, labels, ids)
        return labels

    def vocabulary(self, target: str, labels: Collection[str]) -> tuple[str, ...]:
        return in_order(target, set(labels), at_least=2)

    def truth_of(self, spec: TargetSpec, labels: Collection[str]) -> np.ndarray:
        codes = {name: code for code, name in enumerate(spec.vocab)}
        unknown = sorted({str(label) for label in labels if label not in codes})
        if unknown:
            raise RequestError(
                f"{', '.join(unknown[:3])}: not a class of {spec.name!r}, which has {', '.join(spec.vocab[:12])}"
                f"{', ...' if len(spec.vocab) > 12 else ''}"
            )
        return np.array([codes[label] for label in labels], dtype=np.int64)

    def priors(self, spec: TargetSpec, truth: np.ndarray) -> np.ndarray:
        """Each class's share in train."""
        return np.bincount(truth, minlength=spec.width) / len(truth)

    def strata(self, spec: TargetSpec, labels: Collection[str]) -> np.ndarray:
        return self.truth_of(spec, labels)

    def ranks(self, values: np.ndarray) -> np.ndarray:
        """Each class's rank among the rows; a row's sum to 1 again."""
        ranks = ranks_by_column(values)
        return ranks / ranks.sum(axis=1, keepdims=True)

    def class_shares(self, spec: TargetSpec, values: np.ndarray) -> np.ndarray:
        return np.bincount(values.argmax(axis=1), minlength=spec.width) / len(values)

    def sample_label(self, label: str) -> str:
        return str(label)

    def encode(self, spec: TargetSpec, label: str) -> list[float]:
        return [spec.vocab.index(label)]

    def show(self, spec: TargetSpec, encoded: "Tensor") -> str:
        return spec.vocab[int(encoded[0])]

    def activate(self, preds: "Tensor", center: float, scale: float) -> "Tensor":
        return preds.softmax(dim=1)

    def decide(self, activated: "Tensor") -> "Tensor":
        return activated.argmax(dim=1, keepdim=True)

    def decode(self, spec: TargetSpec, values: np.ndarray) -> np.ndarray:
        return np.asarray(spec.vocab, dtype=object)[values.argmax(axis=1)]

    def problem(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        return unknown_class(spec, cells)

    def certain(self, spec: TargetSpec, truth: np.ndarray) -> np.ndarray:
        return np.eye(spec.width)[truth]

    def complete(self, values: np.ndarray, given: Sequence[int]) -> np.ndarray:
        """The only class that is not given has the rest of the probability."""
        if len(set(given)) == values.shape[1] - 1:
            (left,) = set(range(values.shape[1])) - set(given)
            values[:, left] = np.clip(1 - values.sum(axis=1), 0, 1)
        return values

    def from_columns(self, target: str, names: list[str], marks: np.ndarray, ids: "pd.Series") -> list[str]:
        count = marks.sum(axis=1)
        for wrong, how in ((count > 1, "more than one"), (count < 1, "none")):
            if wrong.any():
                raise RequestError(
                    f"target {target!r}: {int(wrong.sum())} rows have {how} of {some(names)}, for example "
                    f"{some(ids[wrong])}; kind = 'multilabel' takes any number"
                )
        return np.asarray(names, dtype=object)[marks.argmax(axis=1)].tolist()

    def truth_from_columns(self, columns: np.ndarray) -> np.ndarray:
        return columns.argmax(axis=1)


def refuse_empty(target: str, labels: "pd.Series", ids: "pd.Series") -> None:
    """Raise RequestError if a row has no label."""
    empty = ids[labels == ""]
    if len(empty):
        raise RequestError(
            f"target {target!r}: {len(empty)} training rows have no label, for example {some(empty)}; "
            "fill them in or take the rows out"
        )


def refuse_unlisted(
    target: str, labels: "pd.Series", order: Collection[str], ids: "pd.Series", key: str = "order"
) -> None:
    """Raise RequestError for rows with a class, of the tuples `labels`, that the file does not list."""
    known = set(order)
    bad = ~labels.map(known.issuperset)
    if bad.any():
        names = dict.fromkeys(name for label in labels[bad] for name in label if name not in known)
        listed = ", ".join(list(order)[:12]) + (", ..." if len(order) > 12 else "")
        raise RequestError(
            f"target {target!r}: {key} lists {listed}, but {int(bad.sum())} rows have others: {some(names)} "
            f"(ids {some(ids[bad])})"
        )


def in_order(target: str, classes: Iterable[str], at_least: int) -> tuple[str, ...]:
    """Classes sorted, numbers before words. Raises RequestError where there are too few to learn anything."""
    classes = list(classes)
    if len(classes) < at_least:
        raise RequestError(f"target {target!r} has {len(classes)} class ({', '.join(classes)}); nothing to learn")
    return tuple(sorted(classes, key=_natural))


def _natural(label: str) -> tuple[float, str]:
    """Numbers in numeric order, before words."""
    try:
        number = float(label)
    except ValueError:
        number = math.inf
    if not math.isfinite(number):  # "nan" is a word: it has no place among numbers
        number = math.inf
    return number, label


def ranks_by_column(values: np.ndarray) -> np.ndarray:
    """Each column's values replaced by their rank among the rows, above 0 and up to 1."""
    from scipy.stats import rankdata

    return rankdata(values, axis=0) / len(values)


def unknown_class(spec: TargetSpec, names: Iterable[str]) -> str | None:
    """In words, the first of the names that is not a class."""
    unknown = sorted(set(names) - set(spec.vocab))
    return f"{unknown[0]!r} is not a class of {spec.name!r}" if unknown else None


def some(values: Iterable[object]) -> str:
    """The first three, for a message."""
    values = list(values)
    return ", ".join(str(value) for value in values[:3]) + (", ..." if len(values) > 3 else "")
