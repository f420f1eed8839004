"""folds: the split for cross-validation, made once, saved, and never silently remade."""

import numpy as np
import pandas as pd

from pipeline.config import Competition
from pipeline.errors import RequestError
from pipeline.freshness import Step, digest
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.rows import read_folds, training_rows
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
        _check_adopted(read_folds(workspace), rows, comp.folds.n, workspace)
        log.say(f"folds: using {workspace.show(workspace.folds)} as it is")
    else:
        _make(comp, workspace, rows, log)
    making.record()
    return True


def step(comp: Competition, workspace: Workspace) -> Step:
    settings = comp.folds.settings(comp)
    inputs = {
        "version": VERSION,
        "folds": settings,
        "seed": comp.seed,
        "manifest": digest(workspace.manifest),
        "facts": digest(workspace.facts),
        **kind_of(comp).split_inputs(comp, workspace),
    }
    return Step(workspace.stamp("folds"), inputs, (workspace.folds,))


STAGE = Stage(folds, lambda comp, workspace: [("", step(comp, workspace))], needs=("check",))


def _make(comp: Competition, workspace: Workspace, rows: pd.DataFrame, log: Log) -> None:
    kind = kind_of(comp)
    numbers, how = kind.split(comp, workspace, rows, log)
    table = pd.DataFrame({"id": rows["id"], "fold": numbers})
    write_text(workspace.folds, table.to_csv(index=False, lineterminator="\n"))
    sizes = np.bincount(numbers, minlength=comp.folds.n)
    log.say(f"folds: {comp.folds.n} of {sizes.min():,} to {sizes.max():,} {kind.rows}, {how}")


def _check_adopted(numbers: pd.Series, rows: pd.DataFrame, n: int, workspace: Workspace) -> None:
    missing = sorted(set(rows["id"]) - set(numbers.index))
    unknown = sorted(set(numbers.index) - set(rows["id"]))
    if missing or unknown or numbers.index.has_duplicates or set(numbers) != set(range(n)):
        raise RequestError(
            f"{workspace.folds} does not fit: {len(missing)} training ids without a fold {missing[:2]}, "
            f"{len(unknown)} unknown ids {unknown[:2]}, fold numbers {sorted(set(numbers))} for folds.n = {n}"
        )
