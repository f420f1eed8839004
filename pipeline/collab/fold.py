"""One fold of a rating competition on disk: its rows in, weights and history out."""

import hashlib
import json
import shutil
import time
from typing import Any

import pandas as pd

from pipeline.collab.algorithms import Features, RatingsModel
from pipeline.collab.checkpoint import Keeper
from pipeline.collab.config import RatingsCompetition
from pipeline.collab.features import read_features
from pipeline.collab.model import save
from pipeline.collab.observations import Observations
from pipeline.collab.train import fit
from pipeline.fold import Fold
from pipeline.log import Log
from pipeline.workspace import HISTORY, WEIGHTS, csv_text, write_text

FIT = "checkpoint/fit.safetensors"  # where a fit is, until it is over
LINES = 5  # about so many an epoch's line is said of a long fit


def train_rows(fold: Fold[RatingsCompetition, RatingsModel], log: Log) -> None:
    """Train one fold; after a kill it goes on from its checkpoint, to the same bytes."""
    seen, label = Observations.of(fold.train), f"train {fold.name}"
    features = _features(fold, seen)
    keeper = Keeper(fold.folder / FIT, identity_of(fold, features))
    rounds = fold.model.rounds
    every = max(1, rounds // LINES)
    started, announced, said = time.monotonic(), 0, 0
    with log.bar(label) as progress:

        def tell(epoch: int, rmse: float) -> None:
            nonlocal announced, said
            if keeper.resumed > announced:
                announced = keeper.resumed
                log.say(f"{label}  goes on after epoch {announced}")
            if not keeper.rows or keeper.rows[-1]["epoch"] < epoch:
                keeper.rows.append({"epoch": epoch, "train_rmse": round(rmse, 6)})
            progress(epoch + 1, rounds)
            if epoch + 1 >= said + every or epoch + 1 == rounds:
                said = epoch + 1
                spent = time.monotonic() - started
                log.say(f"{label}  epoch {epoch + 1}/{rounds}  train_rmse {rmse:.4f}  {spent:.1f} s")

        trained = fit(seen, fold.model, fold.seed, features, keeper, tell)
    save(fold.folder / WEIGHTS, trained)
    write_text(fold.folder / HISTORY, csv_text(keeper.rows))
    shutil.rmtree((fold.folder / FIT).parent, ignore_errors=True)


def _features(fold: Fold[RatingsCompetition, RatingsModel], seen: Observations) -> Features:
    """What the tables of users and items tell, where the model asks for it."""
    if not fold.model.uses_features:
        return None, None
    return (
        read_features(fold.raw, fold.comp.data, seen.users.raw, "users"),
        read_features(fold.raw, fold.comp.data, seen.items.raw, "items"),
    )


def _meaning(model: RatingsModel) -> dict[str, Any]:
    """What it is trained by: a new setting that is off changes nothing, and its name says nothing."""
    return {**model.settings(leave_out={"name"}).non_default(), "method": model.method}


def identity_of(fold: Fold[RatingsCompetition, RatingsModel], features: Features) -> str:
    """A digest of everything that the fold is trained from: a checkpoint of anything else is not taken up."""
    said = hashlib.sha256(json.dumps([_meaning(fold.model), repr(fold.seed)], sort_keys=True).encode())
    columns = fold.train[["user", "item", "rating", "timestamp"]]
    said.update(pd.util.hash_pandas_object(columns, index=False).to_numpy().tobytes())
    for block in features:
        said.update(b"none" if block is None else block.tobytes())
    return said.hexdigest()
