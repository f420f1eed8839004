"""check: the audit of every image or rating, before anything is trained on them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config import Competition
from pipeline.data.audit import audit, inspect_images
from pipeline.data.duplicates import near_duplicate_groups
from pipeline.errors import RequestError
from pipeline.freshness import Step, digest
from pipeline.log import Log
from pipeline.machine import cores
from pipeline.workspace import Workspace, write_json, write_with

VERSION = 1
FOUND = ("readable", "sha256", "group")  # which no target may be called
ALONE = -1  # the group of an image that resembles no other


def check(comp: Competition, workspace: Workspace, log: Log, force: bool = False) -> bool:
    """Look at every row once; write its facts and the audit. Returns whether it did anything."""
    checking = step(comp, workspace)
    if checking.done() and not force:
        return False
    manifest = pd.read_parquet(workspace.manifest)
    look = _look_at_ratings if comp.kind == "ratings" else _look_at_images
    facts, summary, say = look(comp, workspace, manifest, log)
    write_with(workspace.facts, lambda file: facts.to_parquet(file, index=False))
    write_json(workspace.audit, summary)
    checking.record()
    say(summary, log)
    return True


Say = Callable[[dict[str, Any], Log], None]


def _look_at_images(
    comp: Competition, workspace: Workspace, manifest: pd.DataFrame, log: Log
) -> tuple[pd.DataFrame, dict[str, Any], Say]:
    paths = [workspace.raw / path for path in manifest["path"]]
    with log.bar("check images") as progress:
        facts = inspect_images(paths, workers=cores(), progress=progress)
    groups = near_duplicate_groups(facts)
    summary = audit(manifest, facts, groups, [target.name for target in comp.targets])
    _refuse_hopeless(manifest, facts, workspace)
    return _facts(manifest, facts, groups), summary, say_audit


def _look_at_ratings(
    comp: Competition, workspace: Workspace, manifest: pd.DataFrame, log: Log
) -> tuple[pd.DataFrame, dict[str, Any], Say]:
    from pipeline.collab.audit import audit_ratings, refuse_outside, say_audit, titles_of

    refuse_outside(manifest, comp.models)
    facts = manifest[["id", "split"]].assign(readable=True, sha256="", group=ALONE)
    return facts, audit_ratings(manifest, titles_of(workspace.raw, comp.data)), say_audit


def step(comp: Competition, workspace: Workspace) -> Step:
    inputs = {"version": VERSION, "manifest": digest(workspace.manifest)}
    return Step(workspace.meta / "check.json", inputs, (workspace.facts, workspace.audit))


def audited_rows(
    workspace: Workspace, found: Sequence[str] = FOUND, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """The manifest, or some columns of it, with what the audit found of each row, in the manifest's order."""
    manifest = pd.read_parquet(workspace.manifest, columns=columns and ["id", "split", *columns])
    facts = pd.read_parquet(workspace.facts, columns=["id", "split", *found])
    return manifest.merge(facts, on=["id", "split"], validate="one_to_one")


def _facts(manifest: pd.DataFrame, facts: pd.DataFrame, groups: list[list[int]]) -> pd.DataFrame:
    """What later stages need of an image: can it be read, what are its bytes, which others resemble it."""
    group = np.full(len(facts), ALONE)
    for number, members in enumerate(groups):
        group[members] = number
    about = facts[["readable", "error", "format", "mode", "width", "height", "orientation", "sha256"]]
    return pd.concat([manifest[["id", "split"]], about], axis=1).assign(group=group)


def _refuse_hopeless(manifest: pd.DataFrame, facts: pd.DataFrame, workspace: Workspace) -> None:
    for split in manifest["split"].unique():
        rows = (manifest["split"] == split).to_numpy()
        if not facts["readable"][rows].any():
            first = facts[rows].iloc[0]
            raise RequestError(
                f"none of the {rows.sum()} {split} files below {workspace.raw} is a readable image; "
                f"the first is {first['path']}: {first['error']}"
            )


def say_audit(summary: dict[str, Any], log: Log) -> None:
    """The findings that a person should know, a line each."""
    counts = summary["counts"]
    log.say(
        f"check: {counts['readable']:,} of {counts['train'] + counts['test']:,} images can be read; "
        "details in audit.json"
    )
    bad = summary["unreadable"]
    for split, consequence in (("train", "left out"), ("test", "get a row of class priors")):
        ids = [row["id"] for row in bad if row["split"] == split]
        if ids:
            log.warn(f"{len(ids)} unreadable {split} image(s) {consequence}: {_some(ids)}")
    findings = [
        (len(summary["mislabelled"]), "files whose ending is not their format"),
        (len(summary["modes"]), "images that are not RGB (read as RGB)"),
        (
            sum(row["mode"][0] in "IF" for row in summary["modes"]),
            "of them with 16 or 32 bits (what is above 255 is clipped, as by fastai)",
        ),
        (len(summary["rotated"]), "images with an EXIF rotation (turned upright)"),
        (len(summary["exact_duplicates"]), "groups of identical files"),
        (len(summary["near_duplicates"]), "groups of near-duplicates (kept in one fold)"),
        (len(summary["conflicts"]), "groups of duplicates with different labels"),
        (len(summary["leaks"]), "groups of duplicates across train and test"),
    ]
    for count, what in findings:
        if count:
            log.say(f"  {count:>5} {what}")


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
