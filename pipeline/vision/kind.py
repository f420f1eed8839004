"""How a fold of an image competition is trained and predicted."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import Competition, Data, Model
from pipeline.data.manifest import build_manifest, empty_class_folders
from pipeline.data.readers import image_endings
from pipeline.errors import RequestError
from pipeline.fold import Fold, Values
from pipeline.log import Log
from pipeline.workspace import WEIGHTS

PLAIN = "plain"  # the folder of predictions without TTA
PASSES = (("cv", PLAIN), ("tta_cv", ""))
FREE = {"name", "tta"}
LIBRARIES = ("torch", "fastai", "timm", "pillow")
ROWS = "images"


def build(comp: Competition, raw: Path) -> pd.DataFrame:
    """The manifest. Raises RequestError for anything in the file that the raw folder contradicts."""
    manifest = build_manifest(raw, comp.data, comp.targets, raw / comp.submission.sample)
    if any(target.folder for target in comp.targets):
        empty = empty_class_folders(raw, comp.data)
        if empty:
            raise RequestError(
                f"data.images: class folder {empty[0]!r} in {raw / comp.data.images} holds no image "
                f"({', '.join(sorted(image_endings())[:4])}, ...); add some or remove the folder"
            )
    return manifest


def with_ids(table: pd.DataFrame, data: Data, raw: Path) -> pd.DataFrame:
    """A table of a submission as it is: it has a column of ids."""
    return table


def own_sample(comp: Competition, manifest: pd.DataFrame) -> pd.DataFrame | None:
    """No sample but the competition's own."""


def side_inputs(data: Data, model: Model, raw: Path) -> dict[str, Any]:
    """What training depends on besides the manifest and the model: nothing."""
    return {}


def check_models(models: Sequence[Model]) -> None:
    """Raise RequestError for an architecture that timm does not know, before the first hour of training."""
    from pipeline.vision.model import check_arch

    for model in models:
        check_arch(model.arch)


def train_fold(fold: Fold, log: Log, deadline: float = math.inf) -> None:
    """Write the fold's weights.safetensors and history.csv. Raises TimeIsUp after the last epoch before `deadline`."""
    from pipeline.vision.fold import heads_of, samples_of
    from pipeline.vision.memory import given_back
    from pipeline.vision.train import train_fold as train

    with given_back():
        train(
            samples_of(fold.train, fold.specs, fold.raw),
            samples_of(fold.held_out, fold.specs, fold.raw),
            heads_of(fold.targets, fold.specs, fold.train),
            fold.model,
            fold.seed,
            fold.folder,
            log,
            f"train {fold.name}",
            fold.cache,
            deadline,
        )


def predict_fold(fold: Fold, test: pd.DataFrame) -> dict[str, tuple[Values, Values]]:
    """Predictions of the held-out and of the test rows, for each folder of `PASSES`."""
    from pipeline.vision.fold import heads_of, samples_of, unlabelled
    from pipeline.vision.memory import given_back
    from pipeline.vision.predict import predict_fold as predict

    with given_back():
        oof, unseen = predict(
            samples_of(fold.held_out, fold.specs, fold.raw),
            unlabelled(test, fold.raw),
            heads_of(fold.targets, fold.specs, fold.train),
            fold.model,
            fold.seed,
            fold.folder / WEIGHTS,
            fold.cache,
        )
    return {"": (oof.tta, unseen.tta), PLAIN: (oof.plain, unseen.plain)}
