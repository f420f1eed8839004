"""Image competitions: what they do in their own way on the road."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from pipeline.cases import answer_ids
from pipeline.data.channels import UNSAID
from pipeline.data.levels import in_words
from pipeline.data.longform import long_form
from pipeline.data.readers import image_endings
from pipeline.data.sample import find_sample
from pipeline.errors import RequestError
from pipeline.fold import Fold
from pipeline.freshness import digest
from pipeline.kinds import Audit, Kind
from pipeline.log import Log
from pipeline.machine import device_in_words
from pipeline.predictions import Predictions
from pipeline.rows import channels_in, content_digest, has_deep_images, levels_of, reader_codes
from pipeline.settings import Settings
from pipeline.vision.config import ImageCompetition, ImageModel, Resize
from pipeline.vision.data_config import ImageData
from pipeline.vision.features import read_features, tell_features
from pipeline.vision.groups import table_of
from pipeline.vision.manifest import build_manifest, empty_class_folders
from pipeline.vision.member import Member
from pipeline.vision.splits import split_images
from pipeline.vision.start import start_file
from pipeline.vision.table_config import TableModel
from pipeline.workspace import WEIGHTS, Workspace

if TYPE_CHECKING:
    from pipeline.vision.table import TrainedTable
    from pipeline.vision.trained import TrainedModel

PLAIN = "plain"  # the folder of predictions without TTA
Images = Fold[ImageCompetition, Member]
DEEP = "reading of images of more than 8 bits"


class ImageKind:
    """Photos with labels: presized once, trained by fastai, predicted with and without TTA."""

    name = "image"
    competition = ImageCompetition
    rows = "images"
    passes = (("cv", PLAIN), ("tta_cv", ""))
    free = frozenset({"name", "tta"})
    libraries = ("torch", "fastai", "timm", "pillow")
    makes_sample = True
    travels = True

    @property
    def endings(self) -> frozenset[str]:
        return image_endings()

    def build_manifest(self, comp: ImageCompetition, raw: Path, log: Log) -> pd.DataFrame:
        sample = find_sample(raw, comp.submission.sample)
        long = long_form(comp, raw)
        manifest = build_manifest(raw, comp.data, comp.targets, sample, log, comp.submission.id, long)
        if any(target.folder for target in comp.targets):
            empty = empty_class_folders(raw, comp.data)
            if empty:
                raise RequestError(
                    f"data.images: class folder {empty[0]!r} in {raw / comp.data.images} holds no image "
                    f"({', '.join(sorted(image_endings())[:4])}, ...); add some or remove the folder"
                )
        return manifest

    def read_features(self, comp: ImageCompetition, raw: Path, manifest: pd.DataFrame, log: Log) -> pd.DataFrame:
        found = read_features(raw, comp.data, comp.targets, manifest)
        tell_features(found, log)
        return found

    def own_sample(self, comp: ImageCompetition, manifest: pd.DataFrame, raw: Path) -> pd.DataFrame | None:
        """For a competition that has test images and no sample: id, and a column a target."""
        test = answer_ids(manifest[manifest["split"] == "test"])
        names = [target.name for target in comp.targets]
        return pd.DataFrame({comp.data.answer_id: test, **dict.fromkeys(names, "")}) if len(test) else None

    def with_ids(self, table: pd.DataFrame, data: ImageData, raw: Path, said: str | None = None) -> pd.DataFrame:
        """As it is: it has a column of ids."""
        return table

    def hint_on_ids(self, comp: ImageCompetition) -> str:
        if comp.data.case is not None:
            return f"data.case = {comp.data.case!r} says that they are its cells"
        folder = (comp.data.test or "test").split("{")[0].rstrip("/")
        return f"if ids have no ending, use a pattern such as test = '{folder}/{{{comp.data.id}}}.*'"

    def audit(self, comp: ImageCompetition, workspace: Workspace, manifest: pd.DataFrame, log: Log) -> Audit:
        from pipeline.vision.auditing import audit_images

        return audit_images(comp, workspace, manifest, log)

    def audit_inputs(self, comp: ImageCompetition, workspace: Workspace) -> dict[str, Any]:
        deep = {DEEP: "the set's range becomes 0 to 255"} if has_deep_images(workspace) else {}
        said = {"channels": asdict(comp.data.said_channels)} if comp.data.said_channels != UNSAID else {}
        said |= {"levels": comp.data.levels} if comp.data.levels is not None else {}
        return {**reader_codes(workspace), **deep, **said}

    def split(
        self, comp: ImageCompetition, workspace: Workspace, rows: pd.DataFrame, log: Log
    ) -> tuple[np.ndarray, str]:
        return split_images(comp, workspace, rows, log)

    def split_inputs(self, comp: ImageCompetition, workspace: Workspace) -> Settings:
        """The table of the column that folds are made by. Folds from before this was recorded stay as they are."""
        folds, raw = comp.folds, workspace.raw
        column = folds.column or folds.time or (folds.group if folds.by_column else None)
        table = None if column is None else _table_of(comp, workspace, column)
        if table is None:
            return Settings({}, {})
        found: dict[str, Any] = {"table": digest(raw / table)}
        if table == comp.data.table and comp.data.tables:
            found["tables"] = [digest(raw / joined.table) for joined in comp.data.tables]
        return Settings(found, found)

    def check_models(self, models: Sequence[Member], workspace: Workspace) -> None:
        """Refuse an architecture that timm does not know or that does not take such images, and a file of weights that
        does not fit."""
        networks = [model for model in models if isinstance(model, ImageModel)]
        if networks:
            from pipeline.vision.model import check_start

            for model in networks:
                check_start(model, channels_in(workspace).count)

    def device(self, log: Log) -> str:
        return device_in_words(log)

    def presize_of(self, model: Member) -> Resize | None:
        return model.presize if isinstance(model, ImageModel) else None

    def training_inputs(self, comp: ImageCompetition, workspace: Workspace, model: Member) -> dict[str, Any]:
        read = {"features": digest(workspace.features)} if model.reads_features else {}
        if not isinstance(model, ImageModel):
            return read
        levels = levels_of(workspace)
        deep = {DEEP: words} if levels and (words := in_words(levels)) else {}
        channels = channels_in(workspace)
        own = {"channels": channels.in_words()} if channels.settings() else {}
        own |= {**model.corrected, **read}
        return {"images": content_digest(workspace), **reader_codes(workspace), **deep, **own}

    def train_fold(self, fold: Images, log: Log, deadline: float = math.inf) -> None:
        from pipeline.vision.cache import open_cache
        from pipeline.vision.fold import features_of, heads_of, samples_of
        from pipeline.vision.memory import given_back
        from pipeline.vision.scored import Scored
        from pipeline.vision.table import train_table
        from pipeline.vision.train import train_fold

        heads, model = heads_of(fold.comp.targets, fold.specs, fold.train), fold.model
        scored = Scored.of(fold.comp.leaderboard, fold.scored, fold.specs, fold.held_out)
        if isinstance(model, TableModel):
            rows = fold.train, fold.held_out
            train_table(*rows, heads, model, fold.seed, fold.folder, log, f"train {fold.name}", scored)
            return
        model = cast(ImageModel, model)
        _warn_of_leak(fold, model, log)
        features = features_of(model, fold.train)
        with given_back():
            train_fold(
                samples_of(fold.train, fold.specs, fold.raw, features, weighted=True),
                samples_of(fold.held_out, fold.specs, fold.raw, features),
                heads,
                model,
                fold.seed,
                fold.folder,
                log,
                f"train {fold.name}",
                open_cache(fold.presized, fold.raw, log),
                deadline,
                scored,
                features,
            )

    def open_trained(self, fold: Images) -> "TrainedModel | TrainedTable":
        from pipeline.vision.fold import heads_of
        from pipeline.vision.metadata import Metadata
        from pipeline.vision.table import TrainedTable
        from pipeline.vision.trained import TrainedModel

        if not isinstance(fold.model, ImageModel):
            return TrainedTable.open(fold.folder / WEIGHTS)
        # Of weights that an earlier version trained, which do not describe themselves.
        metadata = Metadata.of(fold.model, heads_of(fold.comp.targets, fold.specs, fold.train), fold.seed)
        return TrainedModel.open(fold.folder / WEIGHTS, metadata)

    def prediction_inputs(self, model: Member) -> dict[str, Any]:
        return {"tta": model.tta} if isinstance(model, ImageModel) else {}

    def predict_fold(self, fold: Images, test: pd.DataFrame, log: Log) -> Mapping[str, tuple[Predictions, Predictions]]:
        from pipeline.vision.cache import open_cache
        from pipeline.vision.memory import given_back

        with given_back():
            trained = self.open_trained(fold)
            cache = open_cache(fold.presized, fold.raw, log)
            tta = fold.model.tta if isinstance(fold.model, ImageModel) else None
            oof = trained.predict_rows(fold.held_out, fold.raw, cache, tta, fold.number)
            unseen = trained.predict_rows(test, fold.raw, cache, tta)
        return {"": (oof.tta, unseen.tta), PLAIN: (oof.plain, unseen.plain)}


KIND: Kind[ImageCompetition, ImageData, Member] = ImageKind()


def _table_of(comp: ImageCompetition, workspace: Workspace, column: str) -> str | None:
    """The table of a column for folds, as far as it is known before they are made."""
    try:
        return table_of(comp, workspace, column, "folds")
    except (RequestError, OSError):
        return comp.data.table


def _warn_of_leak(fold: Images, model: ImageModel, log: Log) -> None:
    """Weights of another fold of this competition have seen what this fold is measured on."""
    path = start_file(model.arch, model.weights)
    if path is None or fold.folder.parents[1].resolve() not in path.resolve().parents:
        return
    if path.parent.name != fold.folder.name:
        log.warn(
            f"{fold.name} starts from {path}, which was trained on the rows that this fold holds out: its scores "
            "will be too good, and an ensemble will trust it too much"
        )
