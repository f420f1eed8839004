"""Decisions of a metric over whole predictions: fitted on out-of-fold rows, applied to what is sent and scored.

A target whose metric decides (`metrics.decisions`) is decided before it is scored or written; others are left as they
are. What was fitted lies in a file beside a member's predictions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.config import Competition
from pipeline.data.labels import for_metric, known_in, truth_of
from pipeline.errors import RequestError, WorkFailed
from pipeline.forms import Column
from pipeline.metrics import or_none
from pipeline.metrics.decisions import Decision
from pipeline.metrics.leaderboard import Chosen, Scorable
from pipeline.predictions import Predictions
from pipeline.submission import none_meant
from pipeline.targets import TargetSpec
from pipeline.targets.multilabel import LIKELIEST
from pipeline.workspace import Workspace, read_json

Parameters = Mapping[str, Any]  # {target: what its decision was fitted to}
PARTS = 5  # of the rows, where there is a single fold


def decides(comp: Competition) -> bool:
    """Whether any target's metric decides it."""
    return bool(_decided(comp))


def outputs_of(comp: Competition, workspace: Workspace, member: str) -> list[Path]:
    """The file of what was fitted, where anything is."""
    return [workspace.decision(member)] if decides(comp) else []


def inputs_of(comp: Competition, workspace: Workspace) -> dict[str, Any]:
    """What the decisions depend on besides predictions and metrics: what is sent where no tag is decided for.

    Nothing for most. A word for none is no tag, and decides nothing.
    """
    said, decided = none_meant(comp, workspace) if decides(comp) else {}, _decided(comp)
    filled = {name: own for name, own in said.items() if name in decided and own.get("none") == LIKELIEST}
    return {"decided_none": filled} if filled else {}


class Part(NamedTuple):
    """The out-of-fold rows that answer a target: their truth, predictions (n, width) and folds (n,)."""

    spec: TargetSpec
    truth: np.ndarray
    values: np.ndarray
    folds: np.ndarray

    @property
    def scorable(self) -> Scorable:
        """As metrics take them."""
        return Scorable(self.spec, self.truth, for_metric(self.spec, self.values))

    def of_fold(self, fold: int) -> Scorable:
        """The rows of one fold; there may be none."""
        own = self.folds == fold
        return Scorable(self.spec, self.truth[own], for_metric(self.spec, self.values[own]))


def fit(comp: Competition, parts: Iterable[Part]) -> dict[str, Any]:
    """What the decisions are fitted to, by target, on all out-of-fold rows. Raises WorkFailed where there are none."""
    found = {}
    for spec, truth, values, _ in parts:
        decision = _decision(comp, spec.name, spec.kind)
        if decision is None:
            continue
        if not len(truth):
            raise WorkFailed(f"no out-of-fold row has a {spec.name!r} to fit the decision of {comp.metric} to")
        found[spec.name] = _fitted(decision, comp.leaderboard.of[spec.name], spec, truth, values)
    return found


def across_folds(comp: Competition, part: Part) -> Part:
    """A target's out-of-fold rows, each fold decided as fitted on the others; as they are where nothing decides.

    What is fitted on the rows that it is scored on would flatter. Of a single fold, fifths of its rows stand for folds.
    """
    spec, truth, values, folds = part
    decision = _decision(comp, spec.name, spec.kind)
    if decision is None:
        return part
    if len(np.unique(folds)) < 2:
        folds = np.arange(len(values)) % PARTS
    decided, chosen = np.empty(np.shape(values)), comp.leaderboard.of[spec.name]
    for fold in np.unique(folds):
        inside = folds == fold
        others = ~inside if not inside.all() else inside
        parameters = _fitted(decision, chosen, spec, truth[others], values[others])
        decided[inside] = decision.apply(spec, values[inside], parameters)
    return part._replace(values=decided)


def apply(comp: Competition, preds: Predictions, parameters: Parameters) -> Predictions:
    """Predictions with each target decided whose metric decides it."""
    decided = dict(preds.values)
    for spec in preds.specs:
        decision = _decision(comp, spec.name, spec.kind)
        if decision is not None:
            decided[spec.name] = decision.apply(spec, preds.values[spec.name], parameters[spec.name])
    return replace(preds, values=decided)


def as_sent(comp: Competition, preds: Predictions, file: Path) -> Predictions:
    """A member's predictions as its submission holds them; `file` is what was fitted. Raises WorkFailed without it."""
    if not decides(comp):
        return preds
    parameters = read_json(file)
    if not isinstance(parameters, dict) or not set(_decided(comp)) <= parameters.keys():
        raise WorkFailed(f"no decision of {comp.metric} at {file}; run `pipeline predict` and `pipeline ensemble`")
    return apply(comp, preds, parameters)


def whole_numbers(comp: Competition, columns: Iterable[Column], table: pd.DataFrame) -> pd.DataFrame:
    """A submission in which decided numbers that are whole are written so: 3 and not 3.0."""
    kinds = {target.name: target.kind for target in comp.targets}
    names = [column.name for column in columns if _decision(comp, column.target, kinds[column.target])]
    whole = [name for name in names if _is_whole(table[name])]
    return table.astype(dict.fromkeys(whole, np.int64)) if whole else table


def refuse_unscorable(comp: Competition, train: pd.DataFrame, specs: Iterable[TargetSpec]) -> None:
    """Raise RequestError for a target whose labels its metric can make nothing of; `train` are rows of the manifest."""
    for spec in specs:
        chosen = comp.leaderboard.of.get(spec.name)
        if chosen is None:
            continue
        truth = truth_of(spec, train[spec.name])
        problem = chosen.problem(spec, truth[known_in(truth)])
        if problem:
            raise RequestError(f"metric {chosen.name!r} cannot score target {spec.name!r}: {problem}")


def _decision(comp: Competition, target: str, kind: str) -> Decision | None:
    chosen = comp.leaderboard.of.get(target)
    return None if chosen is None else chosen.decision(kind)


def _decided(comp: Competition) -> list[str]:
    return [target.name for target in comp.targets if _decision(comp, target.name, target.kind) is not None]


def _fitted(decision: Decision, chosen: Chosen, spec: TargetSpec, truth: np.ndarray, values: np.ndarray) -> Any:
    def gain(truth: np.ndarray, decided: np.ndarray) -> float:
        value = or_none(lambda: chosen.gain(spec, truth, for_metric(spec, decided)))
        return -np.inf if value is None else value

    return decision.fit(spec, truth, values, gain)


def _is_whole(cells: pd.Series) -> bool:
    return cells.dtype.kind == "f" and bool((cells == cells.round()).all())
