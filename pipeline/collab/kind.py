"""Rating competitions: what they do in their own way on the road."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.collab.audit import audit_ratings, refuse_ratings, say_audit, titles_of
from pipeline.collab.config import RATING, RatingsCompetition, RatingsData, RatingsModel
from pipeline.collab.manifest import build_manifest, published_folds, random_folds
from pipeline.collab.naming import in_words, own_sample, with_pairs
from pipeline.collab.ratings import digest_of
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
    endings = ()

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
        return own_sample(comp.data, test, raw)

    def with_ids(self, table: pd.DataFrame, data: RatingsData, raw: Path, said: str | None = None) -> pd.DataFrame:
        """With <user>/<item> in its id column, in whatever way it names its rows."""
        return with_pairs(table, data, raw, said)

    def hint_on_ids(self, comp: RatingsCompetition) -> str:
        return in_words(comp.data)

    def audit(self, comp: RatingsCompetition, workspace: Workspace, manifest: pd.DataFrame, log: Log) -> Audit:
        refuse_ratings(manifest, comp.models)
        facts = manifest[["id", "split"]].assign(readable=True, sha256="", group=ALONE)
        summary = audit_ratings(manifest, titles_of(workspace.raw, comp.data))
        return Audit(facts, summary, partial(say_audit, summary))

    def audit_inputs(self, comp: RatingsCompetition, workspace: Workspace) -> dict[str, Any]:
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

    def check_models(self, models: Sequence[RatingsModel], workspace: Workspace) -> None:
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
        trained, parts = self.open_trained(fold), []
        timed = fold.comp.data.timestamp is not None and not test["timestamp"].isna().any()
        for rows, number in ((fold.held_out, fold.number), (test, NO_FOLD)):
            times = rows["timestamp"].to_numpy(dtype=np.int64) if timed else None  # alike, so that CV tells of test
            guess = trained.predict(rows["user"].tolist(), rows["item"].tolist(), times)[:, None]
            values = {RATING: fold.specs[0].target_kind.within(guess)}
            ids = rows["id"].to_numpy(dtype=str)
            parts.append(Predictions(ids, np.full(len(ids), number), fold.specs, values))
        return {"": (parts[0], parts[1])}


KIND: Kind[RatingsCompetition, RatingsData, RatingsModel] = RatingsKind()
