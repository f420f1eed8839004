"""data: the raw files and the manifest, one row an example."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.cases import CASE, answers, tell_cases
from pipeline.config import Competition
from pipeline.data.classes import classes_in_words, doubts_about
from pipeline.data.fetch import ensure_raw, identity
from pipeline.data.labels import specs_of, strata_of
from pipeline.data.layouts import own_layouts
from pipeline.data.sample import USUAL, called_alike, find_sample, missing_in_words
from pipeline.data.stratify import choose_share
from pipeline.data.walk import without_circles
from pipeline.data.within import unpack_for
from pipeline.deciding import refuse_unscorable
from pipeline.errors import RequestError
from pipeline.freshness import Step
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.stage import Stage
from pipeline.submission import check_sample, sample_path
from pipeline.targets.classes import some
from pipeline.workspace import Workspace, write_text, write_with

if TYPE_CHECKING:
    from scipy.sparse import csr_array

VERSION = 1
BY_TAGS = "held_back_by_tags"  # in the stamp: how the test set was chosen
LEARNED = ("loss", "weight", "none")  # settings of a target that its labels do not depend on


def data(comp: Competition, workspace: Workspace, log: Log, force: bool = False) -> bool:
    """Fetch the raw files if they are not here; read them into the manifest. Returns whether it did any."""
    before = step(comp, workspace).facts()  # a new download takes the stamp away
    fetched = fetch_if_needed(comp, workspace, log, force)
    making = step(comp, workspace)
    if making.done() and not force and not fetched:
        if comp.has_test:  # what the file says of the submission may be new
            manifest = pd.read_parquet(workspace.manifest)
            if sample_path(comp, workspace) is None:
                _need_a_sample(comp, workspace, manifest, log)
            check_sample(comp, workspace, manifest)
        return False
    unpack_for(workspace.raw, _named_by_submission(comp), log)
    kind = kind_of(comp)
    manifest, about = kind.build_manifest(comp, workspace.raw, log), {}
    if comp.data.held_back is not None:
        tags = _tags(answers(manifest), comp) if _may_hold_back_by_tags(before) else None
        manifest = _hold_back(manifest, comp, workspace, tags)
        about = {} if tags is None else {BY_TAGS: True}
    if comp.has_test:
        _need_a_sample(comp, workspace, manifest, log)
        for doubt in check_sample(comp, workspace, manifest):
            log.warn(doubt)
    refuse_unscorable(comp, manifest[manifest["split"] == "train"], specs_of(comp.targets, manifest))
    _keep_features(comp, workspace, manifest, log)
    write_with(workspace.manifest, lambda file: manifest.to_parquet(file, index=False))
    step(comp, workspace).record(**about)
    _tell_classes(comp, manifest, log)
    tell_cases(comp, manifest, log)
    counts = manifest["split"].value_counts()
    log.say(
        f"data: {counts.get('train', 0):,} training and {counts.get('test', 0):,} test {kind.rows} in {workspace.raw}"
    )
    return True


def _named_by_submission(comp: Competition) -> list[str]:
    """Tables that it names, which may lie in archives."""
    long = comp.submission.long
    return [comp.submission.sample, *([] if long is None or long.table is None else [long.table])]


def _keep_features(comp: Competition, workspace: Workspace, manifest: pd.DataFrame, log: Log) -> None:
    """Write the columns that models may read besides, or take away those of an earlier file."""
    if comp.data.has_features:
        features = kind_of(comp).read_features(comp, workspace.raw, manifest, log)
        write_with(workspace.features, lambda file: features.to_parquet(file, index=False))
    else:
        workspace.features.unlink(missing_ok=True)


def step(comp: Competition, workspace: Workspace) -> Step:
    """The manifest's step: the source, what the file says about labels, every raw file's name and size."""
    inputs = {
        "version": VERSION,
        "source": identity(comp.source),
        "data": comp.data.settings(comp),
        "targets": [target.settings(comp, leave_out=LEARNED) for target in comp.targets],
        "sample": comp.submission.sample,
        "files": _listing(workspace.raw),
    }
    if comp.submission.id is not None:
        inputs["id_in_sample"] = comp.submission.id
    if comp.submission.long is not None:
        inputs["long_sample"] = comp.submission.long.settings()
    if own_layouts():
        inputs["layouts"] = own_layouts()
    outputs = [workspace.manifest, *([workspace.features] if comp.data.has_features else [])]
    if comp.data.held_back is not None:
        inputs["seed"] = comp.seed
        outputs += [workspace.solution, workspace.held_back_sample]
    return Step(workspace.stamp("data"), inputs, tuple(outputs))


STAGE = Stage(data, lambda comp, workspace: [("", step(comp, workspace))])


def fetch_if_needed(comp: Competition, workspace: Workspace, log: Log, force: bool = False) -> bool:
    """Get the raw files unless they are here. Returns whether it did. Raises RequestError for files of others."""
    return ensure_raw(comp.source, workspace, log, force)


def _listing(raw: Path) -> str | None:
    """A digest of every file's path and size below the raw folder, but for our own."""
    if not raw.is_dir():
        return None
    lines = []
    for folder, names, files in os.walk(raw, followlinks=True):
        names[:] = without_circles(folder, (name for name in names if not name.startswith(".")))
        for path in (os.path.join(folder, file) for file in files):
            size = os.path.getsize(path) if os.path.exists(path) else None  # None: a broken link
            lines.append(f"{path[len(str(raw)) :]}\t{size}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _need_a_sample(comp: Competition, workspace: Workspace, manifest: pd.DataFrame, log: Log) -> None:
    """Say which file is the sample where the file does not, or write one where there is none.

    Raises RequestError where one is named that is not there, or several may be meant.
    """
    said = comp.submission.sample
    if comp.data.held_back is not None:
        return
    found = find_sample(workspace.raw, said)
    if found is not None:
        if found.name != Path(said).name:
            log.say(f"data: {found.name} is the sample submission")
        return
    if said != USUAL or called_alike(workspace.raw):
        raise RequestError(missing_in_words(workspace.raw, said))
    own = kind_of(comp).own_sample(comp, manifest, workspace.raw)
    if own is not None:
        write_text(workspace.held_back_sample, own.to_csv(index=False, lineterminator="\n"))
        log.say(f"data: no sample submission in {workspace.raw}; one will have the columns {', '.join(own.columns)}")


def _tell_classes(comp: Competition, manifest: pd.DataFrame, log: Log) -> None:
    """Say which classes the training rows have, and what in them might not be meant."""
    train, rows = manifest[manifest["split"] == "train"], kind_of(comp).rows
    _tell_gaps(train, [target.name for target in comp.targets], rows, log)
    for target, spec in zip(comp.targets, specs_of(comp.targets, manifest), strict=True):
        labels = train[target.name].dropna()
        counts = target.target_kind.class_counts(spec, labels)
        if counts is None:
            continue
        log.say(f"data: {classes_in_words(target.name, counts, rows)}")
        for doubt in doubts_about(target.name, counts, rows):
            log.warn(doubt)


def _tell_gaps(train: pd.DataFrame, names: Sequence[str], rows: str, log: Log) -> None:
    """Say how many rows have no label of a target: a line for all targets that as many lack."""
    lacking = train[list(names)].isna().sum()
    for without in sorted(set(lacking[lacking > 0])):
        own = [name for name in names if lacking[name] == without]
        said = repr(own[0]) if len(own) == 1 else f"{len(own)} targets, such as {some(own)}"
        log.say(f"data: {without:,} of {len(train):,} {rows} have no {said}; they count for other targets")


def _may_hold_back_by_tags(recorded: Mapping[str, Any]) -> bool:
    """Not where rows were held back at random before tags took part: they stay so, models were trained without them."""
    return not recorded or BY_TAGS in recorded


def _tags(manifest: pd.DataFrame, comp: Competition) -> "csr_array | None":
    """Tags of the first target as 0/1 (rows, tags), if it has such."""
    spec = specs_of(comp.targets[:1], manifest)[0]
    strata = None if spec.exclusive else strata_of(spec, manifest[spec.name])
    return None if strata is None or isinstance(strata, np.ndarray) else strata


def _hold_back(
    manifest: pd.DataFrame, comp: Competition, workspace: Workspace, tags: "csr_array | None"
) -> pd.DataFrame:
    """Make a share of train the test set, even over the first target's classes or `tags`; keep the answers apart."""
    share, first = float(comp.data.held_back or 0), comp.targets[0]
    chosen: list[int] = []
    asked = answers(manifest)  # whole cases, where images have one answer
    if tags is not None:
        chosen = np.flatnonzero(choose_share([tags], np.arange(len(asked)), share, comp.seed)).tolist()
    else:
        generator = np.random.Generator(np.random.PCG64(comp.seed))
        strata = asked[first.name] if first.target_kind.exclusive else np.zeros(len(asked), int)
        for _, rows in asked.groupby(strata, sort=True, dropna=False):
            take = round(len(rows) * share)
            chosen += sorted(generator.permutation(rows.index.to_numpy())[:take].tolist())
    chosen = _leave_one_of_each(asked, comp, chosen)
    if not chosen:
        raise RequestError(f"data.holdout = {share} of {len(asked)} images holds none back")
    names = [target.name for target in comp.targets]
    solution = asked.loc[sorted(chosen), ["id", *names]].rename(columns={"id": comp.data.answer_id})
    sample = solution.assign(**dict.fromkeys(names, ""))
    write_text(workspace.solution, solution.to_csv(index=False, lineterminator="\n"))
    write_text(workspace.held_back_sample, sample.to_csv(index=False, lineterminator="\n"))
    held = manifest.copy()
    of = held[CASE] if CASE in held else held["id"]
    held.loc[of.isin(asked["id"].loc[chosen]), "split"] = "test"
    held[names] = held[names].astype(object).where(held["split"] == "train", None)
    return held.sort_values(["split", "id"], ascending=[False, True], ignore_index=True)


def _leave_one_of_each(manifest: pd.DataFrame, comp: Competition, chosen: list[int]) -> list[int]:
    """`chosen` without the rows that would take the last of a class, of any target, out of train."""
    held = set(chosen)
    for target in comp.targets:
        if target.target_kind.exclusive:
            for rows in manifest.groupby(target.name, sort=True).indices.values():
                if held.issuperset(np.asarray(rows).tolist()):
                    held.remove(int(rows[0]))
    return sorted(held)
