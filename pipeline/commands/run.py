"""run: every stage to the submission, then its score where the answers are known."""

import time
from typing import Any

from pipeline.commands import score
from pipeline.commands.status import submission_of
from pipeline.config import Competition
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.road import stages_of, standings
from pipeline.scoring import read_scores, scored_by
from pipeline.workspace import ENSEMBLE, Workspace, read_json

READ_UP_TO = 32 << 20  # bytes of a member's predictions, to show what an older metrics.json lacks


def run(comp: Competition, workspace: Workspace, log: Log, force: bool = False) -> dict[str, Any]:
    """Every stage to the submission, skipping what is up to date; then the closing table's rows.

    Returns {"competition", "did": [stages], "seconds", "rows", "submission", "score"}.
    """
    started = time.monotonic()
    if standings(comp, workspace)["train"].state != "done" or force:
        kind_of(comp).check_models(comp.models, workspace)
    did = []
    for name, stage in stages_of(comp).items():
        before = time.monotonic()
        if stage.run(comp, workspace, log, force):
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
    """A row for each model and the ensemble: CV and its mean with and without TTA, seconds, and the scores where known.

    For what "mean" and "tta_mean" hold see `scoring.mean_of`.
    """
    members = [model.name for model in comp.models] + ([ENSEMBLE] if len(comp.models) > 1 else [])
    rows, targets = [], scored_by(comp, workspace)
    for name in members:
        metrics = read_json(workspace.metrics(name)) or {}
        row = {"name": name, **read_scores(comp, workspace, name, targets, READ_UP_TO)}
        if name == ENSEMBLE and len(kind_of(comp).passes) > 1:  # it blends predictions with TTA
            row |= {"cv": {}, "mean": {}, "tta_cv": row["cv"], "tta_mean": row["mean"]}
        row["seconds"] = metrics.get("seconds")
        if comp.has_test and score.has_solution(workspace):
            graded = score.score_predictions(comp, workspace, score.load_test(comp, workspace, name))
            row |= {part: graded[part] for part in ("score", "public", "private")} | {"test": graded["targets"]}
        rows.append(row)
    return rows
