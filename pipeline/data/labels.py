"""Labels as the data showed them: each target's classes, and rows as codes for metrics and folds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.config import Target
from pipeline.targets import Labels, TargetSpec


def specs_of(targets: Sequence[Target], manifest: pd.DataFrame) -> tuple[TargetSpec, ...]:
    """Each target with its classes, from the training rows. Raises RequestError for one without classes."""
    train = manifest[manifest["split"] == "train"]
    return tuple(_spec_of(target, train[target.name]) for target in targets)


def _spec_of(target: Target, labels: pd.Series) -> TargetSpec:
    found = target.target_kind.vocabulary(target.name, labels)
    classes = found if target.class_columns is None else tuple(target.class_columns)
    return TargetSpec(target.name, target.kind, classes, target.options)


def truth_of(spec: TargetSpec, labels: Labels) -> np.ndarray:
    """Labels in the form that metrics take: codes (n,), 0/1 (n, classes) for multilabel, numbers (n,).

    Raises RequestError for a label that is not a class of the target.
    """
    return spec.target_kind.truth_of(spec, labels)


def for_metric(spec: TargetSpec, values: np.ndarray) -> np.ndarray:
    """Predictions (n, width) in the form that metrics take: (n,) for a regression, else as they are."""
    return spec.target_kind.for_metric(values)


def priors(spec: TargetSpec, labels: Labels) -> np.ndarray:
    """What to predict without looking (width,): class shares in train, or the mean."""
    return spec.target_kind.priors(spec, truth_of(spec, labels))


def decode(spec: TargetSpec, values: np.ndarray) -> np.ndarray:
    """Predictions (n, width) as what a submission says: class names, or numbers for a regression."""
    return spec.target_kind.decode(spec, values)
