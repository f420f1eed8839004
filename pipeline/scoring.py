"""Out-of-fold predictions against the labels: cross-validation, and what a blend is worth."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pipeline.blending import Gain
from pipeline.config import Competition
from pipeline.data.labels import answered, for_metric, known_in, truth_of
from pipeline.metrics import METRICS, reported
from pipeline.predictions import Predictions
from pipeline.rows import training_rows
from pipeline.workspace import Workspace


def cross_validate(comp: Competition, workspace: Workspace, oof: Predictions) -> dict[str, dict[str, float]]:
    """Each target's metrics over all out-of-fold rows: {target: {metric: value}}."""
    rows = training_rows(workspace).set_index("id").loc[list(oof.ids)]
    scores = {}
    for spec in oof.specs:
        truth, preds = answered(truth_of(spec, rows[spec.name]), for_metric(spec, oof.values[spec.name]))
        names = reported(spec.kind, comp.metric)
        scores[spec.name] = {name: round(METRICS[name].compute(truth, preds), 6) for name in names}
    return scores


def cv_in_words(cv: Mapping[str, Mapping[str, float]]) -> str:
    """The first metric of each target."""
    firsts = [(target, *next(iter(values.items()))) for target, values in cv.items()]
    return ", ".join(f"{target} {metric} {value:.4f}" for target, metric, value in firsts)


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
