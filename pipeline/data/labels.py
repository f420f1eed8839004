"""Labels as the data showed them: each target's classes, and rows as codes for metrics and folds.

Of several targets a row may answer some only: where it has no label, its truth is `NO_CODE`, or NaN.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.targets import Labels, TargetSpec
from pipeline.targets.said import Target

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def specs_of(targets: Sequence[Target], manifest: pd.DataFrame) -> tuple[TargetSpec, ...]:
    """Each target with its classes, from the training rows. Raises RequestError for one without classes."""
    train = manifest[manifest["split"] == "train"]
    return tuple(_spec_of(target, train[target.name].dropna()) for target in targets)


def _spec_of(target: Target, labels: pd.Series) -> TargetSpec:
    kind = target.target_kind
    found = kind.vocabulary(target.name, labels)
    said = target.class_columns or target.order
    classes = tuple(said) if said is not None and found else found
    return TargetSpec(target.name, target.kind, classes, (*target.options, *kind.options_from(labels).items()))


def tag_counts(targets: Sequence[Target], manifest: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Training rows with each tag, by target; nothing of targets that have one answer a row."""
    train, found = manifest[manifest["split"] == "train"], dict[str, dict[str, int]]()
    for target, spec in zip(targets, specs_of(targets, manifest), strict=True):
        counts = (
            None
            if spec.exclusive or not spec.vocab
            else target.target_kind.class_counts(spec, train[target.name].dropna())
        )
        if counts is not None:
            found[target.name] = dict(sorted(counts.items()))
    return found


NO_CODE = -1


def truth_of(spec: TargetSpec, labels: Labels) -> np.ndarray:
    """Labels in the form that metrics take: codes (n,), 0/1 (n, classes) for multilabel, numbers (n,).

    A missing label is `NO_CODE` or NaN. Raises RequestError for a label that is not a class of the target.
    """
    column = labels if isinstance(labels, pd.Series) else pd.Series(list(labels), dtype=object)
    known = column.notna().to_numpy()
    return with_gaps(known, lambda known: spec.target_kind.truth_of(spec, labels if known.all() else column[known]))


def with_gaps(known: np.ndarray, truth: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The truth (n,) or (n, width) of the rows that are `known` (n,), and of the others what stands for no answer."""
    answers = truth(known)
    if known.all():
        return answers
    nothing = NO_CODE if np.issubdtype(answers.dtype, np.integer) else np.nan
    whole = np.full((len(known), *answers.shape[1:]), nothing, dtype=answers.dtype)
    whole[known] = answers
    return whole


def known_in(truth: np.ndarray) -> np.ndarray:
    """Which rows (n,) of a truth are answers."""
    if np.issubdtype(truth.dtype, np.integer):
        return np.asarray(truth != NO_CODE)
    return np.asarray(~np.isnan(truth.reshape(len(truth), -1)).any(axis=1))


def answered(truth: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Truth and predictions of the rows that have an answer."""
    known = known_in(truth)
    return (truth, values) if known.all() else (truth[known], values[known])


def strata_of(spec: TargetSpec, labels: pd.Series) -> "np.ndarray | csr_array | None":
    """Codes (n,) to stratify folds by, or 0/1 (n, classes); rows without an answer are a stratum of their own."""
    known = labels.notna().to_numpy()
    codes = spec.target_kind.strata(spec, labels[known])
    if codes is None or known.all():
        return codes
    if not isinstance(codes, np.ndarray):  # tags: none of them
        return spec.target_kind.strata(spec, labels.fillna(""))
    whole = np.full(len(labels), max(int(codes.max()) + 1, spec.width))
    whole[known] = codes
    return whole


def for_metric(spec: TargetSpec, values: np.ndarray) -> np.ndarray:
    """Predictions (n, width) in the form that metrics take: (n,) for a regression, else as they are."""
    return spec.target_kind.for_metric(values)


def priors(spec: TargetSpec, labels: Labels) -> np.ndarray:
    """What to predict without looking (width,): class shares in train, or the mean."""
    truth = truth_of(spec, labels)
    return spec.target_kind.priors(spec, truth[known_in(truth)])


def decode(spec: TargetSpec, values: np.ndarray) -> np.ndarray:
    """Predictions (n, width) as what a submission says: class names, or numbers for a regression."""
    return spec.target_kind.decode(spec, values)
