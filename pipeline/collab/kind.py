"""How a fold of a rating competition is trained and predicted."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.collab.config import RATING, RatingsCompetition, RatingsData, RatingsModel
from pipeline.collab.manifest import build_manifest
from pipeline.collab.ratings import digest_of, find, ids_of, read_pairs, read_text
from pipeline.errors import RequestError
from pipeline.fold import Fold, Parts
from pipeline.log import Log
from pipeline.predictions import NO_FOLD, Predictions

PASSES = (("cv", ""),)
FREE = {"name"}
LIBRARIES = ("torch", "scipy")
ROWS = "ratings"


def build(comp: RatingsCompetition, raw: Path) -> pd.DataFrame:
    """The manifest. Raises RequestError for anything in the tables that cannot be read as ratings."""
    return build_manifest(raw, comp.data)


def with_ids(table: pd.DataFrame, data: RatingsData, raw: Path) -> pd.DataFrame:
    """A submission, sample or solution with <user>/<item> in its id column, and no other columns of keys.

    It may name rows so itself, by a user and an item column, or by an id of the test table's own.
    """
    names = [name for name in (data.user, data.item) if name in table.columns]
    if len(names) == 2:
        rest = table.drop(columns=[name for name in (*names, data.timestamp, data.id) if name in table.columns])
        rest.insert(0, data.id, ids_of(table[data.user], table[data.item]))
        return rest
    own = _own_ids(data, raw)
    if own is None or data.id not in table.columns or not table[data.id].isin(own.index).all():
        return table
    return table.assign(**{data.id: own.loc[table[data.id]].to_numpy()})


def _own_ids(data: RatingsData, raw: Path) -> pd.Series | None:
    """<user>/<item> by the test table's own id, where it has one."""
    if data.test is None or isinstance(data.user, int):
        return None
    table = read_text(find(raw, data.test, data.table, "data.test"), True, "data.test")
    if data.id not in table.columns:
        return None
    if table[data.id].duplicated().any():
        raise RequestError(f"data.id: column {data.id!r} of {data.test} repeats ids")
    pairs = read_pairs(raw, data, data.test, "data.test")
    return pd.Series(ids_of(pairs["user"], pairs["item"]), index=table[data.id])


def own_sample(comp: RatingsCompetition, manifest: pd.DataFrame) -> pd.DataFrame | None:
    """A sample for a competition that has a test table and no sample: id and rating."""
    test = manifest["id"][manifest["split"] == "test"]
    return pd.DataFrame({comp.data.id: test, RATING: ""}) if len(test) else None


def side_inputs(data: RatingsData, model: RatingsModel, raw: Path) -> dict[str, Any]:
    """What training depends on besides the manifest and the model: the tables of users and items."""
    sides = [side for side in (data.users, data.items) if side is not None and model.side]
    return {"side": {side.table: digest_of(raw, side.table, data.table) for side in sides}}


def check_models(models: Sequence[RatingsModel]) -> None:
    """Nothing can be wrong here that the file did not show when it was read."""


def train_fold(fold: Fold, log: Log, deadline: float = math.inf) -> None:
    """Write the fold's weights.safetensors and history.csv; seconds, which no deadline cuts short."""
    from pipeline.collab.fold import train_rows

    train_rows(fold, log)


def predict_fold(fold: Fold, test: pd.DataFrame) -> dict[str, Parts]:
    """Predictions of the held-out and of the test rows."""
    from pipeline.collab.model import load

    trained = load(fold.folder / "weights.safetensors")
    parts = []
    for rows, number in ((fold.held_out, fold.number), (test, NO_FOLD)):
        times = rows["timestamp"].to_numpy() if fold.data.timestamp is not None else None
        values = {RATING: trained.predict(rows["user"].tolist(), rows["item"].tolist(), times)[:, None]}
        ids = np.asarray(rows["id"].tolist(), dtype=str)
        parts.append(Predictions(ids, np.full(len(ids), number), fold.specs, values))
    return {"": tuple(parts)}
