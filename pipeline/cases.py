"""Cases: several rows with one answer. Rows are predicted each by itself; where a model's folds are joined, the
predictions of a case become one, and everything after that is keyed by case.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.combinations import COMBINATIONS, in_words, serving
from pipeline.config import Competition
from pipeline.errors import RequestError
from pipeline.freshness import digest
from pipeline.log import Log
from pipeline.predictions import NO_FOLD, Predictions
from pipeline.registry import code_in
from pipeline.rows import torn
from pipeline.targets.classes import some
from pipeline.workspace import Workspace

CASE = "_case"  # the manifest's column, which no target can be called


def answers(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the manifest as what is answered: as they are, or one a case, sorted by its id, with its labels."""
    if CASE not in rows:
        return rows
    found = rows.drop(columns="id").groupby(CASE, sort=True).first()  # of each column, the first that is not missing
    return found.reset_index().rename(columns={CASE: "id"})


def answer_ids(rows: pd.DataFrame) -> pd.Series:
    """Ids of what is answered: of rows, or of the cases that they belong to, each once."""
    return rows[CASE].drop_duplicates() if CASE in rows else rows["id"]


def unseen_in(rows: pd.DataFrame) -> list[str]:
    """Ids of the unreadable rows that must be answered without a look: one of each case that has no readable one."""
    unread = rows[~rows["readable"]]
    if CASE in rows:
        unread = unread[~unread[CASE].isin(rows[CASE][rows["readable"]])].drop_duplicates(CASE)
    return unread["id"].to_list()


def ways(comp: Competition) -> list[str]:
    """All ways in which the predictions of a case could become one; none where rows are answers themselves."""
    return [] if comp.data.combination is None else serving([target.kind for target in comp.targets])


def inputs_of(comp: Competition) -> dict[str, Any]:
    """What joined predictions depend on besides those of the folds; empty where rows are answers themselves."""
    name = comp.data.combination
    return {} if name is None else {"combine": name, **code_in("combine", COMBINATIONS, name)}


def combined(comp: Competition, workspace: Workspace, preds: Predictions, way: str | None = None) -> Predictions:
    """Out-of-fold or test predictions of rows as those of their cases; as they are where rows are answers themselves.

    `way` is the file's unless it is given.
    """
    name = way or comp.data.combination
    if name is None or not len(preds):
        return preds
    side = "test" if preds.folds[0] == NO_FOLD else "train"
    return by_case(preds, _rows_of(workspace, side, digest(workspace.manifest)), name)


@functools.lru_cache(maxsize=4)
def _rows_of(workspace: Workspace, side: str, _: str | None) -> pd.DataFrame:
    """Ids and cases of one side, once for each state of the manifest: each pass, way and fold asks for them."""
    rows = pd.read_parquet(workspace.manifest, columns=["id", "split", CASE])
    return rows[rows["split"] == side]


def by_case(preds: Predictions, rows: pd.DataFrame, name: str) -> Predictions:
    """One prediction a case out of those of its rows; `rows` (columns id and `CASE`) hold all that are predicted."""
    case = rows.set_index("id")[CASE].loc[list(preds.ids)].to_numpy(dtype=str)
    order = np.argsort(case, kind="stable")
    ids, starts = np.unique(case[order], return_index=True)
    values = {}
    for spec in preds.specs:
        combine = COMBINATIONS[name].find(spec.kind)
        if combine is None:
            raise RequestError(f"data.combine = {name!r} is no way for targets of kind {spec.kind!r}")
        values[spec.name] = combine(preds.values[spec.name][order].astype(np.float64), starts)
    return Predictions(ids, preds.folds[order][starts], preds.specs, values)


def tell_cases(comp: Competition, manifest: pd.DataFrame, log: Log) -> None:
    """Say how many cases there are, and what is scored by them."""
    if CASE not in manifest:
        return
    by_split = {split: set(manifest[CASE][manifest["split"] == split]) for split in ("train", "test")}
    counts = " and ".join(f"{len(found):,} {split}" for split, found in by_split.items() if found)
    way = in_words(str(comp.data.combination))
    log.say(f"data: {counts} cases ({comp.data.answer_id!r}); epochs are scored by row, all after them by case ({way})")
    both = sorted(by_split["train"] & by_split["test"])
    if both:
        log.warn(f"data.case: {len(both):,} cases have training and test rows: {some(both)}; their answers are known")


def refuse_torn(rows: pd.DataFrame, numbers: Sequence[int] | np.ndarray, where: str) -> None:
    """Raise RequestError for a case whose rows lie in several folds; `where` says what put them there."""
    if CASE not in rows:
        return
    apart = torn(numbers, rows[CASE])
    if len(apart):
        own = np.asarray(numbers)[(rows[CASE] == apart[0]).to_numpy()]
        raise RequestError(
            f"{where}: {len(apart)} cases lie in several folds, for example {apart[0]!r} in folds "
            f"{', '.join(map(str, sorted(set(own.tolist()))))}; the images of a case must be held out together"
        )
