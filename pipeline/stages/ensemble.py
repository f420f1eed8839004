"""ensemble: the members' predictions as one, with weights fitted on out-of-fold rows."""

from pipeline import deciding, predictions
from pipeline.blending import combine, cross_fit, fit_weights
from pipeline.cases import answers
from pipeline.config import Competition
from pipeline.errors import WorkFailed
from pipeline.freshness import Step, digest
from pipeline.kinds import versions_of
from pipeline.log import Log
from pipeline.rows import training_rows
from pipeline.scoring import (
    cross_validate,
    cv_in_words,
    fit_decisions,
    gain_on,
    kept_scores,
    mean_of,
    reserve_in_words,
    scored_by,
)
from pipeline.settings import Settings
from pipeline.stage import Stage
from pipeline.submission import columns_meant, decided, scored_targets
from pipeline.workspace import ENSEMBLE, Workspace, write_json

VERSION = 1


def ensemble(comp: Competition, workspace: Workspace, log: Log, force: bool = False) -> bool:
    """Fit weights, blend OOF and test predictions, and score the blend. Returns whether it did anything."""
    blending = step(comp, workspace)
    if blending.done() and not force:
        return False
    missing = [m.name for m in comp.models if not workspace.oof(m.name).is_file()]
    if missing:
        raise WorkFailed(f"no predictions of {', '.join(missing)} yet; run `pipeline train` and `pipeline predict`")
    method = comp.ensemble.method
    members = {m.name: predictions.load(workspace.oof(m.name)) for m in comp.models}
    first = members[comp.models[0].name]
    as_sent = decided(comp, workspace, first)
    gain = gain_on(comp, answers(training_rows(workspace)), scored_targets(comp, workspace), as_sent)
    weights = fit_weights(method, members, gain)
    oof = cross_fit(method, members, gain)
    write_json(workspace.blend_weights, weights)
    oof.save(workspace.oof(ENSEMBLE), method=method, versions=versions_of(comp))
    if comp.has_test:
        tests = {m.name: predictions.load(workspace.test(m.name)) for m in comp.models}
        combine(method, tests, weights).save(workspace.test(ENSEMBLE), method=method, versions=versions_of(comp))
    scores = cross_validate(comp, workspace, oof)
    kept = kept_scores(comp, {"cv": scores})
    write_json(workspace.metrics(ENSEMBLE), {"cv": scores.cv, "method": method, "fold_scores": kept})
    for path in deciding.outputs_of(comp, workspace, ENSEMBLE):
        write_json(path, fit_decisions(comp, workspace, oof))
    step(comp, workspace).record()
    shares = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
    mean = mean_of(comp.leaderboard, scored_by(comp, workspace), *scores)
    log.say(f"ensemble: {cv_in_words(scores.cv, mean)} ({method}: {shares}){reserve_in_words(comp)}")
    return True


def step(comp: Competition, workspace: Workspace) -> Step:
    paths = [workspace.oof, workspace.test] if comp.has_test else [workspace.oof]
    settings, scoring = comp.ensemble.settings(comp), comp.leaderboard.settings()
    inputs = {
        "version": VERSION,
        **settings,
        **scoring,
        **deciding.inputs_of(comp, workspace),
        "columns": columns_meant(comp, workspace),
        "members": {m.name: [digest(path(m.name)) for path in paths] for m in comp.models},
    }
    outputs = [workspace.blend_weights, workspace.metrics(ENSEMBLE), *(path(ENSEMBLE) for path in paths)]
    outputs += deciding.outputs_of(comp, workspace, ENSEMBLE)
    return Step(workspace.blended, Settings(inputs, settings.defaults | scoring.defaults), tuple(outputs))


STAGE = Stage(ensemble, lambda comp, workspace: [("", step(comp, workspace))], needs=("predict",))
