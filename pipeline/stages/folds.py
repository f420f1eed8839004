"""folds: the split for cross-validation, made once, saved, and never silently remade."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.collab.ratings import digest_of
from pipeline.config import Competition
from pipeline.data.labels import specs_of
from pipeline.data.manifest import read_table
from pipeline.errors import RequestError
from pipeline.freshness import Step, digest
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.stages.check import ALONE, audited_rows
from pipeline.workspace import Workspace, write_text

VERSION = 1


def folds(comp: Competition, workspace: Workspace, log: Log, force: bool = False) -> bool:
    """Write folds.csv, or adopt one that the user put there. Returns whether it did anything.

    Raises RequestError if folds were made from something else: all models would have to train again.
    """
    making = step(comp, workspace)
    state = making.state()
    if state == "done" and not force:
        return False
    if state == "stale" and not force:
        raise RequestError(
            f"{workspace.show(workspace.folds)} was made for something else ({making.reason()}); "
            "`pipeline folds --force` makes new folds, and every model trains again "
            "(a folds.csv of your own is taken up once folds.json beside it is removed)"
        )
    rows = training_rows(workspace)
    if state == "missing" and workspace.folds.is_file() and not force:
        _check_adopted(read_folds(workspace), rows, comp.folds.n, workspace)
        log.say(f"folds: using {workspace.show(workspace.folds)} as it is")
    else:
        _make(comp, workspace, rows, log)
    making.record()
    return True


def step(comp: Competition, workspace: Workspace) -> Step:
    inputs = {
        "version": VERSION,
        "folds": comp.folds.model_dump(),
        "seed": comp.seed,
        "manifest": digest(workspace.manifest),
        "facts": digest(workspace.facts),
    }
    if comp.kind == "ratings" and comp.folds.files is not None:
        inputs["files"] = _published(comp, workspace)
    return Step(workspace.meta / "folds.json", inputs, (workspace.folds,))


def _published(comp: Competition, workspace: Workspace) -> list[str | None]:
    """Digests of the files of published folds."""
    names = [comp.folds.files.format(k=fold + 1) for fold in range(comp.folds.n)]
    return [digest_of(workspace.raw, name, comp.data.table) for name in names]


def training_rows(workspace: Workspace) -> pd.DataFrame:
    """The readable training rows, audited, sorted by id."""
    rows = audited_rows(workspace)
    return rows[(rows["split"] == "train") & rows["readable"]].sort_values("id", ignore_index=True)


def read_folds(workspace: Workspace) -> pd.Series:
    """Fold numbers (from 0) by id."""
    table = read_table(workspace.folds, "folds")
    if not {"id", "fold"} <= set(table.columns):
        raise RequestError(f"{workspace.folds} needs the columns id and fold; it has {', '.join(table.columns)}")
    odd = table[~table["fold"].str.fullmatch(r"\d{1,4}")]
    if len(odd):
        raise RequestError(
            f"{workspace.folds}: fold {odd['fold'].iloc[0]!r} of id {odd['id'].iloc[0]!r} is no fold number; "
            "they are whole numbers from 0"
        )
    return table.set_index("id")["fold"].astype(int)


def assign_folds(labels: Sequence[np.ndarray], groups: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Fold numbers (rows,) in 0..n-1, stratified over all labels at once, whole groups together.

    `labels` holds one int array (rows,) a target, `groups` (rows,) a group number each. Iterative
    stratification (Sechidis et al. 2011) on groups: the group with the rarest label goes first, to the fold
    that lacks most of its labels.
    """
    onehot = np.concatenate([np.eye(codes.max() + 1)[codes] for codes in labels], axis=1)
    members, group_of = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(members), onehot.shape[1]))
    np.add.at(counts, group_of, onehot)
    sizes = np.bincount(group_of)
    rarity = np.where(counts > 0, onehot.sum(axis=0), np.inf).min(axis=1)
    shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(len(members))
    order = shuffled[np.lexsort((-sizes[shuffled], rarity[shuffled]))]
    share = 1 / np.maximum(onehot.sum(axis=0), 1)  # a lacking row of a rare class weighs more
    lacking = np.tile(onehot.sum(axis=0) / n, (n, 1))
    room = np.full(n, len(groups) / n)
    fold_of = np.zeros(len(members), dtype=int)
    for group in order:
        need = lacking @ (counts[group] * share)
        best = np.flatnonzero(need >= need.max() - 1e-12)
        fold = best[np.argmax(room[best])]
        fold_of[group] = fold
        lacking[fold] -= counts[group]
        room[fold] -= sizes[group]
    return fold_of[group_of]


def _make(comp: Competition, workspace: Workspace, rows: pd.DataFrame, log: Log) -> None:
    split = _split_ratings if comp.kind == "ratings" else _split_images
    numbers, how = split(comp, workspace, rows, log)
    table = pd.DataFrame({"id": rows["id"], "fold": numbers})
    write_text(workspace.folds, table.to_csv(index=False, lineterminator="\n"))
    sizes = np.bincount(numbers, minlength=comp.folds.n)
    log.say(f"folds: {comp.folds.n} of {sizes.min():,} to {sizes.max():,} {kind_of(comp).ROWS}, {how}")


def _split_ratings(comp: Competition, workspace: Workspace, rows: pd.DataFrame, log: Log) -> tuple[np.ndarray, str]:
    from pipeline.collab.manifest import published_folds, random_folds

    files, n = comp.folds.files, comp.folds.n
    if files is None:
        return random_folds(len(rows), n, comp.seed), "at random"
    return published_folds(workspace.raw, comp.data, files, n, rows["id"]), f"as published in {files}"


def _split_images(comp: Competition, workspace: Workspace, rows: pd.DataFrame, log: Log) -> tuple[np.ndarray, str]:
    specs = specs_of(comp.targets, pd.read_parquet(workspace.manifest))
    wanted = comp.folds.stratify if comp.folds.stratify is not None else [spec.name for spec in specs]
    each = {spec.name: spec.target_kind.strata(spec, rows[spec.name]) for spec in specs if spec.name in wanted}
    strata = {name: codes for name, codes in each.items() if codes is not None}
    labels = list(strata.values()) or [np.zeros(len(rows), dtype=int)]
    numbers = assign_folds(labels, _groups(comp, workspace, rows), comp.folds.n, comp.seed)
    if len(np.unique(numbers)) < comp.folds.n:
        raise RequestError(
            f"folds.n = {comp.folds.n}, but {len(rows)} readable training images in their groups fill only "
            f"{len(np.unique(numbers))} folds"
        )
    _report_rare(specs, rows, comp.folds.n, log)
    return numbers, f"stratified by {', '.join(strata) or 'nothing'}"


def _groups(comp: Competition, workspace: Workspace, rows: pd.DataFrame) -> np.ndarray:
    alone = np.arange(len(rows))
    if comp.folds.group == "none":
        return alone
    if comp.folds.group == "near-duplicates":
        return np.where(rows["group"] == ALONE, alone, len(rows) + rows["group"])
    if comp.data.table is None:
        raise RequestError(f"folds.group = {comp.folds.group!r} is a column, but there is no data.table")
    table = read_table(workspace.raw / comp.data.table, "data.table")
    if comp.folds.group not in table.columns:
        raise RequestError(
            f"folds.group: {comp.data.table} has no column {comp.folds.group!r}; "
            f"it has {', '.join(table.columns)} (or 'near-duplicates', or 'none')"
        )
    column = pd.Series(table[comp.folds.group].to_numpy(), index=table[comp.data.id])
    return pd.factorize(column.loc[rows["id"]])[0]


def _report_rare(specs, rows: pd.DataFrame, n: int, log: Log) -> None:
    for spec in specs:
        if not spec.exclusive:
            continue
        counts = rows[spec.name].value_counts().reindex(list(spec.vocab), fill_value=0)
        for label, count in counts[counts < n].items():
            log.warn(
                f"target {spec.name!r}: class {label!r} has {count} readable image(s) for {n} folds; "
                "some folds cannot validate it"
            )


def _check_adopted(numbers: pd.Series, rows: pd.DataFrame, n: int, workspace: Workspace) -> None:
    missing = sorted(set(rows["id"]) - set(numbers.index))
    unknown = sorted(set(numbers.index) - set(rows["id"]))
    if missing or unknown or numbers.index.has_duplicates or set(numbers) != set(range(n)):
        raise RequestError(
            f"{workspace.folds} does not fit: {len(missing)} training ids without a fold {missing[:2]}, "
            f"{len(unknown)} unknown ids {unknown[:2]}, fold numbers {sorted(set(numbers))} for folds.n = {n}"
        )
