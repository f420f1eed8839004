"""predict: each model's out-of-fold and test predictions, with and without TTA, keyed by id."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline import predictions
from pipeline.config import Competition, Model
from pipeline.data.labels import for_metric, priors, truth_of
from pipeline.errors import RequestError
from pipeline.freshness import Step, digest
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.metrics import METRICS, reported
from pipeline.predictions import NO_FOLD, Predictions
from pipeline.stages import presize
from pipeline.stages import train as training
from pipeline.stages.check import audited_rows
from pipeline.workspace import Workspace, write_json

VERSION = 1


def predict(
    comp: Competition, workspace: Workspace, log: Log, force: bool = False, only_model: str | None = None
) -> bool:
    """Predict what is not up to date. Returns whether it did anything.

    Raises RequestError for a model that is not trained on every fold.
    """
    did = False
    for model in training.chosen_models(comp, only_model):
        _need_trained(comp, workspace, model)
        if state_of(comp, workspace, model) == "done" and not force:
            continue
        presize.ensure(comp, workspace, log)
        for fold in range(comp.folds.n):
            if force or not fold_step(comp, workspace, model, fold).done():
                _predict_fold(comp, workspace, model, fold, log)
        _join_folds(comp, workspace, model, log)
        did = True
    return did


def fold_step(comp: Competition, workspace: Workspace, model: Model, fold: int) -> Step:
    """One fold's predictions: its weights, and how often it is augmented."""
    folder = workspace.fold(model.name, fold)
    inputs = {
        "version": VERSION,
        "trained": digest(folder / "trained.json"),
        "tta": getattr(model, "tta", None),
        "manifest": digest(workspace.manifest),
        "facts": digest(workspace.facts),
    }
    names = ["oof", "test"] if comp.has_test else ["oof"]
    paths = [folder / place / f"{name}.parquet" for _, place in kind_of(comp).PASSES for name in names]
    return Step(folder / "predicted.json", inputs, tuple(paths))


def step(comp: Competition, workspace: Workspace, model: Model) -> Step:
    """A model's joined predictions: the stamps of all its folds."""
    inputs = {
        "version": VERSION,
        "metric": comp.metric,
        "folds": [digest(workspace.fold(model.name, k) / "predicted.json") for k in range(comp.folds.n)],
    }
    folder = workspace.model(model.name)
    outputs = [folder / "metrics.json", folder / "oof.parquet"]
    if comp.has_test:
        outputs.append(folder / "test.parquet")
    return Step(folder / "predicted.json", inputs, tuple(outputs))


def state_of(comp: Competition, workspace: Workspace, model: Model) -> str:
    """Whether a model's predictions are those of its weights as they are now."""
    fold_states = [fold_step(comp, workspace, model, k).state() for k in range(comp.folds.n)]
    if "stale" in fold_states:
        return "stale"
    return "missing" if "missing" in fold_states else step(comp, workspace, model).state()


def _need_trained(comp: Competition, workspace: Workspace, model: Model) -> None:
    states = [training.step(comp, workspace, model, k).state() for k in range(comp.folds.n)]
    lacking = [k for k, state in enumerate(states) if state != "done"]
    if lacking:
        raise RequestError(
            f"predict: {model.name} fold {lacking[0]} is {states[lacking[0]]} ({len(lacking)} of {comp.folds.n} folds "
            f"are not trained as the file says); run `pipeline train` with --model {model.name}"
        )


def _predict_fold(comp: Competition, workspace: Workspace, model: Model, fold: int, log: Log) -> None:
    loaded = training.load_rows(comp, workspace)
    work, test = training.fold_of_rows(comp, workspace, model, fold, loaded, log), test_rows(workspace)
    readable = test[test["readable"]]
    log.say(f"predict {work.name}: {len(work.held_out):,} held out, {len(readable):,} test")
    started = time.monotonic()
    predicted = kind_of(comp).predict_fold(work, readable)
    unread = test["id"][~test["readable"]].to_list()
    about = {"model": model.name, "versions": versions(comp)}
    for name, (oof, unseen) in predicted.items():
        oof.save(work.folder / name / "oof.parquet", **about)
        if comp.has_test:
            with_priors(unseen, loaded[0], unread).save(work.folder / name / "test.parquet", **about)
    fold_step(comp, workspace, model, fold).record(seconds=round(time.monotonic() - started, 2))


def with_priors(preds: Predictions, rows: pd.DataFrame, unread: Sequence[str]) -> Predictions:
    """A test image that cannot be read still gets predictions: what is known from the training rows alone."""
    if not unread:
        return preds
    known = {spec.name: np.tile(priors(spec, rows[spec.name]), (len(unread), 1)) for spec in preds.specs}
    blind = Predictions(np.asarray(unread, dtype=str), np.full(len(unread), NO_FOLD), preds.specs, known)
    return predictions.join([preds, blind])


def test_rows(workspace: Workspace) -> pd.DataFrame:
    """The test rows, audited, sorted by id."""
    rows = audited_rows(workspace)
    return rows[rows["split"] == "test"].sort_values("id", ignore_index=True)


def versions(comp: Competition) -> dict[str, str]:
    """Versions of the libraries that make the numbers."""
    from importlib.metadata import version

    return {name: version(name) for name in kind_of(comp).LIBRARIES}


def _join_folds(comp: Competition, workspace: Workspace, model: Model, log: Log) -> None:
    """Held-out rows of all folds together; test rows as the mean over the folds; the CV of both kinds."""
    folder = workspace.model(model.name)
    scores: dict[str, Any] = {"model": model.name}
    for kind, within in kind_of(comp).PASSES:
        folds = [workspace.fold(model.name, k) / within for k in range(comp.folds.n)]
        oof = predictions.join([predictions.load(fold / "oof.parquet") for fold in folds])
        scores[kind] = cross_validate(comp, workspace, oof)
        if within:
            continue
        oof.save(folder / "oof.parquet", model=model.name, versions=versions(comp))
        if comp.has_test:
            tests = [predictions.load(fold / "test.parquet") for fold in folds]
            mean = predictions.blend(tests, [1.0] * len(tests))
            mean.save(folder / "test.parquet", model=model.name, versions=versions(comp))
    scores["seconds"] = round(seconds_of(comp, workspace, model), 1)
    write_json(folder / "metrics.json", scores)
    step(comp, workspace, model).record()
    shown = {"cv": "", "tta_cv": " with TTA"}
    log.say(
        f"predict {model.name}: {', '.join(say_cv(scores[kind]) + shown[kind] for kind, _ in kind_of(comp).PASSES)}"
    )


def seconds_of(comp: Competition, workspace: Workspace, model: Model) -> float:
    """Seconds of training and predicting, over the folds that are done."""
    steps = [training.step(comp, workspace, model, k) for k in range(comp.folds.n)]
    steps += [fold_step(comp, workspace, model, k) for k in range(comp.folds.n)]
    return sum(done.facts().get("seconds", 0.0) for done in steps)


def cross_validate(comp: Competition, workspace: Workspace, oof: Predictions) -> dict[str, dict[str, float]]:
    """Each target's metrics over all out-of-fold rows: {target: {metric: value}}."""
    rows = training.training_rows(workspace).set_index("id").loc[list(oof.ids)]
    scores = {}
    for spec in oof.specs:
        truth, preds = truth_of(spec, rows[spec.name]), for_metric(spec, oof.values[spec.name])
        names = reported(spec.kind, comp.metric)
        scores[spec.name] = {name: round(METRICS[name].compute(truth, preds), 6) for name in names}
    return scores


def say_cv(cv: Mapping[str, Mapping[str, float]]) -> str:
    """The first metric of each target, in words."""
    firsts = [(target, *next(iter(values.items()))) for target, values in cv.items()]
    return ", ".join(f"{target} {metric} {value:.4f}" for target, metric, value in firsts)
