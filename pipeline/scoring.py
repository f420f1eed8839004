"""Out-of-fold predictions against the labels: cross-validation, and what a blend is worth."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline import predictions
from pipeline.blending import Gain
from pipeline.config import Competition
from pipeline.data.labels import answered, for_metric, known_in, truth_of
from pipeline.errors import PipelineError, RequestError
from pipeline.jobs import jobs_of
from pipeline.kinds import kind_of
from pipeline.metrics import METRICS, reported, value_or_none
from pipeline.predictions import Predictions, TargetSpec
from pipeline.rows import training_rows
from pipeline.submission import scored_targets
from pipeline.workspace import ENSEMBLE, OOF, Workspace, read_json

CV = dict[str, dict[str, float]]  # {target: {metric: value}}, the leaderboard's metric first
FoldScores = dict[str, list[float | None]]  # the leaderboard's metric of each target it fits, a value a fold
SHOWN = 3  # targets that a line has a number each of, beside the mean

ONE_FOLD = "one fold, not comparable with cross-validation"  # of scores where folds.n = 1


def cross_validate(comp: Competition, workspace: Workspace, oof: Predictions) -> CV:
    """Each target's metrics over all out-of-fold rows, which may be a part of train: {target: {metric: value}}, the
    leaderboard's first.
    """
    scores = {}
    for spec, truth, preds, _ in _compared(workspace, oof):
        names = reported(spec.kind, comp.metric)
        scores[spec.name] = {name: round(METRICS[name].compute(truth, preds), 6) for name in names}
    return scores


def score_folds(comp: Competition, workspace: Workspace, oof: Predictions) -> FoldScores:
    """The leaderboard's metric of each target that it fits, of each fold's rows alone; None where it has no value."""
    scores = {}
    for spec, truth, preds, fold_of in _compared(workspace, oof):
        if METRICS[comp.metric].scores(spec.kind):
            parts = [fold_of == fold for fold in np.unique(oof.folds)]
            scores[spec.name] = [_value_of(comp.metric, truth[rows], preds[rows]) for rows in parts]
    return scores


def scored_by(comp: Competition, workspace: Workspace) -> tuple[str, ...]:
    """The targets whose mean the leaderboard scores, in the file's order.

    Those of the submission's columns that the metric fits; where there is no sample or none fits, all that it fits.
    """
    fitting = [target.name for target in comp.targets if METRICS[comp.metric].scores(target.kind)]
    try:
        named = scored_targets(comp, workspace)
    except RequestError:  # which the stages that read the sample say
        named = fitting
    return tuple(name for name in fitting if name in named) or tuple(fitting)


def mean_of(metric: str, targets: Sequence[str], cv: CV, folds: FoldScores) -> dict[str, Any]:
    """The leaderboard's mean: {"metric", "targets", "value", "spread", "folds"}; empty where it is not known.

    `value` is the mean over the targets of what `cv` says of all rows; `folds` each fold's own mean, None where a
    target has no value there; `spread` the standard deviation of those (n - 1), None of fewer than two.
    """
    values = [cv.get(name, {}).get(metric) for name in targets]
    if not values or None in values:
        return {}
    complete = all(name in folds for name in targets)
    each = [_mean(row) for row in zip(*[folds[name] for name in targets], strict=True)] if complete else []
    known = [value for value in each if value is not None]
    spread = _rounded(float(np.std(known, ddof=1))) if len(known) > 1 else None
    return {"metric": metric, "targets": list(targets), "value": _mean(values), "spread": spread, "folds": each}


def read_scores(
    comp: Competition, workspace: Workspace, member: str, targets: Sequence[str], read_up_to: int
) -> dict[str, Any]:
    """What is known of a model or the ensemble: "cv" and "mean" of each pass, as {"cv", "mean", "tta_cv", "tta_mean"}.

    `targets` from `scored_by`. An older metrics.json has no scores of folds: they come from the predictions, where
    those are no more than `read_up_to` bytes.
    """
    metrics = read_json(workspace.metrics(member)) or {}
    passes = {"cv": ""} if member == ENSEMBLE else dict(kind_of(comp).passes)
    kept = metrics.get("fold_scores", {})
    found: dict[str, Any] = {}
    for kind in ("cv", "tta_cv"):
        cv = {target: _leading(comp.metric, values) for target, values in metrics.get(kind, {}).items()}
        folds = kept.get(kind, {}) if kept.get("metric") == comp.metric else {}
        if not kept and cv and kind in passes:
            folds = _from_predictions(comp, workspace, member, passes[kind], read_up_to)
        found |= {kind: cv, kind.replace("cv", "mean"): mean_of(comp.metric, targets, cv, folds)}
    return found


def cv_in_words(cv: CV, mean: Mapping[str, Any]) -> str:
    """The leaderboard's mean with its spread, then the first metric of other targets, if they are few."""
    firsts = {target: next(iter(values.items())) for target, values in cv.items()}
    if not mean:
        return ", ".join(f"{target} {metric} {value:.4f}" for target, (metric, value) in firsts.items())
    alone = mean["targets"][0] if len(mean["targets"]) == 1 else None
    said = f"{alone or 'mean'} {mean['metric']} {'none' if mean['value'] is None else format(mean['value'], '.4f')}"
    if mean["spread"] is not None:
        said += f" ± {mean['spread']:.4f} over {len(mean['folds'])} folds"
    others = [f"{name} {metric} {value:.4f}" for name, (metric, value) in firsts.items() if name != alone]
    return f"{said} ({', '.join(others)})" if 0 < len(others) <= SHOWN else said


def reserve_in_words(comp: Competition) -> str:
    """What must be known to read its scores; empty for cross-validation."""
    return f" ({ONE_FOLD})" if comp.folds.n == 1 else ""


def gain_on(comp: Competition, rows: pd.DataFrame, scored: Sequence[str], first: Predictions) -> Gain:
    """What a blend of OOF rows is worth: the leaderboard's metric, then a smooth one that breaks ties."""
    metric = METRICS[comp.metric]
    rows = rows.set_index("id")
    specs = [s for s in first.specs if s.name in scored and metric.scores(s.kind)]
    by_id = {s.name: truth_of(s, rows[s.name].loc[list(first.ids)]) for s in specs}
    partial = {name for name, truth in by_id.items() if not known_in(truth).all()}
    known: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # blends of the same rows share one array of ids

    def gain(preds: Predictions) -> tuple[float, float]:
        ids, where = known.get(id(preds.ids), (None, None))
        if ids is not preds.ids:
            where = np.searchsorted(first.ids, preds.ids)
            known[id(preds.ids)] = (preds.ids, where)
        main = smooth = 0.0
        for spec in specs:
            truth, values = by_id[spec.name][where], for_metric(spec, preds.values[spec.name])
            if spec.name in partial:
                truth, values = answered(truth, values)
                if not len(truth):
                    continue
            main += metric.gain(truth, values)
            smooth += METRICS[spec.target_kind.smooth_metric].gain(truth, values)
        return round(main, 9), smooth

    return gain


def _from_predictions(comp: Competition, workspace: Workspace, member: str, within: str, read_up_to: int) -> FoldScores:
    """Fold scores of what lies there; empty where that would take long."""
    paths = [workspace.oof(member)]
    if within:
        paths = [job.folder(workspace) / within / OOF for job in jobs_of(comp, member)]
    try:
        if sum(path.stat().st_size for path in paths) > read_up_to:
            return {}
        return score_folds(comp, workspace, predictions.join([predictions.load(path) for path in paths]))
    except (OSError, PipelineError):
        return {}


def _compared(
    workspace: Workspace, oof: Predictions
) -> Iterator[tuple[TargetSpec, np.ndarray, np.ndarray, np.ndarray]]:
    """Truth and predictions of each target, as metrics take them, and the fold, of the rows of `oof` that answer it."""
    rows = training_rows(workspace).set_index("id").loc[list(oof.ids)]
    for spec in oof.specs:
        truth = truth_of(spec, rows[spec.name])
        yield spec, *answered(truth, for_metric(spec, oof.values[spec.name])), oof.folds[known_in(truth)]


def _value_of(metric: str, truth: np.ndarray, preds: np.ndarray) -> float | None:
    return _rounded(value_or_none(metric, truth, preds)) if len(truth) else None


def _leading(metric: str, values: Mapping[str, float]) -> dict[str, float]:
    """Metrics with the leaderboard's first, also those of an older metrics.json."""
    first = {metric: values[metric]} if metric in values else {}
    return first | dict(values)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _rounded(sum(known) / len(known)) if len(known) == len(values) else None


def _rounded(value: float | None) -> float | None:
    """As JSON keeps it, which knows no NaN."""
    return None if value is None or math.isnan(value) else round(float(value), 6)
