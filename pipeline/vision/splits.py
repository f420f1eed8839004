"""Folds of images: stratified over all targets at once, whole groups together; or as a column, folder or time says."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.cases import CASE
from pipeline.data.labels import specs_of, strata_of
from pipeline.data.stratify import assign_folds, choose_share
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.predictions import NO_FOLD, TargetSpec
from pipeline.rows import trained_on
from pipeline.targets.classes import in_order
from pipeline.vision.config import ImageCompetition
from pipeline.vision.folds_config import ImageFolds
from pipeline.vision.groups import cells_of, groups_of, report_large, report_shared, report_torn
from pipeline.vision.weights import WEIGHT
from pipeline.workspace import Workspace

SHOWN = 3  # warnings of rare classes that are told one by one


def split_images(comp: ImageCompetition, workspace: Workspace, rows: pd.DataFrame, log: Log) -> tuple[np.ndarray, str]:
    """Fold numbers (rows,), -1 for rows that no fold holds out, and in words how they were made.

    Raises RequestError for more folds than groups, and for a column that says something else than the file.
    """
    specs = specs_of(comp.targets, pd.read_parquet(workspace.manifest))
    if comp.folds.column is not None or comp.folds.valid is not None:
        numbers, how = _as_said(comp, workspace, rows, log)
        report_torn(numbers, rows, log)
    else:
        groups = groups_of(comp, workspace, rows, log)
        report_large(groups, comp.folds, workspace, log)
        if comp.folds.by_time:
            numbers, how = _by_time(comp, workspace, rows, groups, log)
        else:
            numbers, how = _stratified(comp, rows, specs, groups)
        if comp.folds.by_column:
            how += f", whole groups of {comp.folds.group!r} and near-duplicates"
        if CASE in rows:
            how += f", whole cases of {comp.data.case!r}"
    report_shared(numbers, rows, comp.folds, log)
    _refuse_empty(numbers, comp.folds)
    _refuse_weightless(rows, numbers, comp.folds)
    _report_rare(specs, rows, numbers, comp.folds, log)
    return numbers, how


def _stratified(
    comp: ImageCompetition, rows: pd.DataFrame, specs: Sequence[TargetSpec], groups: np.ndarray
) -> tuple[np.ndarray, str]:
    n, share = comp.folds.n, comp.folds.share
    wanted = comp.folds.stratify if comp.folds.stratify is not None else [spec.name for spec in specs]
    each = {spec.name: strata_of(spec, rows[spec.name]) for spec in specs if spec.name in wanted}
    strata = {name: found for name, found in each.items() if found is not None}
    labels = list(strata.values()) or [np.zeros(len(rows), dtype=int)]
    if share is not None:
        numbers = np.where(choose_share(labels, groups, share, comp.seed), 0, NO_FOLD)
    else:
        numbers = assign_folds(labels, groups, n, comp.seed)
    return numbers, f"stratified by {', '.join(strata) or 'nothing'}"


def _as_said(comp: ImageCompetition, workspace: Workspace, rows: pd.DataFrame, log: Log) -> tuple[np.ndarray, str]:
    """Folds from a column of numbers or names, or the one fold that a value of it, or a folder, is."""
    column, valid, n = comp.folds.column, comp.folds.valid, comp.folds.n
    if column is None:
        return _in_folder(comp, str(valid), rows["path"]), f"held out as folder {valid!r}"
    cells = pd.Series(cells_of(comp, workspace, rows, column, "folds.column", log=log))
    blank = rows["id"][(cells == "").to_numpy()]
    if len(blank):
        raise RequestError(
            f"folds.column: {len(blank)} training rows have no fold in column {column!r}, for example "
            f"{blank.iloc[0]}; -1 there means that a row is held out in no fold"
        )
    found = in_order("folds.column", set(map(str, cells)) - {str(NO_FOLD)}, at_least=0)
    said = ", ".join(found[:6]) + (", ..." if len(found) > 6 else "")
    if valid is not None:
        if valid not in found:
            raise RequestError(f"folds.valid = {valid!r} is no value of column {column!r}, which has {said}")
        return np.where(cells == valid, 0, NO_FOLD), f"held out where column {column!r} is {valid!r}"
    if len(found) != n:
        hint = "say folds.valid = the value that is held out" if n == 1 else f"say folds.n = {len(found)}"
        raise RequestError(
            f"folds.column: column {column!r} has {len(found)} values ({said}) for folds.n = {n}; {hint}"
        )
    numbers = cells.map({**{value: fold for fold, value in enumerate(found)}, str(NO_FOLD): NO_FOLD})
    return numbers.to_numpy(dtype=int), f"as column {column!r} says ({said})"


def _in_folder(comp: ImageCompetition, folder: str, paths: pd.Series) -> np.ndarray:
    """0 for images in the folder, given below the raw folder or below data.images."""
    images = comp.data.images.split("{", 1)[0].rstrip("/")
    inside = np.zeros(len(paths), dtype=bool)
    for place in (folder.strip("/"), f"{images}/{folder.strip('/')}"):
        inside |= paths.str.startswith(f"{place}/").to_numpy(dtype=bool)
    if not inside.any():
        raise RequestError(
            f"folds.valid = {folder!r}: no training image lies in such a folder; the first is {paths.iloc[0]}"
        )
    return np.where(inside, 0, NO_FOLD)


def _by_time(
    comp: ImageCompetition, workspace: Workspace, rows: pd.DataFrame, groups: np.ndarray, log: Log
) -> tuple[np.ndarray, str]:
    """The last `share` of the rows; or n parts one after the other, the earliest of n + 1 being held out in none.

    Rows of one time are not taken apart, nor are groups: a group is where its last row is.
    """
    column, n, share = str(comp.folds.time), comp.folds.n, comp.folds.share
    times = _times(pd.Series(cells_of(comp, workspace, rows, column, "folds.time", log=log)), rows["id"], column)
    last = pd.Series(times).groupby(groups).transform("max").to_numpy()
    _, code, counts = np.unique(last, return_inverse=True, return_counts=True)
    place = (np.cumsum(counts) - counts / 2)[code] / len(rows)  # in time, from 0 to 1: the middle of rows of one time
    if share is not None:
        return np.where(place > 1 - share, 0, NO_FOLD), f"the last by {column!r}"
    return (place * (n + 1)).astype(int) - 1, f"by {column!r}: each is predicted from the rows before it"


def _times(cells: pd.Series, ids: pd.Series, column: str) -> np.ndarray:
    """Cells as numbers that grow with time (rows,): as they are, or ISO dates. Nothing else has one meaning."""
    numbers = pd.to_numeric(cells, errors="coerce")
    if numbers.notna().all():
        return numbers.to_numpy()
    dates = pd.to_datetime(cells, format="ISO8601", errors="coerce", utc=True)
    odd = dates.isna()
    if odd.any():
        raise RequestError(
            f"folds.time: {int(odd.sum())} cells of column {column!r} are neither numbers nor dates such as "
            f"2020-02-13: {cells[odd].iloc[0]!r} (id {ids[odd.to_numpy()].iloc[0]})"
        )
    return dates.astype("int64").to_numpy()


def _refuse_empty(numbers: np.ndarray, folds: ImageFolds) -> None:
    filled = len(np.unique(numbers[numbers != NO_FOLD]))
    if filled < folds.n:
        raise RequestError(
            f"folds.n = {folds.n}, but {len(numbers)} readable training images in their groups fill only {filled} folds"
        )
    if not trained_on(numbers, 0, folds.by_time).any():
        raise RequestError(f"folds: all {len(numbers)} readable training images are held out, and none is to train on")


def _refuse_weightless(rows: pd.DataFrame, numbers: np.ndarray, folds: ImageFolds) -> None:
    """Raise RequestError for a fold whose models would be trained on rows of weight 0 alone."""
    for fold in range(folds.n) if WEIGHT in rows else ():
        counting = trained_on(numbers, fold, folds.by_time) & (rows[WEIGHT] > 0).to_numpy()
        if not counting.any():
            raise RequestError(
                f"data.weight: all rows to train fold {fold + 1} on have the weight 0, so that none counts"
            )


def _report_rare(
    specs: Sequence[TargetSpec], rows: pd.DataFrame, numbers: np.ndarray, folds: ImageFolds, log: Log
) -> None:
    """Warn of classes that some folds cannot validate, or cannot learn."""
    for spec in specs:
        strata = strata_of(spec, rows[spec.name]) if spec.vocab else None
        if strata is None:
            continue
        if not folds.leaves_out:
            counts = _class_counts(strata, spec.width)
            rare = {label: int(count) for label, count in zip(spec.vocab, counts, strict=True) if count < folds.n}
            _warn(spec.name, rare, folds.n, log)
            continue
        parts = [("held out", numbers != NO_FOLD)]
        parts += [(f"to train fold {k + 1} on", trained_on(numbers, k, folds.by_time)) for k in range(folds.n)]
        for what, chosen in parts:
            counts = _class_counts(strata[np.flatnonzero(chosen)], spec.width)
            none = [label for label, count in zip(spec.vocab, counts, strict=True) if not count]
            if none:
                more = f" and {len(none) - SHOWN:,} more" if len(none) > SHOWN else ""
                log.warn(f"target {spec.name!r}: no image {what} is of class {', '.join(none[:SHOWN])}{more}")


def _class_counts(strata, width: int) -> np.ndarray:
    """Rows of each class (width,)."""
    if isinstance(strata, np.ndarray):
        return np.bincount(strata, minlength=width)[:width]  # behind them, rows without an answer
    return np.asarray(strata.sum(axis=0)).ravel()


def _warn(target: str, rare: dict[str, int], n: int, log: Log) -> None:
    if len(rare) > SHOWN:
        some = ", ".join(f"{label!r} ({count})" for label, count in list(rare.items())[:SHOWN])
        log.warn(
            f"target {target!r}: {len(rare):,} classes have fewer readable images than there are folds ({n}): {some}, "
            "...; some folds cannot validate them"
        )
        return
    for label, count in rare.items():
        log.warn(
            f"target {target!r}: class {label!r} has {count} readable image(s) for {n} folds; "
            "some folds cannot validate it"
        )
