"""ensemble: the members' predictions as one, with weights fitted on out-of-fold rows."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline import predictions
from pipeline.blending import Gain, combine, cross_fit, fit_weights
from pipeline.config import Competition
from pipeline.data.labels import for_metric, truth_of
from pipeline.errors import WorkFailed
from pipeline.freshness import Step, digest
from pipeline.log import Log
from pipeline.metrics import METRICS
from pipeline.predictions import Predictions
from pipeline.stages import predict as predicting
from pipeline.stages.submission import scored_targets
from pipeline.stages.train import training_rows
from pipeline.workspace import Workspace, write_json

VERSION = 1


def ensemble(comp: Competition, workspace: Workspace, log: Log, force: bool = False) -> bool:
    """Fit weights, blend OOF and test predictions, and score the blend. Returns whether it did anything."""
    blending = step(comp, workspace)
    if blending.done() and not force:
        return False
    missing = [m.name for m in comp.models if not (workspace.model(m.name) / "oof.parquet").is_file()]
    if missing:
        raise WorkFailed(f"no predictions of {', '.join(missing)} yet; run `pipeline train` and `pipeline predict`")
    method, folder = comp.ensemble.method, workspace.ensemble
    members = {m.name: predictions.load(workspace.model(m.name) / "oof.parquet") for m in comp.models}
    first = members[comp.models[0].name]
    gain = gain_on(comp, training_rows(workspace), scored_targets(comp, workspace), first)
    weights = fit_weights(method, members, gain)
    oof = cross_fit(method, members, gain)
    write_json(folder / "weights.json", weights)
    oof.save(folder / "oof.parquet", method=method, versions=predicting.versions(comp))
    if comp.has_test:
        tests = {m.name: predictions.load(workspace.model(m.name) / "test.parquet") for m in comp.models}
        combine(method, tests, weights).save(folder / "test.parquet", method=method, versions=predicting.versions(comp))
    cv = predicting.cross_validate(comp, workspace, oof)
    write_json(folder / "metrics.json", {"cv": cv, "method": method})
    step(comp, workspace).record()
    shares = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
    log.say(f"ensemble: {predicting.say_cv(cv)} ({method}: {shares})")
    return True


def step(comp: Competition, workspace: Workspace) -> Step:
    names = ["oof.parquet", "test.parquet"] if comp.has_test else ["oof.parquet"]
    inputs = {
        "version": VERSION,
        "method": comp.ensemble.method,
        "metric": comp.metric,
        "columns": comp.submission.columns,
        "members": {m.name: [digest(workspace.model(m.name) / name) for name in names] for m in comp.models},
    }
    outputs = [workspace.ensemble / name for name in ("weights.json", "metrics.json", *names)]
    return Step(workspace.ensemble / "blended.json", inputs, tuple(outputs))


def gain_on(comp: Competition, rows: pd.DataFrame, scored: Sequence[str], first: Predictions) -> Gain:
    """What a blend of OOF rows is worth: the leaderboard's metric, then a smooth one that breaks ties."""
    metric = METRICS[comp.metric]
    rows = rows.set_index("id")
    specs = [s for s in first.specs if s.name in scored and metric.scores(s.kind)]
    by_id = {s.name: truth_of(s, rows[s.name].loc[list(first.ids)]) for s in specs}
    known: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # blends of the same rows share one array of ids

    def gain(preds: Predictions) -> tuple[float, float]:
        ids, where = known.get(id(preds.ids), (None, None))
        if ids is not preds.ids:
            where = np.searchsorted(first.ids, preds.ids)
            known[id(preds.ids)] = (preds.ids, where)
        main = smooth = 0.0
        for spec in specs:
            truth, values = by_id[spec.name][where], for_metric(spec, preds.values[spec.name])
            main += metric.gain(truth, values)
            smooth += METRICS[spec.target_kind.smooth_metric].gain(truth, values)
        return round(main, 9), smooth

    return gain
