"""Predictions: ids x targets x classes, with the fold each came from. The one currency between stages."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import WorkFailed
from pipeline.targets import TargetSpec
from pipeline.workspace import write_with

NO_FOLD = -1  # the fold of a test row: it was held out of every fold


@dataclass(frozen=True)
class Predictions:
    """Predictions of one model or ensemble, sorted by id, so that equal content means equal bytes.

    `ids` (n,) unique strings; `folds` (n,) the fold that was predicted out of sample, -1 for test;
    `values` maps each target's name to float32 (n, width).
    """

    ids: np.ndarray
    folds: np.ndarray
    specs: tuple[TargetSpec, ...]
    values: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        _check(self)
        if _in_order(self.ids):  # a blend of what was sorted before: nothing to move
            values = {s.name: np.asarray(self.values[s.name], dtype=np.float32) for s in self.specs}
            object.__setattr__(self, "values", values)
            return
        order = np.argsort(self.ids, kind="stable")
        object.__setattr__(self, "ids", self.ids[order])
        object.__setattr__(self, "folds", self.folds[order])
        arranged = {s.name: np.asarray(self.values[s.name], dtype=np.float32)[order] for s in self.specs}
        object.__setattr__(self, "values", arranged)

    def __len__(self) -> int:
        return len(self.ids)

    def spec(self, target: str) -> TargetSpec:
        return next(spec for spec in self.specs if spec.name == target)

    def take(self, ids: Sequence[str] | np.ndarray) -> dict[str, np.ndarray]:
        """Each target's values in the order of `ids`. Raises WorkFailed if an id has no prediction."""
        wanted = np.asarray(ids, dtype=str)
        _refuse(np.setdiff1d(wanted, self.ids), "have no prediction")
        rows = np.searchsorted(self.ids, wanted)
        return {name: values[rows] for name, values in self.values.items()}

    def only(self, ids: Iterable[str]) -> "Predictions":
        """The rows with these ids; all of them must be there."""
        wanted = np.unique(np.asarray(list(ids), dtype=str))
        values = self.take(wanted)
        return replace(self, ids=wanted, folds=self.folds[np.searchsorted(self.ids, wanted)], values=values)

    def check_matches(self, other: "Predictions") -> None:
        """Raise WorkFailed, showing what differs, unless `other` has the same targets, classes and ids."""
        if self.specs != other.specs:
            for mine, theirs in zip(self.specs, other.specs, strict=False):
                if mine != theirs:
                    raise WorkFailed(f"predictions of different targets cannot be joined: {mine} and {theirs}")
            raise WorkFailed(f"predictions with {len(self.specs)} and {len(other.specs)} targets cannot be joined")
        if np.array_equal(self.ids, other.ids) and np.array_equal(self.folds, other.folds):
            return
        _refuse(np.setdiff1d(self.ids, other.ids), "are in the first set of predictions only")
        _refuse(np.setdiff1d(other.ids, self.ids), "are in the second set of predictions only")
        moved = self.ids[self.folds != other.folds]
        _refuse(moved, "were held out in different folds")

    def save(self, path: Path, **about: Any) -> None:
        """Write parquet: `id`, `fold`, then a column per class; `about` joins the file's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {"id": pa.array(self.ids.tolist(), pa.string()), "fold": pa.array(self.folds, pa.int16())}
        for spec in self.specs:
            for column, values in zip(spec.columns, self.values[spec.name].T, strict=True):
                columns[column] = pa.array(np.ascontiguousarray(values), pa.float32())
        targets = [_as_json(spec) for spec in self.specs]
        metadata = {
            "targets": json.dumps(targets),
            **{key: json.dumps(value) for key, value in about.items()},
        }
        write_with(path, lambda file: pq.write_table(pa.table(columns, metadata=metadata), file))


def load(path: Path) -> Predictions:
    """Read what `Predictions.save` wrote. Raises WorkFailed if the file is missing or torn."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # None is documented; without stubs the checker knows the default, a word, alone.
        table = pq.read_table(path, partitioning=None)  # pyright: ignore[reportArgumentType]
        targets = json.loads(table.schema.metadata[b"targets"])
        specs = tuple(TargetSpec(t["name"], t["kind"], tuple(t["vocab"]), _options(t)) for t in targets)
        values = {s.name: np.column_stack([table[column].to_numpy() for column in s.columns]) for s in specs}
        ids, folds = np.asarray(table["id"].to_pylist(), dtype=str), table["fold"].to_numpy()
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise WorkFailed(f"{path} is not a file of predictions ({type(error).__name__}); predict again") from error
    return Predictions(ids, folds, specs, values)


def join(parts: Sequence[Predictions]) -> Predictions:
    """Put disjoint rows together, such as the held-out parts of the folds."""
    specs = parts[0].specs
    for part in parts[1:]:
        if part.specs != specs:
            raise WorkFailed(f"folds disagree about the targets: {specs} and {part.specs}; train them again")
    ids = np.concatenate([part.ids for part in parts])
    values = {s.name: np.concatenate([part.values[s.name] for part in parts]) for s in specs}
    return Predictions(ids, np.concatenate([part.folds for part in parts]), specs, values)


def blend(parts: Sequence[Predictions], weights: Sequence[float] | np.ndarray) -> Predictions:
    """The weighted mean of predictions of the same rows, joined by id. Weights are normalised to sum 1."""
    for part in parts[1:]:
        parts[0].check_matches(part)
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    values = {}
    for spec in parts[0].specs:
        total = sum(share * part.values[spec.name] for share, part in zip(shares, parts, strict=True))
        values[spec.name] = np.asarray(total, dtype=np.float32)
    return replace(parts[0], values=values)


def _as_json(spec: TargetSpec) -> dict[str, Any]:
    about = {"name": spec.name, "kind": spec.kind, "vocab": list(spec.vocab)}
    return {**about, "options": dict(spec.options)} if spec.options else about


def _options(about: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(about.get("options", {}).items())


def _check(preds: Predictions) -> None:
    n = len(preds.ids)
    if not _in_order(preds.ids):
        unique, counts = np.unique(preds.ids, return_counts=True)
        _refuse(unique[counts > 1], "are predicted more than once")
    for spec in preds.specs:
        shape = np.shape(preds.values[spec.name])
        if shape != (n, spec.width):
            raise WorkFailed(f"predictions of {spec.name!r} have shape {shape}, expected {(n, spec.width)}")
        bad = ~np.isfinite(preds.values[spec.name]).all(axis=1)
        _refuse(preds.ids[bad], f"have predictions of {spec.name!r} that are not finite numbers")
    if len(preds.folds) != n:
        raise WorkFailed(f"{n} ids with {len(preds.folds)} folds")


def _in_order(ids: np.ndarray) -> bool:
    """Whether ids are sorted and unique, which a look along them tells much faster than sorting."""
    return bool((ids[1:] > ids[:-1]).all())


def _refuse(ids: np.ndarray, what: str) -> None:
    if len(ids):
        shown = ", ".join(str(i) for i in ids[:3])
        raise WorkFailed(f"{len(ids)} ids {what}: {shown}{', ...' if len(ids) > 3 else ''}")
