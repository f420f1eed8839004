"""submit: the submission file, checked against the sample before it is written."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import numpy as np
import pandas as pd

from pipeline import deciding, predictions
from pipeline.config import Competition
from pipeline.data.sample import find_sample
from pipeline.errors import RequestError, WorkFailed
from pipeline.forms import Column
from pipeline.freshness import Step, digest
from pipeline.log import Log
from pipeline.predictions import Predictions, TargetSpec
from pipeline.scoring import pooled_kept
from pipeline.stage import Stage
from pipeline.submission import (
    as_sent,
    columns_meant,
    decided,
    fill_in,
    form_codes,
    meant_besides,
    none_meant,
    sample_path,
    sheet_of,
)
from pipeline.workspace import Workspace, read_json, write_json, write_text, write_with

VERSION = 1
SURPRISING = 4.0  # standard deviations between predicted and OOF share of a class


def submit(comp: Competition, workspace: Workspace, log: Log, force: bool = False, member: str = "ensemble") -> bool:
    """Write and check the submission of the ensemble, or of one model. Returns whether it did anything.

    Raises WorkFailed, and writes nothing, if any check fails; RequestError if there is no test set.
    """
    if not comp.has_test:
        raise RequestError(f"{comp.slug} has no test set (data.test or data.holdout), so there is nothing to submit")
    writing = step(comp, workspace, member)
    if writing.done() and not force:
        _remember(workspace, writing.outputs[0].name)
        file_sent(comp, writing.outputs[0])
        return False
    if not workspace.test(member).is_file():
        raise WorkFailed(f"no test predictions of {member!r} yet; run `pipeline predict` and `pipeline ensemble`")
    preds = decided(comp, workspace, predictions.load(workspace.test(member)))
    preds, oof = (
        deciding.as_sent(comp, own, workspace.decision(member))
        for own in (preds, predictions.load(workspace.oof(member)))
    )
    sheet = sheet_of(comp, workspace, preds.specs)
    filled = fill_in(sheet.id_column, sheet.sample, sheet.columns, replace(preds, specs=sheet.specs))
    table = deciding.whole_numbers(comp, sheet.columns, filled)
    check_submission(table, sheet.id_column, sheet.sample, sheet.columns, sheet.specs)
    shifts = class_shifts(sheet.columns, preds, oof)
    for shift in shifts:
        log.warn(
            f"{shift['target']} {shift['class']!r}: {shift['predicted']:.1%} of the test rows, "
            f"but {shift['oof']:.1%} of the out-of-fold rows"
        )
    (path,) = writing.outputs
    sent = as_sent(comp, workspace, table, sheet.columns)
    write_text(path, sent.to_csv(index=False, lineterminator="\n"))
    metrics = read_json(workspace.metrics(member)) or {}
    made = {"member": member, "cv": metrics.get("tta_cv") or metrics.get("cv"), "fingerprint": writing.inputs}
    made |= {"pooled": pooled} if (pooled := pooled_kept(metrics)) else {}
    scores = (read_json(path.with_suffix(".json")) or {}).get("scores", {})  # the same file may have been sent
    write_json(path.with_suffix(".json"), {**made, "class_shifts": shifts, "scores": scores})
    _remember(workspace, path.name)
    writing.record()
    against = find_sample(workspace.raw, comp.submission.sample)
    checked = "the test set's ids" if against is None or comp.data.held_back is not None else against.name
    log.say(f"submit: {workspace.show(file_sent(comp, path))} ({len(sent):,} rows, checked against {checked})")
    return True


def step(comp: Competition, workspace: Workspace, member: str = "ensemble") -> Step:
    sample, columns = sample_path(comp, workspace), columns_meant(comp, workspace)
    inputs = {
        "version": VERSION,
        "preds": digest(workspace.test(member)),
        "columns": columns,
        "sample": digest(sample) if sample else None,
        **({"decision": digest(workspace.decision(member))} if deciding.decides(comp) else {}),
        **form_codes(comp),
        **meant_besides(comp, workspace),
        **_none(comp, workspace, columns),
    }
    stamp = workspace.submitted(member)
    known = Step(stamp, inputs, ())
    if known.same_inputs():
        names = [Path(place).name for place in known.facts()["outputs"]]
    else:  # named by what it was made from: another result never overwrites a file that may have been sent
        names = [f"{member}-{hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:8]}.csv"]
    return Step(stamp, inputs, tuple(workspace.submissions / name for name in names))


STAGE = Stage(
    submit,
    lambda comp, workspace: [("", step(comp, workspace))],
    needs=("ensemble",),
    applies=lambda comp: comp.has_test,
)


def _none(comp: Competition, workspace: Workspace, columns: Mapping[str, str]) -> dict[str, Any]:
    """What is written where no class is decided for, as far as it is something, and some column holds decisions."""
    shown = {Column.of(name, source) for name, source in columns.items() if source}
    decisions = {column.target for column in shown if column.label is None}
    said = {name: options for name, options in none_meant(comp, workspace).items() if name in decisions}
    return {"none": said} if said else {}


def latest(workspace: Workspace) -> str | None:
    """The name of the newest submission file that is still there."""
    name = (read_json(workspace.latest_submission) or {}).get("file")
    return name if name and (workspace.submissions / name).is_file() else None


def file_sent(comp: Competition, path: Path) -> Path:
    """The file of a submission that is sent: the CSV, or a zip of it beside it, which is made where it is not there."""
    if comp.submission.file == "csv":
        return path
    packed, content = path.with_suffix(".csv.zip"), path.read_bytes()
    try:
        with ZipFile(packed) as known:
            there = known.namelist() == [path.name] and known.read(path.name) == content
    except (OSError, BadZipFile):
        there = False
    if not there:
        write_with(packed, lambda place: _pack(place, path.name, content))
    return packed


def _pack(path: Path, name: str, content: bytes) -> None:
    """One member of a zip, of the same bytes whenever it is made."""
    with ZipFile(path, "w") as archive:
        archive.writestr(ZipInfo(name), content, ZIP_DEFLATED)


def _remember(workspace: Workspace, name: str) -> None:
    if latest(workspace) != name:
        write_json(workspace.latest_submission, {"file": name})


def check_submission(
    table: pd.DataFrame,
    id_column: str,
    sample: pd.DataFrame,
    columns: list[Column],
    specs: tuple[TargetSpec, ...],
) -> None:
    """Raise WorkFailed unless the table has the sample's ids, columns and order, and only sound values."""
    if list(table.columns) != list(sample.columns):
        raise WorkFailed(f"submission columns {list(table.columns)} are not the sample's {list(sample.columns)}")
    mine, theirs = table[id_column].to_numpy(), sample[id_column].to_numpy()
    if len(mine) != len(theirs) or (mine != theirs).any():
        raise WorkFailed(f"submission ids are not the sample's, in its order ({len(mine)} and {len(theirs)} rows)")
    by_name = {spec.name: spec for spec in specs}
    for column in columns:
        problem = _problem(table[column.name], column, by_name[column.target])
        if problem:
            raise WorkFailed(f"submission column {column.name!r}: {problem}; nothing was written")


def _problem(cells: pd.Series, column: Column, spec: TargetSpec) -> str | None:
    if cells.isna().any():
        return f"{int(cells.isna().sum())} empty cells"
    return column.entry.problem(spec, cells)


def class_shifts(columns: list[Column], preds: Predictions, oof: Predictions) -> list[dict[str, Any]]:
    """Classes whose share among the decisions on test differs from that on OOF rows by more than chance.

    A shift can be real (another test set) or a sign of mixed-up rows: the user is told where to look.
    """
    found = []
    for name in sorted({column.target for column in columns}):
        spec = preds.spec(name)
        predicted, known = (spec.target_kind.class_shares(spec, part.values[name]) for part in (preds, oof))
        if predicted is None or known is None:
            continue
        pooled = (predicted * len(preds) + known * len(oof)) / (len(preds) + len(oof))
        noise = np.sqrt(pooled * (1 - pooled) * (1 / len(preds) + 1 / len(oof)))
        for code in np.flatnonzero(np.abs(predicted - known) > SURPRISING * noise):
            found.append(
                {
                    "target": name,
                    "class": spec.vocab[code],
                    "predicted": round(float(predicted[code]), 4),
                    "oof": round(float(known[code]), 4),
                }
            )
    return found
