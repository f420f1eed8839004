"""infer: a submission from trained folds alone, of whatever test set is mounted (a code competition swaps it)."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipeline import deciding, predictions
from pipeline.blending import combine
from pipeline.cases import CASE, answer_ids, by_case, unseen_in
from pipeline.commands.reopen import need_images, open_fold
from pipeline.config import Competition
from pipeline.data.audit import inspect_images
from pipeline.data.boxes import CUT, sides_in
from pipeline.data.channels import RGB, Channels, Said
from pipeline.data.longform import long_form
from pipeline.data.sample import find_sample
from pipeline.errors import RequestError, WorkFailed
from pipeline.jobs import jobs_of
from pipeline.kaggle.manifest import Entry
from pipeline.log import Log
from pipeline.predictions import Predictions
from pipeline.rows import training_rows
from pipeline.stages.data import fetch_if_needed
from pipeline.stages.predict import with_priors
from pipeline.stages.submit import check_submission
from pipeline.submission import as_sent, decided, fill_in, sheet_of
from pipeline.vision.auditing import say_unreadable
from pipeline.vision.boxes import refuse_empty
from pipeline.vision.cases import ids_in_tables
from pipeline.vision.config import ImageCompetition, ImageModel
from pipeline.vision.features import read_test_features, sorts_in
from pipeline.vision.manifest import find_test_rows
from pipeline.vision.member import Member
from pipeline.vision.metadata import read_metadata
from pipeline.workspace import ENSEMBLE, WEIGHTS, Workspace, read_json, write_text


def infer(
    comp: Competition, workspace: Workspace, bundle: Path, entries: Sequence[Entry], target: Path, log: Log
) -> None:
    """Predict the mounted test images with every bundled fold, blend as the ensemble does, write `target`.

    The classes and their shares are those of the bundled manifest; the test images and the sample are the mounted
    ones. Raises WorkFailed where folds are missing, or the file does not match the sample.
    """
    comp = need_images(comp)
    files = {entry.place: bundle / entry.name for entry in entries if entry.place}
    weights = _weights_of(comp, workspace, files)
    fetch_if_needed(comp, workspace, log)
    kept = [workspace.manifest, workspace.facts, workspace.folds]
    kept += [workspace.features] if comp.data.has_features else []
    for path in kept:
        shutil.copyfile(files[path.relative_to(workspace.root).as_posix()], path)
    test = _test_rows(comp, workspace, _channels_of(comp, weights), log)
    if comp.data.has_features:
        sorts = sorts_in(pd.read_parquet(workspace.features))
        own = ids_in_tables(test, comp.data)
        test = pd.concat([test, read_test_features(workspace.raw, comp.data, sorts, own)], axis=1)
    members = {model.name: _predict(comp, workspace, model, weights[model.name], test, log) for model in comp.models}
    preds = decided(comp, workspace, _blend(comp, files, workspace, members))
    known = pd.read_parquet(workspace.manifest)
    found = test[["id", "path", *[CASE] * (CASE in test)]].assign(split="test")
    mounted = pd.concat([known[known["split"] == "train"], found])
    sheet = sheet_of(comp, workspace, preds.specs, mounted)
    place = workspace.decision(ENSEMBLE).relative_to(workspace.root).as_posix()
    sent = deciding.as_sent(comp, preds, files.get(place, bundle / place))
    filled = fill_in(sheet.id_column, sheet.sample, sheet.columns, replace(sent, specs=sheet.specs))
    table = deciding.whole_numbers(comp, sheet.columns, filled)
    check_submission(table, sheet.id_column, sheet.sample, sheet.columns, sheet.specs)
    table = as_sent(comp, workspace, table, sheet.columns)
    write_text(target, table.to_csv(index=False, lineterminator="\n"))
    log.say(f"infer: {target} ({len(table):,} rows, checked against {comp.submission.sample})")


def _weights_of(comp: Competition, workspace: Workspace, files: dict[str, Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for model in comp.models:
        paths = [job.folder(workspace) / WEIGHTS for job in jobs_of(comp, model.name)]
        places = [path.relative_to(workspace.root).as_posix() for path in paths]
        lost = [k for k, place in enumerate(places) if place not in files]
        if lost:
            raise WorkFailed(
                f"infer: the bundle has no trained weights of {model.name} fold {lost[0]}; train every fold (or pull "
                "those trained on Kaggle), then bundle and push again"
            )
        found[model.name] = [files[place] for place in places]
    return found


def _channels_of(comp: Competition, weights: dict[str, list[Path]]) -> Channels:
    """Those of the images that the first model was trained on, as its weights say; RGB where they say nothing."""
    known = read_metadata(weights[comp.models[0].name][0])
    return RGB if known is None else known.image_channels


def _test_rows(comp: ImageCompetition, workspace: Workspace, channels: Channels, log: Log) -> pd.DataFrame:
    """The mounted test images with `readable`, sorted by id; one of other channels than those trained on is not."""
    if comp.data.test is None:
        raise RequestError("data.test: a kernel predicts a test set, and the file names none")
    sample = find_sample(workspace.raw, comp.submission.sample)
    long = long_form(comp, workspace.raw)
    found = find_test_rows(workspace.raw, comp.data, sample, log, comp.submission.id, long)
    test = found.sort_values("id", ignore_index=True)
    with log.bar("check test images") as progress:
        paths, said = [workspace.raw / path for path in test["path"]], comp.data.said_channels
        if channels != RGB:
            said = Said(channels.count, channels.axis)
        facts = inspect_images(paths, workers=4, progress=progress, said=said, boxes=sides_in(test))
    if CUT in facts:
        refuse_empty(test, facts[CUT], facts["width"], facts["height"])
        test[CUT] = facts[CUT]
    if "channels" in facts:
        odd = facts["readable"] & (facts["channels"] != channels.count)
        words = [f"has {count} channels, and the models take {channels.count}" for count in facts["channels"]]
        facts = facts.assign(readable=facts["readable"] & ~odd, error=facts["error"].where(~odd, pd.Series(words)))
    readable = facts["readable"].to_numpy()
    lost = test[["id", "path"]].assign(error=facts["error"])[~readable]
    say_unreadable(lost.to_dict("records"), "test", "get a row of class priors", log)
    return test.assign(readable=readable)


def _predict(
    comp: Competition,
    workspace: Workspace,
    model: Member,
    weights: Sequence[Path],
    test: pd.DataFrame,
    log: Log,
) -> Predictions:
    """The mean over the folds of one model; an image that cannot be read gets the classes' shares."""
    seen, unread = test[test["readable"]], answer_ids(test[test["id"].isin(unseen_in(test))]).to_list()
    if seen.empty:
        raise WorkFailed(f"infer: none of the {len(test)} mounted test images can be read")
    parts = []
    for job, path in zip(jobs_of(comp, model.name), weights, strict=True):
        log.say(f"infer {job.title}: {len(seen):,} images")
        trained = open_fold(comp, workspace, job, path)
        tta = model.tta if isinstance(model, ImageModel) else None
        rows = trained.predict_rows(seen, workspace.raw, tta=tta).tta
        parts.append(rows if comp.data.combination is None else by_case(rows, seen, comp.data.combination))
    mean = predictions.blend(parts, [1.0] * len(parts))
    return with_priors(mean, training_rows(workspace), unread) if unread else mean


def _blend(
    comp: Competition, files: dict[str, Path], workspace: Workspace, members: dict[str, Predictions]
) -> Predictions:
    place = workspace.blend_weights.relative_to(workspace.root).as_posix()
    weights = read_json(files[place]) if place in files else None
    if weights is None and len(members) > 1:
        raise WorkFailed(
            "infer: the bundle has no ensemble weights; run `pipeline ensemble`, then bundle and push again"
        )
    return combine(comp.ensemble.method, members, weights or {comp.models[0].name: 1.0})
