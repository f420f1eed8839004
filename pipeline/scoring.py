"""Out-of-fold predictions against the labels: cross-validation, and what a blend is worth."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline import deciding, predictions
from pipeline.blending import Gain
from pipeline.cases import answers, combined
from pipeline.config import Competition
from pipeline.data.labels import answered, for_metric, known_in, truth_of
from pipeline.errors import PipelineError, RequestError
from pipeline.jobs import jobs_of
from pipeline.kinds import kind_of
from pipeline.metrics import METRICS, reported
from pipeline.metrics.leaderboard import Leaderboard, Scorable, in_words
from pipeline.predictions import Predictions
from pipeline.rows import training_rows
from pipeline.submission import decided, scored_targets
from pipeline.workspace import ENSEMBLE, OOF, Workspace, read_json

CV = dict[str, dict[str, float]]  # {target: {metric: value}}, the leaderboard's metric first
Pooled = dict[str, Any]  # {"value", "folds"} of targets whose rows are scored as one
FoldScores = dict[str, list[float | None]]  # the leaderboard's metric of each target it fits, a value a fold
SHOWN = 3  # targets that a line has a number each of, beside the mean

ONE_FOLD = "one fold, not comparable with cross-validation"  # of scores where folds.n = 1


class OofScores(NamedTuple):
    """What out-of-fold predictions are worth."""

    cv: CV
    folds: FoldScores
    pooled: Pooled  # empty unless the leaderboard pools targets


def cross_validate(comp: Competition, workspace: Workspace, oof: Predictions) -> OofScores:
    """Each target's metrics over all out-of-fold rows, and the leaderboard's of each fold's rows alone.

    The rows may be a part of train, and of a target they are those that answer it. The leaderboard's metric comes
    first; where it decides, each fold is decided as fitted on the others.
    """
    leaderboard, cv = comp.leaderboard, CV()
    as_decided: dict[str, deciding.Part] = {}
    for own in _compared(comp, workspace, oof):
        spec, leading = own.spec, None
        if leaderboard.scores(spec.name):
            as_decided[spec.name] = part = deciding.across_folds(comp, own)
            leading = leaderboard.of[spec.name].name
            cv[spec.name] = {leading: round(leaderboard.of[spec.name].compute(*part.scorable[:3]), 6)}
        each = [name for name in reported(spec.kind, leading) if name != leading]
        cv.setdefault(spec.name, {}).update({name: _of_all(name, own.scorable) for name in each})
    parts = {name: part.scorable for name, part in as_decided.items()}
    each_fold = [[part.of_fold(fold) for part in as_decided.values()] for fold in np.unique(oof.folds)]
    folds = {name: [rounded(leaderboard.of[name].value(held[n])) for held in each_fold] for n, name in enumerate(parts)}
    return OofScores(cv, folds, _pooled(comp, workspace, parts, each_fold) if leaderboard.pooled else {})


def fit_decisions(comp: Competition, workspace: Workspace, oof: Predictions) -> deciding.Parameters:
    """What the leaderboard's decisions are fitted to, on all out-of-fold rows."""
    return deciding.fit(comp, _compared(comp, workspace, oof))


def scored_by(comp: Competition, workspace: Workspace) -> tuple[str, ...]:
    """The targets whose mean the leaderboard scores, in the file's order.

    Those of the submission's columns that the metric fits; where there is no sample or none fits, all that it fits.
    """
    fitting = list(comp.leaderboard.of)
    try:
        named = scored_targets(comp, workspace)
    except RequestError:  # which the stages that read the sample say
        named = fitting
    return tuple(name for name in fitting if name in named) or tuple(fitting)


def mean_of(
    leaderboard: Leaderboard, targets: Sequence[str], cv: CV, folds: FoldScores, pooled: Pooled | None = None
) -> dict[str, Any]:
    """The leaderboard's mean: {"metric", "targets", "value", "spread", "folds"}; empty where it is not known.

    `value` is the mean over the targets of what `cv` says of all rows; `folds` each fold's own mean, None where a
    target has no value there; `spread` the standard deviation of those (n - 1), None of fewer than two. Of a
    leaderboard that pools targets, both are from `pooled`.
    """
    values = {name: cv.get(name, {}).get(leaderboard.of[name].name) for name in targets}
    if not values or None in values.values() or (leaderboard.pooled and not pooled):
        return {}
    if pooled:
        value, each = pooled["value"], pooled["folds"]
    else:
        rows = zip(*[folds[name] for name in targets], strict=True) if all(name in folds for name in targets) else []
        each = [rounded(leaderboard.mean(dict(zip(targets, row, strict=True)))) for row in rows]
        value = rounded(leaderboard.mean(values))
    known, name = [own for own in each if own is not None], leaderboard.name
    if len(targets) == 1:
        name = leaderboard.of[targets[0]].name
    spread = rounded(float(np.std(known, ddof=1))) if len(known) > 1 else None
    return {"metric": name, "targets": list(targets), "value": value, "spread": spread, "folds": each}


def kept_scores(comp: Competition, scores: Mapping[str, OofScores]) -> dict[str, Any]:
    """What metrics.json keeps of folds, by the name of the pass: {"metric", PASS: {target: [...]}, "pooled"}."""
    pooled = {name: own.pooled for name, own in scores.items() if own.pooled}
    kept = {"metric": comp.metric} | {name: own.folds for name, own in scores.items()}
    return kept | ({"pooled": pooled} if pooled else {})


def pooled_kept(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Of a metrics.json, what was scored of targets that are pooled, with TTA where that is sent: {metric: value}."""
    kept, kind = metrics.get("fold_scores", {}), "tta_cv" if metrics.get("tta_cv") else "cv"
    value = kept.get("pooled", {}).get(kind, {}).get("value")
    return {} if value is None else {kept["metric"]: value}


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
        cv = {target: _leading(comp, target, values) for target, values in metrics.get(kind, {}).items()}
        same = kept.get("metric") == comp.metric
        folds, pooled = (kept.get(kind, {}), kept.get("pooled", {}).get(kind, {})) if same else ({}, {})
        if not kept and cv and kind in passes:
            folds = _from_predictions(comp, workspace, member, passes[kind], read_up_to)
        found |= {kind: cv, kind.replace("cv", "mean"): mean_of(comp.leaderboard, targets, cv, folds, pooled)}
    return found


def cv_in_words(cv: CV, mean: Mapping[str, Any]) -> str:
    """The leaderboard's mean with its spread, then the first metric of other targets, if they are few."""
    firsts = {target: next(iter(values.items())) for target, values in cv.items()}
    if not mean:
        return ", ".join(f"{target} {metric} {value:.4f}" for target, (metric, value) in firsts.items())
    alone = mean["targets"][0] if len(mean["targets"]) == 1 else None
    what = f"{alone} {mean['metric']}" if alone else in_words(mean["metric"])
    said = f"{what} {'none' if mean['value'] is None else format(mean['value'], '.4f')}"
    if mean["spread"] is not None:
        said += f" ± {mean['spread']:.4f} over {len(mean['folds'])} folds"
    others = [f"{name} {metric} {value:.4f}" for name, (metric, value) in firsts.items() if name != alone]
    return f"{said} ({', '.join(others)})" if 0 < len(others) <= SHOWN else said


def reserve_in_words(comp: Competition) -> str:
    """What must be known to read its scores; empty for cross-validation."""
    return f" ({ONE_FOLD})" if comp.folds.n == 1 else ""


def gain_on(comp: Competition, rows: pd.DataFrame, scored: Sequence[str], first: Predictions) -> Gain:
    """What a blend of OOF rows is worth: the leaderboard's metric, then a smooth one that breaks ties.

    A metric that decides is decided without a search, for each blend anew.
    """
    leaderboard = comp.leaderboard
    rows, sign = rows.set_index("id"), 1 if leaderboard.higher_is_better else -1
    specs = [s for s in first.specs if s.name in scored and leaderboard.scores(s.name)]
    by_id = {s.name: truth_of(s, rows[s.name].loc[list(first.ids)]) for s in specs}
    partial = {name for name, truth in by_id.items() if not known_in(truth).all()}
    known: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # blends of the same rows share one array of ids

    def gain(preds: Predictions) -> tuple[float, float]:
        ids, where = known.get(id(preds.ids), (None, None))
        if ids is not preds.ids:
            where = np.searchsorted(first.ids, preds.ids)
            known[id(preds.ids)] = (preds.ids, where)
        main = smooth = 0.0
        parts: list[Scorable] = []
        for spec in specs:
            truth, values = by_id[spec.name][where], preds.values[spec.name]
            if spec.name in partial:
                truth, values = answered(truth, values)
                if not len(truth):
                    continue
            parts.append(Scorable(spec, truth, for_metric(spec, values)))
            if not leaderboard.pooled:
                main += leaderboard.weights[spec.name] * sign * leaderboard.of[spec.name].at_once(spec, truth, values)
            smooth += METRICS[spec.target_kind.smooth_metric].gain(*parts[-1][1:3])
        if leaderboard.pooled:
            main = sign * (leaderboard.total(parts) or 0.0)
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
        found = predictions.join([predictions.load(path) for path in paths])
        found = combined(comp, workspace, found) if within else found
        return cross_validate(comp, workspace, found).folds
    except (OSError, PipelineError):
        return {}


def _compared(comp: Competition, workspace: Workspace, oof: Predictions) -> Iterator[deciding.Part]:
    """Truth, predictions and folds of each target, of the rows of `oof` that answer it."""
    rows = answers(training_rows(workspace)).set_index("id").loc[list(oof.ids)]
    if deciding.inputs_of(comp, workspace):  # decided as what is sent is
        oof = decided(comp, workspace, oof)
    for spec in oof.specs:
        truth = truth_of(spec, rows[spec.name])
        yield deciding.Part(spec, *answered(truth, oof.values[spec.name]), oof.folds[known_in(truth)])


def _of_all(metric: str, part: Scorable) -> float:
    return round(METRICS[metric].compute(part.truth, part.preds), 6)


def _pooled(
    comp: Competition,
    workspace: Workspace,
    parts: Mapping[str, Scorable],
    each_fold: Sequence[Sequence[Scorable]],
) -> Pooled:
    """The leaderboard's number of all scored targets' rows together, and each fold's own."""
    scored = scored_by(comp, workspace)
    together = [[part for part in held if part.spec.name in scored] for held in (list(parts.values()), *each_fold)]
    value, *folds = [rounded(comp.leaderboard.total(held)) for held in together]
    return {"value": value, "folds": folds}


def _leading(comp: Competition, target: str, values: Mapping[str, float]) -> dict[str, float]:
    """Metrics with the leaderboard's first, also those of an older metrics.json."""
    chosen = comp.leaderboard.of.get(target)
    metric = comp.metric if chosen is None else chosen.name
    first = {metric: values[metric]} if metric in values else {}
    return first | dict(values)


def rounded(value: float | None) -> float | None:
    """As JSON keeps it, which knows no NaN."""
    return None if value is None or math.isnan(value) else round(float(value), 6)
