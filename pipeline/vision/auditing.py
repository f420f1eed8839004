"""The audit of images: every file looked at once, and what a person should know of them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.data.audit import audit, inspect_images
from pipeline.data.boxes import CUT, sides_in
from pipeline.data.channels import channels_in_words, channels_of
from pipeline.data.duplicates import alike
from pipeline.data.levels import said_of, sort_of
from pipeline.errors import RequestError
from pipeline.kinds import Audit
from pipeline.log import Log
from pipeline.machine import cores
from pipeline.rows import ALONE
from pipeline.vision.boxes import counts_of, refuse_empty
from pipeline.vision.config import ImageCompetition
from pipeline.vision.groups import LARGE, large_group
from pipeline.workspace import Workspace

# What the audit keeps of an image.
KEPT = ["readable", "error", "format", "mode", "width", "height", "orientation", "sha256"]


def audit_images(comp: ImageCompetition, workspace: Workspace, manifest: pd.DataFrame, log: Log) -> Audit:
    """Facts of each image, what is odd in all of them, and groups of those that resemble each other.

    Raises RequestError where no image of a split can be read, or a box lies outside of its image.
    """
    paths = [workspace.raw / path for path in manifest["path"]]
    with log.bar("check images") as progress:
        facts = inspect_images(
            paths, workers=cores(), progress=progress, said=comp.data.said_channels, boxes=sides_in(manifest)
        )
    _refuse_hopeless(manifest, facts, workspace)
    relative = facts.assign(path=manifest["path"])
    channels = channels_of(relative, comp.data.said_channels)
    looks, about = facts, {}
    if CUT in facts:
        refuse_empty(manifest, facts[CUT], facts["width"], facts["height"])
        looks, about = facts.assign(sha256=facts["sha256"] + facts[CUT]), {"boxes": counts_of(manifest, facts)}
    counted = ((manifest["split"] == "train") & facts["readable"]).to_numpy(bool)
    fold = max(1, round(comp.folds.part * counted.sum()))
    groups, chains = alike(looks, counted, fold)
    large = _Large(int(counted.sum()), fold, chains, sorted(int(counted[rows].sum()) for rows in groups)[::-1])
    names = [target.name for target in comp.targets]
    summary = audit(manifest, looks, groups, names, channels, comp.data.levels) | about
    if large.groups and large.groups[0] > fold:
        summary[LARGE] = large_group(large.groups[0], fold)
    found = facts[[*KEPT, *[CUT] * (CUT in facts)]]
    kept = pd.concat([manifest[["id", "split"]], found], axis=1).assign(group=_numbered(groups, len(facts)))
    words = channels_in_words(channels, relative, comp.data.said_channels) if channels.settings() else ""
    return Audit(kept, summary, partial(_say_audit, summary, large, words))


def _numbered(groups: Sequence[Sequence[int]], rows: int) -> np.ndarray:
    """The number of each row's group of images that resemble each other."""
    group = np.full(rows, ALONE)
    for number, members in enumerate(groups):
        group[members] = number
    return group


def _refuse_hopeless(manifest: pd.DataFrame, facts: pd.DataFrame, workspace: Workspace) -> None:
    for split in manifest["split"].unique():
        rows = (manifest["split"] == split).to_numpy()
        if not facts["readable"][rows].any():
            first = facts[rows].iloc[0]
            raise RequestError(
                f"none of the {rows.sum()} {split} files below {workspace.raw} is a readable image; "
                f"the first is {first['path']}: {first['error']}"
            )


def say_unreadable(rows: Sequence[Mapping[str, str]], split: str, consequence: str, log: Log) -> None:
    """Warn of images that cannot be read, with the reason of the first. `rows`: id, path and error."""
    if rows:
        shown = ", ".join(row["id"] for row in rows[:5]) + (", ..." if len(rows) > 5 else "")
        first = f"{rows[0]['path']} {rows[0]['error']}"
        log.warn(f"{len(rows)} unreadable {split} image(s) {consequence}: {shown} ({first})")


class _Large(NamedTuple):
    """Training images: all, those of a fold, of each chain of look-alikes, and of each group."""

    images: int
    fold: int
    chains: list[int]
    groups: list[int]


def _say_large(large: _Large, log: Log) -> None:
    """Near-duplicates that fill more than a fold."""
    if large.chains:
        log.warn(
            f"{large.chains[0]:,} of {large.images:,} images are near-duplicates in a chain, each of the next: more "
            f"than a fold ({large.fold:,}); only the most alike among them are kept together"
        )
    if large.groups and large.groups[0] > large.fold:
        log.warn(
            f"a group of {large.groups[0]:,} of {large.images:,} images (near-duplicates) is larger than a fold "
            f"({large.fold:,})"
        )


def _say_audit(summary: dict[str, Any], large: _Large, channels: str, log: Log) -> None:
    counts = summary["counts"]
    log.say(
        f"check: {counts['readable']:,} of {counts['train'] + counts['test']:,} images can be read; "
        "details in audit.json"
    )
    if "boxes" in summary:
        cut, beyond, whole = (summary["boxes"][what] for what in ("cut", "beyond", "whole"))
        log.say(f"  boxes: {cut:,} cut out ({beyond:,} end where their image ends), {whole:,} whole images")
    for split, consequence in (("train", "left out"), ("test", "get a row of class priors")):
        say_unreadable([row for row in summary["unreadable"] if row["split"] == split], split, consequence, log)
    findings = [
        (len(summary["mislabelled"]), "files whose ending is not their format"),
        (counts["readable"], channels)
        if channels
        else (len(summary["modes"]), "images that are not RGB (read as RGB)"),
        (
            sum(sort_of(row["mode"]) is not None for row in summary["modes"]),
            f"of them with more than 8 bits ({said_of(summary.get('levels') or {})})",
        ),
        (len(summary.get("beyond_levels", [])), "of these with values beyond (clipped)"),
        (len(summary["rotated"]), "images with an EXIF rotation (turned upright)"),
        (len(summary["exact_duplicates"]), "groups of identical files"),
        (len(summary["near_duplicates"]), "groups of near-duplicates (kept in one fold)"),
        (len(summary["conflicts"]), "groups of duplicates with different labels"),
        (len(summary["leaks"]), "groups of duplicates across train and test"),
    ]
    for count, what in findings:
        if count:
            log.say(f"  {count:>5} {what}")
    _say_large(large, log)
