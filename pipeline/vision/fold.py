"""From rows of the manifest to what a fold is trained on: samples with labels, and heads."""

from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

import pandas as pd

from pipeline.data.boxes import pictures
from pipeline.targets import Label, TargetSpec
from pipeline.targets.said import Target
from pipeline.vision.blocks import Sample
from pipeline.vision.config import ImageModel
from pipeline.vision.encoding import Features
from pipeline.vision.heads import Head
from pipeline.vision.weights import WEIGHT


def samples_of(
    rows: pd.DataFrame,
    specs: Sequence[TargetSpec],
    raw: Path,
    features: Features | None = None,
    weighted: bool = False,
) -> list[Sample]:
    """Rows of the manifest as samples with labels, in their order; with `features`, those of each besides; `weighted`
    to be trained on: with their weights."""
    columns = [_own_labels(spec, rows[spec.name]) for spec in specs]
    weights = rows[WEIGHT] if weighted and WEIGHT in rows else repeat(1.0, len(rows))
    beside = [None] * len(rows) if features is None else features.encode(rows)
    each = zip(rows["id"], pictures(rows, raw), zip(*columns, strict=True), weights, beside, strict=True)
    return [Sample(id, picture, labels, float(weight), own) for id, picture, labels, weight, own in each]


def features_of(model: ImageModel, train: pd.DataFrame) -> Features | None:
    """The columns that a model reads besides, as a fold's training rows show them; None for one that reads none."""
    return Features.of(train) if model.features else None


def _own_labels(spec: TargetSpec, labels: pd.Series) -> list[Label | None]:
    pairs = zip(labels, labels.notna(), strict=True)
    return [spec.target_kind.sample_label(label) if known else None for label, known in pairs]


def unlabelled(rows: pd.DataFrame, raw: Path) -> list[Sample]:
    """Rows of the manifest as samples without labels, in their order."""
    return [Sample(id, picture) for id, picture in zip(rows["id"], pictures(rows, raw), strict=True)]


def heads_of(targets: Sequence[Target], specs: Sequence[TargetSpec], train: pd.DataFrame) -> list[Head]:
    """One head a target; a regression's scale comes from the training rows given."""
    heads = []
    for target, spec in zip(targets, specs, strict=True):
        labels = train[spec.name].dropna()
        center, scale = spec.target_kind.label_scale(labels) if len(labels) else (0.0, 1.0)
        heads.append(Head(spec, target.loss_name, target.weight, center, scale, target.loss_options))
    return heads
