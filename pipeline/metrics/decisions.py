"""How predictions become the labels that a metric scores, where that is more than the largest probability.

Part of a metric: thresholds, cut points between grades. What is fitted is fitted on out-of-fold rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from pipeline.targets import TargetSpec

Gain: TypeAlias = Callable[[np.ndarray, np.ndarray], float]  # of truth and decided values (n, width): more is better
Threshold: TypeAlias = float | str
Foreseen: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]  # `Tally.gains`
FITTED, PER_CLASS = "fitted", "per_class"
Worth: TypeAlias = Callable[[np.ndarray], float]  # of parameters (number,): what they gain
MANY = 64  # grades above which cut points are not searched for, only set by the grades' shares
PASSES = 4  # over parameters that are searched one after the other
ROUNDING = 1e-9  # of a gain that is foreseen from counts: places nearer to the best are computed whole


class Decision(ABC):
    """Decides predictions of a target. `truth` is as metrics take it, `values` are predictions (n, width).

    Parameters are JSON. What is decided has the form of `values` and is certain: 0 or 1, or the number that is sent.
    """

    @abstractmethod
    def start(self, spec: TargetSpec, truth: np.ndarray, values: np.ndarray) -> Any:
        """Parameters without a search, such that each label is decided as often as it is true."""

    def fit(self, spec: TargetSpec, truth: np.ndarray, values: np.ndarray, gain: Gain) -> Any:
        """The parameters that gain most."""
        return self.start(spec, truth, values)

    @abstractmethod
    def apply(self, spec: TargetSpec, values: np.ndarray, parameters: Any) -> np.ndarray:
        """Values (n, width) decided."""

    def changes(self, spec: TargetSpec) -> bool:
        """Whether there is anything to decide of a target."""
        return True


class Floor(Decision):
    """Numbers from 0."""

    def start(self, spec: TargetSpec, truth: np.ndarray, values: np.ndarray) -> None:
        return None

    def apply(self, spec: TargetSpec, values: np.ndarray, parameters: None) -> np.ndarray:
        return np.maximum(values, 0)


class CutPoints(Decision):
    """Numbers as grades: parameters {"grades": [...], "cuts": [...]}; a number above k of the cuts is the k-th grade.

    The search goes from cut to cut, from those that give each grade its share (or lie in the middle between grades,
    where that gains more). Of places that gain the same it takes the middle.
    """

    def start(self, spec: TargetSpec, truth: np.ndarray, values: np.ndarray) -> dict[str, list[float]]:
        grades, counts = np.unique(truth, return_counts=True)
        cuts = np.quantile(values[:, 0].astype(np.float64), counts.cumsum()[:-1] / len(truth))
        return {"grades": grades.tolist(), "cuts": cuts.tolist()}

    def fit(self, spec: TargetSpec, truth: np.ndarray, values: np.ndarray, gain: Gain) -> dict[str, list[float]]:
        start = self.start(spec, truth, values)
        grades = np.array(start["grades"])
        if not 1 < len(grades) <= MANY:
            return start
        number = values[:, 0].astype(np.float64)

        def worth(cuts: np.ndarray) -> float:
            return gain(truth, _graded(grades, cuts, number)[:, None])

        middles = (grades[1:] + grades[:-1]) / 2
        cuts = max((np.array(start["cuts"]), middles), key=worth)
        reached = worth(cuts)
        for _ in range(PASSES):
            before = reached
            for place in range(len(cuts)):
                cuts, reached = _move(cuts, place, number, worth, reached)
            if reached <= before:
                break
        return {"grades": grades.tolist(), "cuts": cuts.tolist()}

    def apply(self, spec: TargetSpec, values: np.ndarray, parameters: dict[str, list[float]]) -> np.ndarray:
        grades, cuts = np.array(parameters["grades"]), np.array(parameters["cuts"])
        return _graded(grades, cuts, values[:, 0].astype(np.float64))[:, None]


class Thresholds(Decision):
    """Tags, or the second of two classes, above a probability: parameters are a number for each column.

    Of more than two classes that exclude each other the largest probability decides: parameters are empty.
    `foreseen` spares the search of each class most of the metric's own computing; it chooses nothing itself.
    """

    def __init__(self, threshold: Threshold, foreseen: Foreseen | None = None) -> None:
        self.threshold, self.foreseen = threshold, foreseen

    def start(self, spec: TargetSpec, truth: np.ndarray, values: np.ndarray) -> list[float]:
        true, scores = _cells(spec, truth, values)
        if not scores.shape[1] or not isinstance(self.threshold, str):
            return [float(self.threshold)] * scores.shape[1] if scores.shape[1] else []
        return [_at_share(scores, true.mean())] * scores.shape[1]

    def fit(self, spec: TargetSpec, truth: np.ndarray, values: np.ndarray, gain: Gain) -> list[float]:
        start = self.start(spec, truth, values)
        if not start or not isinstance(self.threshold, str):
            return start
        true, scores = _cells(spec, truth, values)

        def worth(thresholds: np.ndarray) -> float:
            return gain(truth, self.apply(spec, values, thresholds))

        everywhere = np.ones(len(start))
        candidates = _candidates(scores, true.mean())
        single = _middle_of_best(candidates, [worth(at * everywhere) for at in candidates])
        thresholds = single * everywhere
        if self.threshold == PER_CLASS and len(start) > 1:
            thresholds = self._each(spec, truth, values, thresholds, worth)
        return thresholds.tolist()

    def apply(self, spec: TargetSpec, values: np.ndarray, parameters: Sequence[float] | np.ndarray) -> np.ndarray:
        thresholds = np.asarray(parameters)
        if not len(thresholds):
            return values
        if spec.exclusive:
            second = values[:, 1] > thresholds[0]
            return np.column_stack([~second, second]).astype(np.float32)
        return spec.target_kind.with_answer((values > thresholds).astype(np.float32), values)

    def changes(self, spec: TargetSpec) -> bool:
        return not spec.exclusive or spec.width == 2

    def _each(
        self, spec: TargetSpec, truth: np.ndarray, values: np.ndarray, thresholds: np.ndarray, worth: Worth
    ) -> np.ndarray:
        """Tag by tag, what gains most while the others stay."""
        reached, each = worth(thresholds), [_candidates(values[:, [n]], truth[:, n].mean()) for n in range(spec.width)]
        for _ in range(PASSES):
            before = reached
            for column, places in enumerate(each):
                below = np.searchsorted(places, values[:, column].astype(np.float64))
                rough = self._rough(spec, truth, values, thresholds, column, below, len(places))
                gains = _refined(rough, reached, below, [_with(thresholds, column, at) for at in places], worth)
                if max(gains) > reached:
                    thresholds = _with(thresholds, column, _middle_of_best(places, gains))
                    reached = max(gains)
            if reached <= before:
                break
        return thresholds

    def _rough(
        self,
        spec: TargetSpec,
        truth: np.ndarray,
        values: np.ndarray,
        thresholds: np.ndarray,
        column: int,
        below: np.ndarray,
        places: int,
    ) -> np.ndarray:
        """About what each place of one column's threshold gains (places,); `below` (n,): places below a row's value."""
        if self.foreseen is None:
            return np.full(places, np.inf)
        with_tag, without = (self.apply(spec, values, _with(thresholds, column, at)) for at in (-np.inf, np.inf))
        return self.foreseen(truth, with_tag, without, below, places)


def by_threshold(options: Any, kinds: tuple[str, ...]) -> Decision | None:
    """As the option `threshold` says; one half is what decides anyway."""
    return None if options.threshold == 0.5 else Thresholds(options.threshold)


def known_threshold(value: object) -> object:
    """A threshold as the file says it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1
    if not is_number and value not in (FITTED, PER_CLASS):
        raise ValueError(f"a number between 0 and 1, {FITTED!r} or {PER_CLASS!r}")
    return value


def _graded(grades: np.ndarray, cuts: np.ndarray, number: np.ndarray) -> np.ndarray:
    return grades[np.searchsorted(cuts, number)]


def _move(cuts: np.ndarray, place: int, number: np.ndarray, worth: Worth, reached: float) -> tuple[np.ndarray, float]:
    """The cuts with one of them where it gains most between its neighbours, and what they gain."""
    low = cuts[place - 1] if place else -np.inf
    high = cuts[place + 1] if place + 1 < len(cuts) else np.inf
    inside = np.unique(number[(number >= low) & (number <= high)])
    if len(inside) < 2:
        return cuts, reached
    between = (inside[1:] + inside[:-1]) / 2
    places = between[np.unique(np.linspace(0, len(between) - 1, min(len(between), 100)).round().astype(int))]
    trials = np.tile(cuts, (len(places), 1))
    trials[:, place] = places
    gains = [worth(trial) for trial in trials]
    if max(gains) <= reached:
        return cuts, reached
    best = cuts.copy()
    best[place] = _middle_of_best(places, gains)
    return best, max(gains)


def _with(thresholds: np.ndarray, column: int, at: float) -> np.ndarray:
    """The thresholds with another one of a column."""
    other = thresholds.copy()
    other[column] = at
    return other


def _refined(
    rough: np.ndarray, reached: float, below: np.ndarray, trials: Sequence[np.ndarray], worth: Worth
) -> list[float]:
    """What places gain: computed where they may be the best and gain more than is reached, else about.

    Places between the same two values decide the same, which is computed once.
    """
    above = len(below) - np.searchsorted(np.sort(below), np.arange(len(rough)), side="right")  # rows decided for
    gains, known = rough.copy(), dict[int, float]()
    for place in np.flatnonzero(rough >= max(rough.max(), reached) - ROUNDING).tolist():
        count = int(above[place])
        if count not in known:
            known[count] = worth(trials[place])
        gains[place] = known[count]
    return gains.tolist()


def _middle_of_best(places: np.ndarray, gains: Sequence[float]) -> float:
    """The middle one of the first run of places that gain most."""
    best = np.asarray(gains) == max(gains)
    first = int(best.argmax())
    length = int(np.append(best[first:], False).argmin())
    return float(places[first + (length - 1) // 2])


def _cells(spec: TargetSpec, truth: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """0/1 and probabilities (n, columns) of what thresholds decide: tags, the second of two classes, or nothing."""
    if not spec.exclusive:
        return truth, values
    if spec.width != 2:
        return truth[:, None][:, :0], values[:, :0]
    return (truth == 1)[:, None].astype(float), values[:, 1:]


def _at_share(scores: np.ndarray, share: float) -> float:
    """The threshold above which this share of the cells lies."""
    return float(np.quantile(scores.astype(np.float64), 1 - share))


def _candidates(scores: np.ndarray, share: float) -> np.ndarray:
    """Thresholds to try, rising: hundredths, and those that decide from a quarter to four times the true share."""
    shares = np.unique(np.clip(share * np.geomspace(0.25, 4, 41), 0, 1))
    by_share = np.quantile(scores.astype(np.float64), 1 - shares)
    places = np.unique(np.concatenate([np.arange(1, 100) / 100, by_share]))
    return places[(places > 0) & (places < 1)]
