"""Rating competitions: what they do in their own way on the road."""

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.collab.audit import audit_ratings, refuse_outside, say_audit, titles_of
from pipeline.collab.config import RATING, RatingsCompetition, RatingsData, RatingsModel
from pipeline.collab.manifest import build_manifest, published_folds, random_folds
from pipeline.collab.ratings import digest_of, find, ids_of, read_pairs
from pipeline.data.tables import read_table
from pipeline.errors import RequestError
from pipeline.fold import Fold
from pipeline.kinds import Audit, Kind
from pipeline.log import Log
from pipeline.predictions import NO_FOLD, Predictions
from pipeline.rows import ALONE
from pipeline.workspace import WEIGHTS, Workspace

if TYPE_CHECKING:
    from pipeline.collab.model import Trained

Ratings = Fold[RatingsCompetition, RatingsModel]


class RatingsKind:
    """Who rates what how: trained in seconds, predicted in one way."""

    name = "ratings"
    competition = RatingsCompetition
    rows = "ratings"
    passes = (("cv", ""),)
    free = frozenset({"name"})
    libraries = ("torch", "scipy")
    makes_sample = True
    travels = False

    def build_manifest(self, comp: RatingsCompetition, raw: Path, log: Log) -> pd.DataFrame:
        return build_manifest(raw, comp.data, log)

    def read_features(self, comp: RatingsCompetition, raw: Path, manifest: pd.DataFrame, log: Log) -> pd.DataFrame:
        """None: what is known of users and items is by user and item."""
        return manifest[["id", "split"]]

    def own_sample(self, comp: RatingsCompetition, manifest: pd.DataFrame, raw: Path) -> pd.DataFrame | None:
        """For a competition that has a test table and no sample: its own ids, if any, and rating."""
        test = manifest["id"][manifest["split"] == "test"]
        if not len(test):
            return None
        own = _own_ids(comp.data, raw)
        ids = test if own is None or comp.data.id not in own else own[comp.data.id]
        return pd.DataFrame({comp.data.id: ids.to_numpy(), RATING: ""})

    def with_ids(self, table: pd.DataFrame, data: RatingsData, raw: Path, said: str | None = None) -> pd.DataFrame:
        """With <user>/<item> in its id column, and no other columns of keys.

        A table may name rows so itself, by a user and an item column, or by an id of the test table's own.
        """
        names = [name for name in (data.user, data.item) if name in table.columns]
        if len(names) == 2:
            rest = table.drop(columns=[name for name in (*names, data.timestamp, data.id) if name in table.columns])
            rest.insert(0, data.id, ids_of(table[data.user], table[data.item]))
            return rest
        own = _own_ids(data, raw)
        if own is None or not len(table):
            return table
        asked = next(([name] for name in (said, data.id) if name in table.columns), table.columns)
        for column, name in itertools.product(own.columns[1:], asked):
            if not table[name].duplicated().any() and table[name].isin(own[column]).all():
                return table.assign(**{str(name): own.set_index(column)["pair"].loc[table[name]].to_numpy()})
        return table

    def hint_on_ids(self, comp: RatingsCompetition) -> str:
        return f"ids are <user>/<item>, or columns {comp.data.user} and {comp.data.item}"

    def audit(self, comp: RatingsCompetition, workspace: Workspace, manifest: pd.DataFrame, log: Log) -> Audit:
        refuse_outside(manifest, comp.models)
        facts = manifest[["id", "split"]].assign(readable=True, sha256="", group=ALONE)
        summary = audit_ratings(manifest, titles_of(workspace.raw, comp.data))
        return Audit(facts, summary, partial(say_audit, summary))

    def audit_inputs(self, workspace: Workspace) -> dict[str, Any]:
        return {}

    def split(
        self, comp: RatingsCompetition, workspace: Workspace, rows: pd.DataFrame, log: Log
    ) -> tuple[np.ndarray, str]:
        files, n = comp.folds.files, comp.folds.n
        if files is None:
            return random_folds(len(rows), n, comp.seed), "at random"
        return published_folds(workspace.raw, comp.data, files, n, rows["id"]), f"as published in {files}"

    def split_inputs(self, comp: RatingsCompetition, workspace: Workspace) -> dict[str, Any]:
        """Digests of the files of published folds."""
        if comp.folds.files is None:
            return {}
        names = [comp.folds.files.format(k=fold + 1) for fold in range(comp.folds.n)]
        return {"files": [digest_of(workspace.raw, name, comp.data.table) for name in names]}

    def check_models(self, models: Sequence[RatingsModel]) -> None:
        """Nothing can be wrong here that the file did not show when it was read."""

    def device(self, log: Log) -> None:
        return None

    def presize_of(self, model: RatingsModel) -> None:
        return None

    def training_inputs(self, comp: RatingsCompetition, workspace: Workspace, model: RatingsModel) -> dict[str, Any]:
        """The tables of users and items."""
        sides = [side for side in (comp.data.users, comp.data.items) if side is not None and model.uses_features]
        return {"side": {side.table: digest_of(workspace.raw, side.table, comp.data.table) for side in sides}}

    def train_fold(self, fold: Ratings, log: Log, deadline: float = math.inf) -> None:
        """Seconds, which no deadline cuts short."""
        from pipeline.collab.fold import train_rows

        train_rows(fold, log)

    def open_trained(self, fold: Ratings) -> "Trained":
        from pipeline.collab.model import load

        return load(fold.folder / WEIGHTS)

    def prediction_inputs(self, model: RatingsModel) -> dict[str, Any]:
        return {}

    def predict_fold(
        self, fold: Ratings, test: pd.DataFrame, log: Log
    ) -> Mapping[str, tuple[Predictions, Predictions]]:
        trained = self.open_trained(fold)
        parts = []
        for rows, number in ((fold.held_out, fold.number), (test, NO_FOLD)):
            times = rows["timestamp"].to_numpy() if fold.comp.data.timestamp is not None else None
            values = {RATING: trained.predict(rows["user"].tolist(), rows["item"].tolist(), times)[:, None]}
            ids = rows["id"].to_numpy(dtype=str)
            parts.append(Predictions(ids, np.full(len(ids), number), fold.specs, values))
        return {"": (parts[0], parts[1])}


KIND: Kind[RatingsCompetition, RatingsData, RatingsModel] = RatingsKind()


def _own_ids(data: RatingsData, raw: Path) -> pd.DataFrame | None:
    """The test table's <user>/<item> as `pair`, and beside it what may be its own ids: data.id, or where there is no
    such column all others with a cell of its own in each row. None without any."""
    if data.test is None or isinstance(data.user, int):
        return None
    table = read_table(find(raw, data.test, data.table, "data.test"), "data.test", separator=data.separator)
    if data.id in table.columns and table[data.id].duplicated().any():
        raise RequestError(f"data.id: column {data.id!r} of {data.test} repeats ids")
    keys = {data.user, data.item, data.rating, data.timestamp}
    names = [data.id] if data.id in table.columns else [name for name in table.columns if name not in keys]
    names = [name for name in names if not table[name].duplicated().any()]
    pairs = read_pairs(raw, data, data.test, "data.test")
    own = table[names]
    own.insert(0, "pair", ids_of(pairs["user"], pairs["item"]), allow_duplicates=True)
    return own if names else None
