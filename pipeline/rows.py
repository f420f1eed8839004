"""The rows that stages read: the manifest with what the audit found, training and test rows, and their folds."""

import functools
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from pipeline.config import Competition
from pipeline.data.boxes import CUT
from pipeline.data.channels import Channels, read_channels
from pipeline.data.labels import specs_of
from pipeline.data.levels import Levels, sort_of
from pipeline.data.readers import codes_for, own_readers
from pipeline.data.tables import read_table
from pipeline.errors import RequestError
from pipeline.freshness import digest
from pipeline.predictions import TargetSpec
from pipeline.workspace import Workspace, read_json

FOUND = ("readable", "sha256", "group")  # which no target may be called
ALONE = -1  # the group of an image that resembles no other


def audited_rows(
    workspace: Workspace, found: Sequence[str] = FOUND, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """The manifest, or some columns of it, with what the audit found of each row, in the manifest's order."""
    manifest = pd.read_parquet(workspace.manifest, columns=None if columns is None else ["id", "split", *columns])
    cut = [CUT] if CUT in pq.read_schema(workspace.facts).names else []
    facts = pd.read_parquet(workspace.facts, columns=["id", "split", *found, *cut])
    return manifest.merge(facts, on=["id", "split"], validate="one_to_one")


def training_rows(workspace: Workspace) -> pd.DataFrame:
    """The readable training rows, audited, sorted by id."""
    rows = _with_features(workspace, audited_rows(workspace))
    return rows[(rows["split"] == "train") & rows["readable"]].sort_values("id", ignore_index=True)


def test_rows(workspace: Workspace) -> pd.DataFrame:
    """The test rows, audited, sorted by id."""
    rows = _with_features(workspace, audited_rows(workspace))
    return rows[rows["split"] == "test"].sort_values("id", ignore_index=True)


def _with_features(workspace: Workspace, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the columns that the file names besides, where it does."""
    if not workspace.features.is_file():
        return rows
    return rows.merge(pd.read_parquet(workspace.features), on=["id", "split"], how="left", validate="one_to_one")


def readable_images(workspace: Workspace) -> pd.DataFrame:
    """path, sha256, width and height (upright) of every image that can be read, sorted by path.

    Where boxes are cut out of them, `CUT` too, and an image once for each.
    """
    rows = audited_rows(workspace, ["readable", "sha256", "width", "height"], ["path"])
    names = ["path", *[CUT] * (CUT in rows)]
    rows = rows[rows["readable"]].drop_duplicates(names).sort_values(names, ignore_index=True)
    return rows[["path", "sha256", "width", "height", *names[1:]]]


def reader_codes(workspace: Workspace) -> dict[str, Any]:
    """The code of the image readers of plug-ins that some of the files are read by; empty where there are none."""
    if not own_readers() or not workspace.manifest.is_file():
        return {}
    codes = codes_for(pd.read_parquet(workspace.manifest, columns=["path"])["path"])
    return {"readers": codes} if codes else {}


def levels_of(workspace: Workspace) -> Levels | None:
    """By which ranges images of more than 8 bits are read, as the audit found them; None where there are none."""
    return _levels_of(workspace, digest(workspace.audit))


@functools.lru_cache(maxsize=8)
def _levels_of(workspace: Workspace, _: str | None) -> Levels | None:
    said = (read_json(workspace.audit) or {}).get("levels")
    return {sort: (float(low), float(high)) for sort, (low, high) in said.items()} if said else None


def channels_in(workspace: Workspace) -> Channels:
    """The channels of all images, as the audit found them; RGB before it."""
    return _channels_in(workspace, digest(workspace.audit))


@functools.lru_cache(maxsize=8)
def _channels_in(workspace: Workspace, _: str | None) -> Channels:
    return read_channels((read_json(workspace.audit) or {}).get("channels"))


def has_deep_images(workspace: Workspace) -> bool:
    """Whether the audit met readable images of more than 8 bits."""
    return workspace.facts.is_file() and _has_deep_images(workspace, digest(workspace.facts))


@functools.lru_cache(maxsize=8)
def _has_deep_images(workspace: Workspace, _: str | None) -> bool:
    if "mode" not in pq.read_schema(workspace.facts).names:
        return False
    facts = pd.read_parquet(workspace.facts, columns=["mode", "readable"])
    return any(sort_of(mode) for mode in facts["mode"][facts["readable"]].unique())


def content_digest(workspace: Workspace) -> str | None:
    """What the audit found in the files of the training rows, as one digest; None before the audit."""
    if not (workspace.manifest.is_file() and workspace.facts.is_file()):
        return None
    return _content_digest(workspace, digest(workspace.manifest), digest(workspace.facts))


@functools.lru_cache(maxsize=8)
def _content_digest(workspace: Workspace, *_: str | None) -> str:
    """Once for each state of the two tables: every fold asks for it."""
    rows = audited_rows(workspace, ("readable", "sha256"), ())
    rows = rows[(rows["split"] == "train") & rows["readable"]].sort_values("id", ignore_index=True)
    # Joined in Python: pandas 2, as on Kaggle's image, drops a NUL that it adds to a column.
    columns = [rows[name] for name in ("id", "sha256", CUT) if name in rows]
    lines = ("\0".join(cells) + "\n" for cells in zip(*columns, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_folds(workspace: Workspace) -> pd.Series:
    """Fold numbers (from 0; -1 for a row that no fold holds out) by id.

    Raises RequestError for a file that holds something else.
    """
    table = read_table(workspace.folds, "folds")
    if not {"id", "fold"} <= set(table.columns):
        raise RequestError(f"{workspace.folds} needs the columns id and fold; it has {', '.join(table.columns)}")
    odd = table[~table["fold"].str.fullmatch(r"\d{1,4}|-1")]
    if len(odd):
        raise RequestError(
            f"{workspace.folds}: fold {odd['fold'].iloc[0]!r} of id {odd['id'].iloc[0]!r} is no fold number; "
            "they are whole numbers from 0"
        )
    return table.set_index("id")["fold"].astype(int)


def trained_on(numbers: np.ndarray, fold: int, by_time: bool = False) -> np.ndarray:
    """Which rows (rows,), by their fold numbers, the models of a fold are trained on: all others, or the earlier ones.

    Rows that no fold holds out (-1) are trained on in every fold.
    """
    return numbers < fold if by_time else numbers != fold


def torn(numbers: Sequence[int] | np.ndarray, groups: pd.Series) -> pd.Index:
    """Of groups of rows, by their value in each row, those that lie in several folds."""
    folds = pd.Series(numbers).groupby(groups.to_numpy()).nunique()
    return folds.index[folds > 1]


class Loaded(NamedTuple):
    """Readable training rows sorted by id, the targets as the data showed them, and each row's fold (rows,)."""

    rows: pd.DataFrame
    specs: tuple[TargetSpec, ...]
    fold_of: np.ndarray


def load_rows(comp: Competition, workspace: Workspace) -> Loaded:
    """What the folds of a competition are made of."""
    rows = training_rows(workspace)
    specs = specs_of(comp.targets, pd.read_parquet(workspace.manifest))
    return Loaded(rows, specs, read_folds(workspace).loc[rows["id"]].to_numpy())
