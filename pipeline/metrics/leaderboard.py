"""What the leaderboard scores: a metric with its options for each target, and how those become one number.

The file says `metric = "NAME"`, or `metric = { name = "NAME", OPTION = ... }`, of every target that it fits. Targets
with metrics of their own are `metric = { name = "mean", of = { TARGET = METRIC, ... }, weights = { TARGET = 2.0 } }`;
with `name = "pooled"` and one metric in `of`, the rows of all targets are scored as if they were one target's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pipeline.metrics import METRICS, Metric, or_none
from pipeline.metrics.decisions import Decision
from pipeline.registry import code_in, meant, read_choice
from pipeline.settings import Section, Settings
from pipeline.targets import TargetSpec, label_kinds

MEAN, POOLED = "mean", "pooled"
DECIDED_BY = 1  # raised when the same metric would decide otherwise


class Scorable(NamedTuple):
    """A target's truth and predictions of the same rows, both as metrics take them; what each row counts, if said."""

    spec: TargetSpec
    truth: np.ndarray
    preds: np.ndarray
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Chosen:
    """A metric with its options."""

    name: str
    options: Section

    @classmethod
    def of(cls, said: Any) -> "Chosen":
        """As the file says it: a name, or a table of that and options. Raises ValueError."""
        return cls(*read_choice(METRICS, said, "a metric by its name, as in { name = 'fbeta', beta = 2.0 }"))

    @property
    def entry(self) -> Metric:
        """What computes it."""
        return METRICS[self.name]

    def scores(self, kind: str) -> bool:
        """Whether it has a meaning for targets of this kind."""
        return self.entry.scores(kind)

    def compute(self, spec: TargetSpec, truth: np.ndarray, preds: np.ndarray, **weights: np.ndarray) -> float:
        """The metric; `preds` are decided, where it has a decision."""
        given: list[Any] = [self.options] if type(self.options).model_fields else []
        return self.entry.compute(truth, preds, *given, *([spec.vocab] if self.entry.takes_classes else []), **weights)

    def value(self, part: Scorable) -> float | None:
        """The metric of rows that may have none: of no rows, or of a single class."""
        weights = {} if part.weights is None else {"weights": part.weights}
        return or_none(lambda: self.compute(*part[:3], **weights)) if len(part.truth) else None

    def gain(self, spec: TargetSpec, truth: np.ndarray, preds: np.ndarray) -> float:
        """The metric turned so that more is better."""
        value = self.compute(spec, truth, preds)
        return value if self.entry.higher_is_better else -value

    def at_once(self, spec: TargetSpec, truth: np.ndarray, values: np.ndarray) -> float:
        """The metric of values (n, width) that are decided, where it decides, without a search: for the line of an
        epoch, and to choose among blends."""
        decision = self.decision(spec.kind)
        if decision is not None:
            values = decision.apply(spec, values, decision.start(spec, truth, values))
        return self.compute(spec, truth, spec.target_kind.for_metric(values))

    def problem(self, spec: TargetSpec, truth: np.ndarray) -> str | None:
        """Why there will be no value for a target, from its truth in train."""
        return self.entry.problem(self.options, spec, truth)

    def decision(self, kind: str) -> Decision | None:
        """How it decides predictions of targets of this kind before it scores them."""
        return self.entry.decision(self.options, label_kinds(kind))

    def settings(self, kinds: Iterable[str]) -> Settings:
        """What it means for targets of these kinds: its name, options, how it decides, the code of a plug-in."""
        options = self.options.settings()
        own: dict[str, Any] = {"options": options} if options else {}
        own |= {"decided_by": DECIDED_BY} if any(self.decision(kind) for kind in kinds) else {}
        off = {"options": Settings(options.defaults, options.defaults)}  # a metric may have gained options
        return Settings({"name": self.name, **own, **code_in("name", METRICS, self.name)}, off)


@dataclass(frozen=True)
class Leaderboard:
    """The metric of each target that is scored, in the file's order, with its kind and its weight in the mean."""

    name: str
    of: Mapping[str, Chosen]
    kinds: Mapping[str, str]
    weights: Mapping[str, float]
    pooled: bool = False

    @classmethod
    def read(cls, said: str | Mapping[str, Any], kinds: Mapping[str, str]) -> "Leaderboard":
        """What the file says, for targets (name: kind). Raises ValueError, which says in words what is wrong."""
        if not isinstance(said, str) and _is_composed(said):
            return _composed(dict(said), kinds)
        chosen = Chosen.of(said)
        fitting = {name: chosen for name, kind in kinds.items() if chosen.scores(kind)}
        if not fitting:
            raise ValueError(_fits_none(chosen))
        return cls(chosen.name, fitting, kinds, dict.fromkeys(fitting, 1.0))

    @property
    def higher_is_better(self) -> bool:
        """All of its metrics agree."""
        return next(iter(self.of.values())).entry.higher_is_better

    @property
    def needs_probabilities(self) -> bool:
        """Whether one of its metrics scores nothing else."""
        return any(chosen.entry.needs_probabilities for chosen in self.of.values())

    def scores(self, target: str) -> bool:
        """Whether the target has a metric here."""
        return target in self.of

    def mean(self, values: Mapping[str, float | None]) -> float | None:
        """The weighted mean of targets' own values; None if one of them has none."""
        known = {name: value for name, value in values.items() if value is not None}
        total = sum(self.weights[name] for name in known)
        if not known or len(known) < len(values) or not total:
            return None
        return sum(self.weights[name] * value for name, value in known.items()) / total

    def total(self, parts: Sequence[Scorable]) -> float | None:
        """The leaderboard's number for predictions of several targets, decided where their metrics decide them."""
        if not self.pooled:
            return self.mean({p.spec.name: self.of[p.spec.name].value(p) for p in parts})
        if not any(len(p.truth) for p in parts):
            return None
        weights = [np.full(len(p.truth), self.weights[p.spec.name]) if p.weights is None else p.weights for p in parts]
        truth, preds = np.concatenate([p.truth for p in parts]), np.concatenate([p.preds for p in parts])
        chosen = self.of[parts[0].spec.name]
        return or_none(lambda: chosen.compute(parts[0].spec, truth, preds, weights=np.concatenate(weights)))

    def settings(self) -> Settings:
        """What it means, as the inputs of a step: a plain metric by its name, with options that are off by default."""
        first = next(iter(self.of.values()))
        if self.name == first.name:
            return _plain(first.settings([self.kinds[name] for name in self.of]))
        each = {name: chosen.settings([self.kinds[name]]) for name, chosen in self.of.items()}
        return Settings({"metric": self.name, "metric_of": each, "metric_weights": dict(self.weights)}, {})


def name_of(said: str | Mapping[str, Any]) -> str:
    """What the leaderboard's number is called."""
    if isinstance(said, str):
        return said
    return f"{POOLED}_{Chosen.of(said['of']).name}" if _is_composed(said) and said["name"] == POOLED else said["name"]


def in_words(name: str) -> str:
    """The leaderboard's number over several targets."""
    return name if name == MEAN or name.startswith(f"{POOLED}_") else f"mean {name}"


def _plain(meaning: Settings) -> Settings:
    """As it was recorded before metrics had options, where those are off."""
    inputs = {"metric": meaning["name"]}
    inputs |= {f"metric_{key.removeprefix('name_')}": value for key, value in meaning.items() if key != "name"}
    options = meaning.get("options", Settings({}, {}))
    return Settings(inputs, {"metric_options": Settings(options.defaults, options.defaults)})


def _is_composed(said: object) -> bool:
    return isinstance(said, Mapping) and said.get("name") in (MEAN, POOLED) and said["name"] not in METRICS


def _composed(said: dict[str, Any], kinds: Mapping[str, str]) -> Leaderboard:
    """A mean over targets with metrics of their own, or targets that are pooled. Raises ValueError."""
    name, of, weights = said.pop("name"), said.pop("of", None), said.pop("weights", {})
    if said:
        raise ValueError(f"metric {name!r}: unknown key {next(iter(said))!r}; known here: of, weights")
    each = of if isinstance(of, Mapping) and "name" not in of else None
    if not of or (each is not None and name == POOLED):
        form = "{ TARGET = METRIC, ... }" if name == MEAN else "'METRIC'"
        raise ValueError(f"metric {name!r}: of: expected {form}")
    chosen = {target: _of_target(name, target, own, kinds) for target, own in each.items()} if each else {}
    if each is None:
        only = Chosen.of(of)
        chosen = {target: only for target, kind in kinds.items() if only.scores(kind)}
        if not chosen:
            raise ValueError(_fits_none(only))
        if name == POOLED and not only.entry.weighs_rows:
            pools = ", ".join(known for known, entry in METRICS.items() if entry.weighs_rows)
            raise ValueError(f"metric 'pooled': of: {only.name!r} cannot weigh rows; {pools} can")
    found = {target: chosen[target] for target in kinds if target in chosen}
    directions = {own.name: own.entry.higher_is_better for own in found.values()}
    if len(set(directions.values())) > 1:
        up = [known for known, higher in directions.items() if higher]
        down = [known for known, higher in directions.items() if not higher]
        raise ValueError(
            f"metric {name!r}: more is better of {', '.join(up)}, less of {', '.join(down)}: their mean says nothing"
        )
    known = _weights(name, weights, found)
    return Leaderboard(name_of({"name": name, "of": of}), found, kinds, known, name == POOLED)


def _fits_none(chosen: Chosen) -> str:
    return f"metric {chosen.name!r} scores {', '.join(sorted(chosen.entry.kinds))} targets, and there is none"


def _of_target(name: str, target: str, said: Any, kinds: Mapping[str, str]) -> Chosen:
    if target not in kinds:
        known = f"there is {', '.join(kinds)}{meant(target, [*kinds])}"
        raise ValueError(f"metric {name!r}: of: no target {target!r}; {known}")
    chosen = Chosen.of(said)
    if not chosen.scores(kinds[target]):
        scored = ", ".join(sorted(chosen.entry.kinds))
        raise ValueError(f"metric {name!r}: of.{target}: {chosen.name!r} scores {scored} targets, not {kinds[target]}")
    return chosen


def _weights(name: str, weights: Any, found: Mapping[str, Chosen]) -> dict[str, float]:
    """Each target's weight, 1 where none is said."""
    if not isinstance(weights, Mapping):
        raise ValueError(f"metric {name!r}: weights: expected {{ TARGET = NUMBER, ... }}")
    for target, weight in weights.items():
        if target not in found:
            raise ValueError(f"metric {name!r}: weights: {target!r} is none of the scored targets {', '.join(found)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise ValueError(f"metric {name!r}: weights.{target}: found {weight!r}, expected a number from 0")
    known = {target: float(weights.get(target, 1.0)) for target in found}
    if not sum(known.values()):
        raise ValueError(f"metric {name!r}: weights: all are 0")
    return known
