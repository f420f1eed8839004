"""folds: the split for cross-validation, made once, saved, and never silently remade."""

import numpy as np
import pandas as pd

from pipeline.cases import refuse_torn
from pipeline.config import Competition, Folds
from pipeline.errors import RequestError
from pipeline.freshness import Step, digest
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.predictions import NO_FOLD
from pipeline.rows import read_folds, trained_on, training_rows
from pipeline.scoring import ONE_FOLD
from pipeline.settings import Settings
from pipeline.stage import Stage
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
        numbers = read_folds(workspace)
        _check_adopted(numbers, rows, comp.folds, workspace)
        refuse_torn(rows, numbers.loc[rows["id"]].to_numpy(), str(workspace.folds))
        log.say(f"folds: using {workspace.show(workspace.folds)} as it is")
    else:
        _make(comp, workspace, rows, log)
    making.record()
    return True


def step(comp: Competition, workspace: Workspace) -> Step:
    settings, split = comp.folds.settings(comp), kind_of(comp).split_inputs(comp, workspace)
    inputs = {
        "version": VERSION,
        "folds": settings,
        "seed": comp.seed,
        "manifest": digest(workspace.manifest),
        "facts": digest(workspace.facts),
        **split,
    }
    off = split.defaults if isinstance(split, Settings) else {}
    return Step(workspace.stamp("folds"), Settings(inputs, off), (workspace.folds,))


STAGE = Stage(folds, lambda comp, workspace: [("", step(comp, workspace))], needs=("check",))


def _make(comp: Competition, workspace: Workspace, rows: pd.DataFrame, log: Log) -> None:
    kind = kind_of(comp)
    numbers, how = kind.split(comp, workspace, rows, log)
    refuse_torn(rows, numbers, "folds")
    table = pd.DataFrame({"id": rows["id"], "fold": numbers})
    write_text(workspace.folds, table.to_csv(index=False, lineterminator="\n"))
    log.say(f"folds: {_in_words(numbers, comp.folds.n, kind.rows)}, {how}")


def _in_words(numbers: np.ndarray, n: int, rows: str) -> str:
    held_out = numbers[numbers != NO_FOLD]
    sizes, never = np.bincount(held_out, minlength=n), len(numbers) - len(held_out)
    if n == 1:
        return f"{ONE_FOLD}: {sizes[0]:,} of {len(numbers):,} {rows}"
    return f"{n} of {sizes.min():,} to {sizes.max():,} {rows}" + (f" and {never:,} held out in none" if never else "")


def _check_adopted(numbers: pd.Series, rows: pd.DataFrame, folds: Folds, workspace: Workspace) -> None:
    n, held_out = folds.n, numbers[numbers != NO_FOLD]
    if len(held_out) < len(numbers) and not folds.leaves_out:
        raise RequestError(
            f"{workspace.folds}: fold '{NO_FOLD}' of id {numbers.index[numbers == NO_FOLD][0]!r} is held out in none; "
            f"with folds.n = {n} every row is held out once"
        )
    missing = sorted(set(rows["id"]) - set(numbers.index))
    unknown = sorted(set(numbers.index) - set(rows["id"]))
    if missing or unknown or numbers.index.has_duplicates or set(held_out) != set(range(n)):
        raise RequestError(
            f"{workspace.folds} does not fit: {len(missing)} training ids without a fold {missing[:2]}, "
            f"{len(unknown)} unknown ids {unknown[:2]}, fold numbers {sorted(set(numbers))} for folds.n = {n}"
        )
    if not trained_on(numbers.to_numpy(), 0, folds.by_time).any():
        raise RequestError(f"{workspace.folds} holds out every row, and none is to train fold 1 on; those have fold -1")
