"""predict: each model's out-of-fold and test predictions, with and without TTA, keyed by id."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline import deciding, predictions
from pipeline.cases import combined, inputs_of, unseen_in, ways
from pipeline.combinations import in_words
from pipeline.config import Competition, Model
from pipeline.data.labels import priors
from pipeline.errors import RequestError
from pipeline.freshness import Step, digest
from pipeline.jobs import Job, chosen_models, jobs_of
from pipeline.kinds import kind_of, versions_of
from pipeline.log import Log
from pipeline.predictions import NO_FOLD, Predictions
from pipeline.rows import Loaded, load_rows, test_rows
from pipeline.scoring import (
    OofScores,
    cross_validate,
    cv_in_words,
    fit_decisions,
    kept_scores,
    mean_of,
    reserve_in_words,
    scored_by,
)
from pipeline.settings import Settings
from pipeline.stage import Part, Stage, worst
from pipeline.stages import presize
from pipeline.stages import train as training
from pipeline.workspace import OOF, PREDICTED, TEST, TRAINED, Workspace, write_json

VERSION = 1


def predict(
    comp: Competition, workspace: Workspace, log: Log, force: bool = False, only_model: str | None = None
) -> bool:
    """Predict what is not up to date. Returns whether it did anything.

    Raises RequestError for a model that is not trained on every fold.
    """
    did = False
    for model in chosen_models(comp, only_model):
        _need_trained(comp, workspace, model)
        if not force and worst(part.state() for _, part in _parts_of(comp, workspace, model)) == "done":
            continue
        presize.ensure(comp, workspace, log)
        loaded = load_rows(comp, workspace)
        for job in jobs_of(comp, model.name):
            if force or not fold_step(comp, workspace, job).done():
                _predict_fold(comp, workspace, job, loaded, log)
        _join_folds(comp, workspace, model, log)
        did = True
    return did


def fold_step(comp: Competition, workspace: Workspace, job: Job) -> Step:
    """One fold's predictions: its weights, and how often it is augmented."""
    kind, folder = kind_of(comp), job.folder(workspace)
    inputs = {
        "version": VERSION,
        "trained": digest(folder / TRAINED),
        "manifest": digest(workspace.manifest),
        "facts": digest(workspace.facts),
        **kind.prediction_inputs(job.model),
    }
    names = [OOF, TEST] if comp.has_test else [OOF]
    paths = [folder / place / name for _, place in kind.passes for name in names]
    return Step(folder / PREDICTED, inputs, tuple(paths))


def step(comp: Competition, workspace: Workspace, model: Model) -> Step:
    """A model's joined predictions: the stamps of all its folds."""
    scoring = comp.leaderboard.settings()
    inputs = {
        "version": VERSION,
        **scoring,
        **inputs_of(comp),
        **deciding.inputs_of(comp, workspace),
        "folds": [digest(job.folder(workspace) / PREDICTED) for job in jobs_of(comp, model.name)],
    }
    outputs = [workspace.metrics(model.name), workspace.oof(model.name)]
    outputs += deciding.outputs_of(comp, workspace, model.name)
    if comp.has_test:
        outputs.append(workspace.test(model.name))
    return Step(workspace.predicted(model.name), Settings(inputs, scoring.defaults), tuple(outputs))


def _parts_of(comp: Competition, workspace: Workspace, model: Model) -> Iterator[Part]:
    """The folds of a model; and, once they are all there, what joins them."""
    states = []
    for job in jobs_of(comp, model.name):
        part = fold_step(comp, workspace, job)
        states.append(part.state())
        yield job.title, part
    if worst(states) == "done":
        yield model.name, step(comp, workspace, model)


STAGE = Stage(
    predict,
    lambda comp, workspace: (part for model in comp.models for part in _parts_of(comp, workspace, model)),
    needs=("train", "presize"),
    looks_itself=frozenset({"train"}),
)


def _need_trained(comp: Competition, workspace: Workspace, model: Model) -> None:
    jobs = jobs_of(comp, model.name)
    states = {job.fold: training.step(comp, workspace, job).state() for job in jobs}
    lacking = [fold for fold, state in states.items() if state != "done"]
    if lacking:
        raise RequestError(
            f"predict: {model.name} fold {lacking[0]} is {states[lacking[0]]} ({len(lacking)} of {len(jobs)} folds "
            f"are not trained as the file says); run `pipeline train` with --model {model.name}"
        )


def _predict_fold(comp: Competition, workspace: Workspace, job: Job, loaded: Loaded, log: Log) -> None:
    fold, test = training.fold_of(comp, workspace, job, loaded), test_rows(workspace)
    readable = test[test["readable"]]
    log.say(f"predict {fold.name}: {len(fold.held_out):,} held out, {len(readable):,} test")
    started = time.monotonic()
    predicted = kind_of(comp).predict_fold(fold, readable, log)
    unread = unseen_in(test)
    about = {"model": job.model.name, "versions": versions_of(comp)}
    for name, (oof, unseen) in predicted.items():
        oof.save(fold.folder / name / OOF, **about)
        if comp.has_test:
            with_priors(unseen, loaded.rows, unread).save(fold.folder / name / TEST, **about)
    fold_step(comp, workspace, job).record(seconds=round(time.monotonic() - started, 2))


def with_priors(preds: Predictions, rows: pd.DataFrame, unread: Sequence[str]) -> Predictions:
    """A test image that cannot be read still gets predictions: what is known from the training rows alone."""
    if not unread:
        return preds
    known = {spec.name: np.tile(priors(spec, rows[spec.name]), (len(unread), 1)) for spec in preds.specs}
    blind = Predictions(np.asarray(unread, dtype=str), np.full(len(unread), NO_FOLD), preds.specs, known)
    return predictions.join([preds, blind])


def _join_folds(comp: Competition, workspace: Workspace, model: Model, log: Log) -> None:
    """Held-out rows of all folds together; test rows as the mean over the folds; the CV of both kinds."""
    passes = kind_of(comp).passes
    about = {"model": model.name, "versions": versions_of(comp)}
    scores: dict[str, OofScores] = {}
    each: dict[str, OofScores] = {}
    for kind, within in passes:
        folds = [job.folder(workspace) / within for job in jobs_of(comp, model.name)]
        rows = predictions.join([predictions.load(fold / OOF) for fold in folds])
        oof = combined(comp, workspace, rows)
        scores[kind] = cross_validate(comp, workspace, oof)
        if within:
            continue
        own = comp.data.combination  # which is scored already
        each = {
            way: scores[kind] if way == own else cross_validate(comp, workspace, combined(comp, workspace, rows, way))
            for way in ways(comp)
        }
        oof.save(workspace.oof(model.name), **about)
        for path in deciding.outputs_of(comp, workspace, model.name):
            write_json(path, fit_decisions(comp, workspace, oof))
        if comp.has_test:
            tests = [combined(comp, workspace, predictions.load(fold / TEST)) for fold in folds]
            predictions.blend(tests, [1.0] * len(tests)).save(workspace.test(model.name), **about)
    kept: dict[str, Any] = {"model": model.name} | {kind: own.cv for kind, own in scores.items()}
    kept |= {"seconds": round(seconds_of(comp, workspace, model), 1), "fold_scores": kept_scores(comp, scores)}
    scored = scored_by(comp, workspace)
    worth = _worth(comp, scored, each)
    write_json(workspace.metrics(model.name), kept | ({"by_case": worth} if worth else {}))
    step(comp, workspace, model).record()
    shown = {"cv": "", "tta_cv": "with TTA "}
    means = {kind: mean_of(comp.leaderboard, scored, *own) for kind, own in scores.items()}
    said = [shown[kind] + cv_in_words(scores[kind].cv, mean) for kind, mean in means.items()]
    log.say(f"predict {model.name}: {'; '.join(said)}{reserve_in_words(comp)}")
    if worth:
        log.say(f"predict {model.name}: {_worth_in_words(worth, comp.data.combination)}")


def _worth(comp: Competition, scored: Sequence[str], each: Mapping[str, OofScores]) -> dict[str, float | None]:
    """The leaderboard's mean of each way to combine the rows of a case."""
    means = {way: mean_of(comp.leaderboard, scored, *scores) for way, scores in each.items()}
    return {way: mean.get("value") for way, mean in means.items()}


def _worth_in_words(worth: Mapping[str, float | None], own: str | None) -> str:
    said = [
        f"{in_words(way)} {'none' if value is None else format(value, '.4f')}{' (data.combine)' if way == own else ''}"
        for way, value in worth.items()
    ]
    return f"by case: {', '.join(said)}"


def seconds_of(comp: Competition, workspace: Workspace, model: Model) -> float:
    """Seconds of training and predicting, over the folds that are done."""
    jobs = jobs_of(comp, model.name)
    steps = [training.step(comp, workspace, job) for job in jobs] + [fold_step(comp, workspace, job) for job in jobs]
    return sum(done.facts().get("seconds", 0.0) for done in steps)
