"""data: the raw files and the manifest, one row an example."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import Competition
from pipeline.data.fetch import fetch, identity
from pipeline.data.layouts import own_layouts
from pipeline.data.sample import USUAL, called_alike, find_sample, missing_in_words
from pipeline.errors import RequestError
from pipeline.freshness import Step
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.stage import Stage
from pipeline.submission import check_sample, sample_path
from pipeline.workspace import Workspace, read_json, write_json, write_text, write_with

VERSION = 1
LEARNED = ("loss", "weight")  # settings of a target that its labels do not depend on


def data(comp: Competition, workspace: Workspace, log: Log, force: bool = False) -> bool:
    """Fetch the raw files if they are not here; read them into the manifest. Returns whether it did any."""
    fetched = fetch_if_needed(comp, workspace, log, force)
    making = step(comp, workspace)
    if making.done() and not force and not fetched:
        if comp.has_test:  # what the file says of the submission may be new
            manifest = pd.read_parquet(workspace.manifest)
            if sample_path(comp, workspace) is None:
                _need_a_sample(comp, workspace, manifest, log)
            check_sample(comp, workspace, manifest)
        return False
    kind = kind_of(comp)
    manifest = kind.build_manifest(comp, workspace.raw, log)
    if comp.data.held_back is not None:
        manifest = _hold_back(manifest, comp, workspace, comp.data.held_back)
    if comp.has_test:
        _need_a_sample(comp, workspace, manifest, log)
        for doubt in check_sample(comp, workspace, manifest):
            log.warn(doubt)
    write_with(workspace.manifest, lambda file: manifest.to_parquet(file, index=False))
    step(comp, workspace).record()
    counts = manifest["split"].value_counts()
    log.say(
        f"data: {counts.get('train', 0):,} training and {counts.get('test', 0):,} test {kind.rows} in {workspace.raw}"
    )
    return True


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
    if own_layouts():
        inputs["layouts"] = own_layouts()
    outputs = [workspace.manifest]
    if comp.data.held_back is not None:
        inputs["seed"] = comp.seed
        outputs += [workspace.solution, workspace.held_back_sample]
    return Step(workspace.stamp("data"), inputs, tuple(outputs))


STAGE = Stage(data, lambda comp, workspace: [("", step(comp, workspace))])


def fetch_if_needed(comp: Competition, workspace: Workspace, log: Log, force: bool = False) -> bool:
    """Get the raw files unless they are here. Returns whether it did. Raises RequestError for files of others."""
    stamp = {"source": identity(comp.source)}
    known = read_json(workspace.fetched) or {}
    same = known.get("source") == stamp["source"]
    there = workspace.raw.is_dir() and any(not entry.name.startswith(".") for entry in workspace.raw.iterdir())
    if there and same and not force:
        return False
    if there and not known and comp.source.kind == "kaggle":
        log.say(f"data: using the files that are already in {workspace.raw}")
        write_json(workspace.fetched, {**stamp, "adopted": True})
        return False
    if there and same and comp.source.kind == "kaggle":
        return False
    if there and (not known or known.get("adopted")):
        raise RequestError(
            f"{workspace.raw} holds files that the pipeline did not put there; move them away, "
            "or to a folder of their own and use them with --set source.path=FOLDER"
        )
    fetch(comp.source, workspace, stamp, log)
    return True


def _listing(raw: Path) -> str | None:
    """A digest of every file's path and size below the raw folder, but for our own."""
    if not raw.is_dir():
        return None
    lines = []
    for folder, names, files in os.walk(raw, followlinks=True):
        names[:] = [name for name in names if not name.startswith(".")]
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


def _hold_back(manifest: pd.DataFrame, comp: Competition, workspace: Workspace, share: float) -> pd.DataFrame:
    """Make a share of train the test set, class by class of the first target; keep the answers apart."""
    generator = np.random.Generator(np.random.PCG64(comp.seed))
    first = comp.targets[0]
    strata = manifest[first.name] if first.target_kind.exclusive else np.zeros(len(manifest), int)
    chosen: list[int] = []
    for _, rows in manifest.groupby(strata, sort=True):
        take = round(len(rows) * share)
        chosen += sorted(generator.permutation(rows.index.to_numpy())[:take].tolist())
    chosen = _leave_one_of_each(manifest, comp, chosen)
    if not chosen:
        raise RequestError(f"data.holdout = {share} of {len(manifest)} images holds none back")
    names = [target.name for target in comp.targets]
    answers = manifest.loc[sorted(chosen), ["id", *names]].rename(columns={"id": comp.data.id})
    sample = answers.assign(**dict.fromkeys(names, ""))
    write_text(workspace.solution, answers.to_csv(index=False, lineterminator="\n"))
    write_text(workspace.held_back_sample, sample.to_csv(index=False, lineterminator="\n"))
    held = manifest.copy()
    held.loc[chosen, "split"] = "test"
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
