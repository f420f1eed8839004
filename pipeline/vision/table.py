"""A table model's fold: trained from `data.features` alone, opened from its file, predicted as any other member."""

import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pipeline.errors import RequestError, WorkFailed
from pipeline.log import Log
from pipeline.predictions import NO_FOLD, Predictions, TargetSpec
from pipeline.settings import Section
from pipeline.vision.cache import Cache
from pipeline.vision.encoding import Features
from pipeline.vision.estimators import ESTIMATORS, Answers, Arrays
from pipeline.vision.header import read_header, sort_header
from pipeline.vision.heads import Head
from pipeline.vision.metadata import HeadMetadata, installed_versions
from pipeline.vision.scored import Scored
from pipeline.vision.table_config import TableModel
from pipeline.vision.trained import Predicted
from pipeline.vision.weights import WEIGHT
from pipeline.workspace import HISTORY, WEIGHTS, csv_text, write_text, write_with

MOST_WORDS = 200  # of a column that get a column of 0 and 1 each, the most frequent first
KEY = "table"  # in the header of the file


class TableMetadata(Section, frozen=True):
    """A fold's file: how its columns are encoded, what it answers, how it was fitted."""

    format: Literal[1] = 1
    model: TableModel
    features: Features
    heads: tuple[HeadMetadata, ...]
    seed: tuple[int | str, ...]
    versions: dict[str, str]


def train_table(  # noqa: PLR0913
    train: pd.DataFrame,
    held_out: pd.DataFrame,
    heads: Sequence[Head],
    model: TableModel,
    seed: tuple[int | str, ...],
    folder: Path,
    log: Log,
    label: str,
    scored: Scored,
) -> None:
    """Fit each target from the training rows' features; write `weights.safetensors` and `history.csv` into `folder`.

    It is done in one go: a fold that was killed is fitted again, to the same bytes. Raises RequestError for a target
    of a kind that no estimator fits, or that no row which counts has an answer to.
    """
    started = time.monotonic()
    features = Features.of(train)
    inputs, entry = inputs_of(features, train), ESTIMATORS[model.estimator]
    tensors: dict[str, np.ndarray] = {}
    for head in heads:
        known, weights = _counting(train, head.spec.name, label)
        answers = _answers_of(head, train[head.spec.name][known], weights)
        drawn = zlib.crc32(repr((*seed, head.spec.name)).encode()) >> 1
        found = entry.fit(inputs[known], answers, model.chosen, drawn)
        tensors |= {f"{head.spec.name}.{key}": np.array(array, order="C") for key, array in found.items()}
    about = TableMetadata(
        model=model,
        features=features,
        heads=tuple(HeadMetadata.of(head) for head in heads),
        seed=seed,
        versions=installed_versions() | {"scikit-learn": _sklearn_version()},
    )
    _save(folder / WEIGHTS, tensors, {"arch": model.arch, KEY: about.model_dump_json()})
    values = TrainedTable(about, tensors).values(held_out)
    row = {"epoch": 0, **_scores(scored, heads, values), "seconds": round(time.monotonic() - started, 2)}
    write_text(folder / HISTORY, csv_text([row]))
    shown = "  ".join(f"{name} {value:.4f}" for name, value in list(row.items())[1:-1][:3])
    log.say(f"{label}  {model.estimator} of {inputs.shape[1]} columns  {shown}  {row['seconds']:.1f} s")


def inputs_of(features: Features, rows: pd.DataFrame) -> np.ndarray:
    """float64 (n, d): numbers standardised, and 0 or 1 for each word; of a column's rare and unknown words none."""
    encoded = features.encode(rows)
    parts = [encoded[:, : features.width].astype(np.float64)]
    for number, size in enumerate(features.sizes):
        codes = encoded[:, features.width + number].astype(np.int64)
        parts.append((codes[:, None] == np.arange(1, min(size, MOST_WORDS + 1))).astype(np.float64))
    return np.concatenate(parts, axis=1)


class TrainedTable:
    """A table model's trained fold; `metadata` is what its file says of itself."""

    def __init__(self, metadata: TableMetadata, tensors: Arrays) -> None:
        self.metadata = metadata
        self.heads = tuple(head.head() for head in metadata.heads)
        self._tensors = tensors

    @classmethod
    def open(cls, path: Path | str) -> "TrainedTable":
        """A fold out of its weights.safetensors. Raises WorkFailed for a file that does not hold such."""
        path = Path(path)
        try:
            metadata = TableMetadata.model_validate_json(read_header(path)[KEY])
            return cls(metadata, load_file(path))
        except (OSError, SafetensorError, KeyError, ValidationError) as error:
            said = str(error).strip().splitlines()[0]
            raise WorkFailed(f"{path} does not hold a table model ({said}); train again") from error

    @property
    def specs(self) -> tuple[TargetSpec, ...]:
        """Its targets, in the order of its outputs."""
        return tuple(head.spec for head in self.heads)

    @property
    def settings(self) -> TableModel:
        """The model's table of the competition file, as it was trained."""
        return self.metadata.model

    def values(self, rows: pd.DataFrame) -> dict[str, np.ndarray]:
        """Predictions of each target, float32 (n, width), for rows with their features."""
        inputs, entry, found = inputs_of(self.metadata.features, rows), ESTIMATORS[self.settings.estimator], {}
        for head in self.heads:
            prefix = f"{head.spec.name}."
            own = {k.removeprefix(prefix): array for k, array in self._tensors.items() if k.startswith(prefix)}
            raw = torch.from_numpy(entry.predict(own, inputs))
            found[head.spec.name] = head.activate(raw).numpy().astype(np.float32)
        return found

    def predict_rows(
        self,
        rows: pd.DataFrame,
        raw: Path | None = None,
        cache: Cache | None = None,
        tta: int | None = None,
        fold: int = NO_FOLD,
    ) -> Predicted:
        """Predict rows of a manifest with their features. No image is read: both passes are the same."""
        ids = rows["id"].to_numpy(dtype=str)
        found = Predictions(ids, np.full(len(rows), fold), self.specs, self.values(rows))
        return Predicted(found, found)


def _counting(train: pd.DataFrame, target: str, label: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Which rows (n,) a target is fitted to, and how much each of these counts, 1 on average; None where all are alike.

    Rows of weight 0 are left out: they would take part in what is counted by rows, such as the least of a leaf.
    """
    known = train[target].notna().to_numpy()
    if WEIGHT in train:
        known = known & (train[WEIGHT].to_numpy() > 0)
    if not known.any():
        raise RequestError(f"{label}: of the training rows none that counts (data.weight) has an answer to {target!r}")
    weights = train[WEIGHT].to_numpy(dtype=np.float64)[known] if WEIGHT in train else np.ones(1)
    return known, None if (weights == weights[0]).all() else weights / weights.mean()


def _answers_of(head: Head, labels: pd.Series, weights: np.ndarray | None) -> Answers:
    """Labels (n,) as what an estimator is fitted to, by what the target's kind makes of them for a network."""
    spec, kind = head.spec, head.spec.target_kind
    rows = torch.tensor([kind.encode(spec, kind.sample_label(label)) for label in labels], dtype=torch.float64)
    rows = rows.reshape(len(labels), head.label_width)
    if spec.exclusive:
        return Answers("one", np.eye(spec.width)[rows[:, 0].long().numpy()], weights)
    if spec.vocab and head.label_width == spec.width:
        return Answers("any", rows.numpy(), weights)
    if not spec.vocab:
        return Answers("number", kind.scaled(rows, rows, head.center, head.scale).numpy(), weights)
    raise RequestError(f"a table model does not know targets of kind {spec.kind!r}, such as {spec.name!r}")


def _save(path: Path, tensors: Mapping[str, np.ndarray], header: dict[str, str]) -> None:
    def write(file: Path) -> None:
        save_file(dict(tensors), file, metadata=header)
        sort_header(file)

    write_with(path, write)


def _scores(scored: Scored, heads: Sequence[Head], values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The leaderboard's metric of each target that has one."""
    specs = [head.spec for head in heads if head.spec.name in scored.truth]
    return {scored.column(spec.name): scored.value(spec, values[spec.name]) for spec in specs}


def _sklearn_version() -> str:
    import sklearn

    return sklearn.__version__
