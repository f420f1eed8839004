"""The road: the stages in order, run to the submission, and how far each of them is."""

import time
from collections.abc import Callable
from typing import Any

from pipeline.config import Competition
from pipeline.freshness import State
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.stages import check, data, ensemble, folds, predict, presize, score, send, submit, train
from pipeline.workspace import Workspace, read_json

Stage = Callable[[Competition, Workspace, Log, bool], bool]

STAGES: dict[str, Stage] = {
    "data": data.data,
    "check": check.check,
    "folds": folds.folds,
    "presize": presize.presize,
    "train": train.train,
    "predict": predict.predict,
    "ensemble": ensemble.ensemble,
    "submit": submit.submit,
}


def stages_of(comp: Competition) -> list[str]:
    """The stages of this competition: without a test set nothing to submit, without images nothing to presize."""
    left_out = {"submit": not comp.has_test, "presize": comp.kind != "image"}
    return [name for name in STAGES if not left_out.get(name)]


def run(comp: Competition, workspace: Workspace, log: Log, force: bool = False) -> dict[str, Any]:
    """Every stage to the submission, skipping what is up to date; then the closing table's rows.

    Returns {"competition", "did": [stages], "seconds", "rows", "submission", "score"}.
    """
    started = time.monotonic()
    if states_of(comp, workspace)["train"] != "done" or force:
        kind_of(comp).check_models(comp.models)
    did = []
    for name in stages_of(comp):
        before = time.monotonic()
        if STAGES[name](comp, workspace, log, force):
            did.append(name)
            log.say(f"{name}: done in {time.monotonic() - before:.1f} s")
    if not comp.has_test:
        log.say("submit: skipped, the competition file names no test set")
    graded = score.score(comp, workspace) if comp.has_test and score.has_solution(workspace) else None
    seconds = time.monotonic() - started
    log.say(f"{comp.slug}: {', '.join(did) or 'everything is up to date'} ({seconds:.1f} s)")
    return {
        "competition": comp.slug,
        "did": did,
        "seconds": round(seconds, 1),
        "rows": closing_rows(comp, workspace),
        "submission": submission_of(workspace),
        "score": graded,
    }


def closing_rows(comp: Competition, workspace: Workspace) -> list[dict[str, Any]]:
    """A row for each model and the ensemble: CV with and without TTA, seconds, and the scores where known."""
    members = [model.name for model in comp.models] + (["ensemble"] if len(comp.models) > 1 else [])
    rows = []
    for name in members:
        metrics = read_json(workspace.metrics(name)) or {}
        row = {"name": name, "cv": metrics.get("cv", {}), "tta_cv": metrics.get("tta_cv", {})}
        if name == "ensemble" and len(kind_of(comp).PASSES) > 1:  # it blends predictions with TTA
            row = {"name": name, "cv": {}, "tta_cv": row["cv"]}
        row["seconds"] = metrics.get("seconds")
        if comp.has_test and score.has_solution(workspace):
            graded = score.score_predictions(comp, workspace, score.load_test(workspace, name))
            row |= {part: graded[part] for part in ("score", "public", "private")} | {"test": graded["targets"]}
        rows.append(row)
    return rows


def status(comp: Competition, workspace: Workspace) -> dict[str, Any]:
    """How far the road is walked, in the shape that `pipeline status --json` prints. Imports no torch."""
    return {
        "competition": comp.slug,
        "kind": comp.kind,
        "stages": states_of(comp, workspace),
        "models": [_model_status(comp, workspace, model) for model in comp.models],
        "ensemble": {
            "cv": (read_json(workspace.metrics("ensemble")) or {}).get("cv", {}),
            "weights": read_json(workspace.blend_weights) or {},
        },
        "submission": submission_of(workspace),
        **({"leaderboard": sent} if (sent := send.leaderboard(comp, workspace)) else {}),
    }


def states_of(comp: Competition, workspace: Workspace) -> dict[str, State]:
    """done, stale or missing for each stage; what stands on a stage that is not done is stale at best."""
    training = [train.step(comp, workspace, model, k).state() for model in comp.models for k in range(comp.folds.n)]
    predicting = [predict.state_of(comp, workspace, model) for model in comp.models]
    own = {
        "data": data.step(comp, workspace).state(),
        "check": check.step(comp, workspace).state(),
        "folds": folds.step(comp, workspace).state(),
        "presize": presize.step(comp, workspace).state(),
        "train": _worst(training),
        "predict": _worst(predicting),
        "ensemble": ensemble.step(comp, workspace).state(),
        "submit": submit.step(comp, workspace).state(),
    }
    states: dict[str, State] = {}
    for name in stages_of(comp):
        upset = any(state != "done" for stage, state in states.items() if stage != "presize")  # a mere cache
        states[name] = "stale" if upset and own[name] == "done" else own[name]
    return states


def submission_of(workspace: Workspace) -> str | None:
    """The newest submission's path below the root."""
    name = submit.latest(workspace)
    return str(workspace.submissions / name) if name else None


def _worst(states: list[State]) -> State:
    if "stale" in states:
        return "stale"
    return "missing" if "missing" in states else "done"


def _model_status(comp: Competition, workspace: Workspace, model) -> dict[str, Any]:
    metrics = read_json(workspace.metrics(model.name)) or {}
    done = sum(train.step(comp, workspace, model, k).done() for k in range(comp.folds.n))
    return {
        "name": model.name,
        "folds_done": done,
        "folds": comp.folds.n,
        "cv": metrics.get("cv", {}),
        "tta_cv": metrics.get("tta_cv", {}),
        "seconds": round(predict.seconds_of(comp, workspace, model), 1),
    }
