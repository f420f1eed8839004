"""Labels as the data showed them: each target's classes, and rows as codes for metrics and folds."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.config import Target
from pipeline.errors import RequestError
from pipeline.predictions import TargetSpec


def specs_of(targets: Sequence[Target], manifest: pd.DataFrame) -> tuple[TargetSpec, ...]:
    """Each target with its classes, from the training rows. Raises RequestError for one without classes."""
    train = manifest[manifest["split"] == "train"]
    return tuple(_spec(target, train[target.name]) for target in targets)


def _spec(target: Target, labels: pd.Series) -> TargetSpec:
    if target.kind == "regression":
        return TargetSpec(target.name, target.kind)
    many = target.kind == "multilabel"
    classes = {name for label in labels for name in label.split()} if many else set(labels)
    if len(classes) < (1 if many else 2):
        raise RequestError(f"target {target.name!r} has {len(classes)} class ({', '.join(classes)}); nothing to learn")
    if target.kind == "binary" and len(classes) != 2:
        raise RequestError(f"target {target.name!r} is binary but has {len(classes)} classes; kind = 'category'?")
    return TargetSpec(target.name, target.kind, tuple(sorted(classes, key=_natural)))


def _natural(label: str) -> tuple[float, str]:
    """Numbers in numeric order, before words."""
    try:
        number = float(label)
    except ValueError:
        number = math.inf
    if not math.isfinite(number):  # "nan" is a word: it has no place among numbers
        number = math.inf
    return number, label


def truth_of(spec: TargetSpec, labels: Sequence[str] | Sequence[float]) -> np.ndarray:
    """Labels in the form that metrics take: codes (n,), 0/1 (n, classes) for multilabel, numbers (n,).

    Raises RequestError for a label that is not a class of the target.
    """
    if spec.kind == "regression":
        return np.asarray(labels, dtype=np.float64)
    if spec.kind == "multilabel":
        return np.array([[name in label.split() for name in spec.vocab] for label in labels], dtype=np.float64)
    codes = {name: code for code, name in enumerate(spec.vocab)}
    unknown = sorted({str(label) for label in labels if label not in codes})
    if unknown:
        raise RequestError(
            f"{', '.join(unknown[:3])}: not a class of {spec.name!r}, which has {', '.join(spec.vocab[:12])}"
            f"{', ...' if len(spec.vocab) > 12 else ''}"
        )
    return np.array([codes[label] for label in labels], dtype=np.int64)


def for_metric(spec: TargetSpec, values: np.ndarray) -> np.ndarray:
    """Predictions (n, width) in the form that metrics take: (n,) for a regression, else as they are."""
    return values[:, 0] if spec.kind == "regression" else values


def priors(spec: TargetSpec, labels: Sequence[str] | Sequence[float]) -> np.ndarray:
    """What to predict without looking (width,): class shares in train, or the mean."""
    truth = truth_of(spec, labels)
    if spec.exclusive:
        return np.bincount(truth, minlength=spec.width) / len(truth)
    return np.atleast_1d(truth.mean(axis=0))


def decode(spec: TargetSpec, values: np.ndarray) -> np.ndarray:
    """Predictions (n, width) as what a submission says: class names, or numbers for a regression."""
    if spec.kind == "regression":
        return values[:, 0].astype(np.float64)
    names = np.asarray(spec.vocab, dtype=object)
    if spec.exclusive:
        return names[values.argmax(axis=1)]
    return np.array([" ".join(names[row > 0.5]) for row in values], dtype=object)
