"""Metrics of decided labels that are a score of (hits, decided, true) counts, averaged in one of five ways.

As scikit-learn's `f1_score`, `fbeta_score` and `jaccard_score` with `zero_division=0`: what is neither decided nor true
scores 0, but a class of a category target that nobody has and nobody decides does not count in the macro mean.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field

from pipeline.metrics import Metric, no_problem
from pipeline.metrics.decisions import FITTED, Decision, Threshold, Thresholds, known_threshold
from pipeline.settings import Section
from pipeline.targets import TargetSpec

OF_SECOND: Literal["binary"] = "binary"  # scikit-learn's word for the score of the second of two classes
Average = Literal["", "binary", "micro", "macro", "weighted", "samples"]
Beta = Annotated[float, Field(gt=0)]


class AtHalf(Section, frozen=True):
    """Above which probability a label is decided: a number, "fitted" on out-of-fold rows, or so "per_class"."""

    threshold: Annotated[Threshold, BeforeValidator(known_threshold)] = 0.5


class Fitted(AtHalf, frozen=True):
    """The same, fitted unless it is said."""

    threshold: Annotated[Threshold, BeforeValidator(known_threshold)] = FITTED


class Averaged(Fitted, frozen=True):
    """The mean that is taken: "" is that over rows of tags, the second class's score of two, else the classes' mean."""

    average: Average = ""


class Counts(NamedTuple):
    """Of each class, or of each row: decided and true, decided, true."""

    hits: np.ndarray
    decided: np.ndarray
    true: np.ndarray


Score = Callable[[Counts], np.ndarray]


def f_score(beta: float) -> Score:
    """The F-beta score: (1 + beta^2) hits / (beta^2 true + decided)."""
    return lambda n: _ratio((1 + beta**2) * n.hits, beta**2 * n.true + n.decided)


def jaccard_index(counts: Counts) -> np.ndarray:
    """Intersection over union."""
    return _ratio(counts.hits, counts.decided + counts.true - counts.hits)


def averaged(truth: np.ndarray, preds: np.ndarray, score: Score, average: Average) -> float:
    """The score of labels that are decided by the largest probability, tags by one half. NaN without rows."""
    if not len(truth):
        return float("nan")
    average = average or ("samples" if truth.ndim == 2 else OF_SECOND if preds.shape[1] == 2 else "macro")
    if average == "samples":
        return float(score(_of_rows(truth, preds)).mean())
    if average == OF_SECOND:
        return float(score(_of_classes(truth, preds))[1]) if preds.shape[1] == 2 else float("nan")
    return _over_classes(_of_classes(truth, preds), score, average, all_count=truth.ndim == 2)


def no_two_classes(options: Any, spec: TargetSpec, truth: np.ndarray) -> str | None:
    """Why a metric of the second of two classes has no value."""
    return None if spec.width == 2 else f"it is of two classes, and there are {spec.width}"


def no_second_class(options: Averaged, spec: TargetSpec, truth: np.ndarray) -> str | None:
    """The same, where the option asks for that class."""
    return no_two_classes(options, spec, truth) if options.average == OF_SECOND else None


class Tally(NamedTuple):
    """A metric of tags by what it counts, for a search that changes the decision of one tag at a time."""

    score: Score
    average: Average

    def gains(
        self, truth: np.ndarray, with_tag: np.ndarray, without: np.ndarray, below: np.ndarray, places: int
    ) -> np.ndarray:
        """The metric, but for rounding, at rising thresholds of one tag (places,).

        `with_tag` and `without` (n, width) are the decisions where every row has the tag, and where none has; `below`
        (n,) is how many of the places lie below a row's value, at which it has it.
        """

        def changed(less: np.ndarray, more: np.ndarray) -> np.ndarray:
            """Sums over rows at each place, of what a row counts without the tag and with it (n,)."""
            bins = np.bincount(below, weights=more - less, minlength=places + 1)
            return less.sum() + bins[::-1].cumsum()[-2::-1]

        if self.average in ("", "samples"):
            return changed(*(self.score(_of_rows(truth, decided)) for decided in (without, with_tag))) / len(truth)
        true, fixed = truth > 0.5, _of_classes(truth, without)
        hits, decided = (np.tile(part.astype(float), (places, 1)) for part in fixed[:2])
        for n in np.flatnonzero((with_tag != without).any(axis=0)):
            less, more = without[:, n] > 0.5, with_tag[:, n] > 0.5
            decided[:, n] = changed(less.astype(float), more.astype(float))
            hits[:, n] = changed((less & true[:, n]).astype(float), (more & true[:, n]).astype(float))
        each = (Counts(*own, fixed.true) for own in zip(hits, decided, strict=True))
        return np.array([_over_classes(counts, self.score, self.average, all_count=True) for counts in each])


def of_counts(
    kinds: frozenset[str],
    options: type[Section],
    score: Callable[[Any], Score],
    average: Callable[[Any], Average],
    problem: Callable[[Any, TargetSpec, np.ndarray], str | None] = no_problem,
) -> Metric:
    """A metric whose options (those of `AtHalf` or `Fitted` among them) say a score of counts and how it is averaged.

    The same two are what is computed, and what a search for thresholds foresees.
    """

    def compute(truth: np.ndarray, preds: np.ndarray, chosen: Any) -> float:
        return averaged(truth, preds, score(chosen), average(chosen))

    def decision(chosen: Any, kinds: tuple[str, ...]) -> Decision | None:
        foreseen = Tally(score(chosen), average(chosen)).gains
        return None if chosen.threshold == 0.5 else Thresholds(chosen.threshold, foreseen)

    return Metric(kinds, True, False, compute, options=options, decision=decision, problem=problem)


def always(value: Any) -> Callable[[Any], Any]:
    """A score or an average that no option changes."""
    return lambda _: value


def as_said(options: Averaged) -> Average:
    """The mean that the options say."""
    return options.average


def _over_classes(counts: Counts, score: Score, average: Average, all_count: bool) -> float:
    """The score over classes; in the macro mean `all_count`, or those that somebody has or decides."""
    if average == "micro":
        return float(score(Counts(*(part.sum(keepdims=True) for part in counts)))[0])
    if average == "weighted":
        return float(np.average(score(counts), weights=counts.true)) if counts.true.any() else 0.0
    counted = np.ones(len(counts.true), bool) if all_count else (counts.decided + counts.true) > 0
    return float(score(counts)[counted].mean())


def _of_classes(truth: np.ndarray, preds: np.ndarray) -> Counts:
    if truth.ndim == 2:
        decided, true = preds > 0.5, truth > 0.5
        return Counts((decided & true).sum(axis=0), decided.sum(axis=0), true.sum(axis=0))
    decided, classes = preds.argmax(axis=1), preds.shape[1]
    parts = (truth[decided == truth], decided, truth)
    return Counts(*(np.bincount(codes, minlength=classes) for codes in parts))


def _of_rows(truth: np.ndarray, preds: np.ndarray) -> Counts:
    if truth.ndim == 2:
        decided, true = preds > 0.5, truth > 0.5
        return Counts((decided & true).sum(axis=1), decided.sum(axis=1), true.sum(axis=1))
    one = np.ones(len(truth))
    return Counts((preds.argmax(axis=1) == truth).astype(float), one, one)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)
