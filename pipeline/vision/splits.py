"""Folds of images: stratified over all targets at once, whole groups together."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.data.labels import specs_of, strata_of
from pipeline.data.tables import read_table
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.predictions import TargetSpec
from pipeline.rows import ALONE
from pipeline.vision.config import ImageCompetition
from pipeline.workspace import Workspace


def split_images(comp: ImageCompetition, workspace: Workspace, rows: pd.DataFrame, log: Log) -> tuple[np.ndarray, str]:
    """Fold numbers (rows,), and in words how they were made. Raises RequestError for more folds than groups."""
    specs = specs_of(comp.targets, pd.read_parquet(workspace.manifest))
    wanted = comp.folds.stratify if comp.folds.stratify is not None else [spec.name for spec in specs]
    each = {spec.name: strata_of(spec, rows[spec.name]) for spec in specs if spec.name in wanted}
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


def _groups(comp: ImageCompetition, workspace: Workspace, rows: pd.DataFrame) -> np.ndarray:
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


def _report_rare(specs: Sequence[TargetSpec], rows: pd.DataFrame, n: int, log: Log) -> None:
    for spec in specs:
        if not spec.exclusive:
            continue
        counts = rows[spec.name].value_counts().reindex(list(spec.vocab), fill_value=0)
        for label, count in counts[counts < n].items():
            log.warn(
                f"target {spec.name!r}: class {label!r} has {count} readable image(s) for {n} folds; "
                "some folds cannot validate it"
            )
