"""status: how far the road is walked, and why what is stale is stale. Imports no torch."""

from collections.abc import Sequence
from typing import Any

from pipeline.commands import send
from pipeline.config import Competition, Model
from pipeline.jobs import jobs_of
from pipeline.road import standings
from pipeline.scoring import read_scores, scored_by
from pipeline.stages import predict, submit, train
from pipeline.workspace import ENSEMBLE, Workspace, read_json

READ_UP_TO = 1 << 20  # bytes of a member's predictions, to show what an older metrics.json lacks: it answers at once


def status(comp: Competition, workspace: Workspace) -> dict[str, Any]:
    """In the shape that `pipeline status --json` prints; `why` has the reasons of each stale stage, if there is one."""
    found = standings(comp, workspace)
    why = {name: standing.why for name, standing in found.items() if standing.state == "stale"}
    scored, done = scored_by(comp, workspace), {name for name, standing in found.items() if standing.state == "done"}
    blend = read_scores(comp, workspace, ENSEMBLE, scored, READ_UP_TO if "ensemble" in done else 0)
    return {
        "competition": comp.slug,
        "kind": comp.kind,
        "stages": {name: standing.state for name, standing in found.items()},
        **({"why": why} if why else {}),
        "models": [_model_status(comp, workspace, model, scored, "predict" in done) for model in comp.models],
        "ensemble": {
            "cv": blend["cv"],
            "mean": blend["mean"],
            "weights": read_json(workspace.blend_weights) or {},
        },
        "submission": submission_of(workspace),
        **({"leaderboard": sent} if (sent := send.leaderboard(comp, workspace)) else {}),
    }


def submission_of(workspace: Workspace) -> str | None:
    """The newest submission's path below the root."""
    name = submit.latest(workspace)
    return str(workspace.submissions / name) if name else None


def _model_status(
    comp: Competition, workspace: Workspace, model: Model, scored: Sequence[str], predicted: bool
) -> dict[str, Any]:
    jobs = jobs_of(comp, model.name)
    return {
        "name": model.name,
        "folds_done": sum(train.step(comp, workspace, job).done() for job in jobs),
        "folds": len(jobs),
        **read_scores(comp, workspace, model.name, scored, READ_UP_TO if predicted else 0),
        "seconds": round(predict.seconds_of(comp, workspace, model), 1),
    }
