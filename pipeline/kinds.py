"""The kinds of competition travel one road; what differs between them is told by a `Kind`, and nowhere in the stages.

`vision.kind` and `collab.kind` each hold one as `KIND`; they import what is heavy when it is needed.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import pandas as pd

from pipeline.config import Competition, Data, Model
from pipeline.fold import Fold
from pipeline.log import Log
from pipeline.predictions import Predictions
from pipeline.settings import Section
from pipeline.workspace import Workspace

C_contra = TypeVar("C_contra", bound=Competition, contravariant=True)
D_contra = TypeVar("D_contra", bound=Data, contravariant=True)
M_contra = TypeVar("M_contra", bound=Model, contravariant=True)


class Audit(NamedTuple):
    """What `check` finds."""

    facts: pd.DataFrame  # a row each of the manifest: id, split, readable, sha256, group, and what else the kind keeps
    summary: dict[str, Any]  # fits in JSON
    tell: Callable[[Log], None]  # says what a person should know of it


class Kind(Protocol[C_contra, D_contra, M_contra]):
    """What a kind of competition does in its own way. Data frames are tables of the manifest."""

    @property
    def name(self) -> str:
        """As the file says it."""
        ...

    @property
    def competition(self) -> type[Competition]:
        """What its file may say."""
        ...

    @property
    def rows(self) -> str:
        """The word for its rows: images, ratings."""
        ...

    @property
    def passes(self) -> Sequence[tuple[str, str]]:
        """The ways in which a fold is predicted: (name in metrics.json, folder within the fold's)."""
        ...

    @property
    def free(self) -> frozenset[str]:
        """Settings of a model that its training does not depend on."""
        ...

    @property
    def libraries(self) -> Sequence[str]:
        """Those whose versions are kept beside predictions."""
        ...

    @property
    def makes_sample(self) -> bool:
        """Whether a competition with a test set and no sample submission gets one of the pipeline's own."""
        ...

    @property
    def endings(self) -> Collection[str]:
        """What ids may end in that a table may leave out; none where they are no names of files."""
        ...

    @property
    def travels(self) -> bool:
        """Whether its models are worth a machine elsewhere, such as a kernel on Kaggle."""
        ...

    def build_manifest(self, comp: C_contra, raw: Path, log: Log) -> pd.DataFrame:
        """One row an example; what was passed over goes to `log`.

        Raises RequestError for anything in the file that the raw folder contradicts.
        """
        ...

    def read_features(self, comp: C_contra, raw: Path, manifest: pd.DataFrame, log: Log) -> pd.DataFrame:
        """id, split and the columns of the tables that `data` says it `has_features` of, row for row with the manifest.

        Raises RequestError for what is not there.
        """
        ...

    def own_sample(self, comp: C_contra, manifest: pd.DataFrame, raw: Path) -> pd.DataFrame | None:
        """The sample submission that `makes_sample` promises."""
        ...

    def with_ids(self, table: pd.DataFrame, data: D_contra, raw: Path, said: str | None = None) -> pd.DataFrame:
        """A submission, sample or solution with the pipeline's ids in its id column, `said` or found."""
        ...

    def hint_on_ids(self, comp: C_contra) -> str:
        """What to do where the sample's ids are not those of the test set."""
        ...

    def audit(self, comp: C_contra, workspace: Workspace, manifest: pd.DataFrame, log: Log) -> Audit:
        """Look at every row once. Raises RequestError where nothing could be trained."""
        ...

    def audit_inputs(self, comp: C_contra, workspace: Workspace) -> dict[str, Any]:
        """What the audit depends on besides the manifest."""
        ...

    def split(self, comp: C_contra, workspace: Workspace, rows: pd.DataFrame, log: Log) -> tuple[np.ndarray, str]:
        """Fold numbers (rows,) from 0, -1 for rows that no fold holds out, and in words how they were made."""
        ...

    def split_inputs(self, comp: C_contra, workspace: Workspace) -> dict[str, Any]:
        """What folds depend on besides [folds], the seed, the manifest and the audit.

        `Settings`, where some of it is newer than folds that are good without.
        """
        ...

    def check_models(self, models: Sequence[M_contra], workspace: Workspace) -> None:
        """Raise RequestError for what cannot be trained, before the first hour of training."""
        ...

    def device(self, log: Log) -> str | None:
        """What it trains on, in words; None where that is not worth a line."""
        ...

    def presize_of(self, model: M_contra) -> Section | None:
        """The presize whose cache a model reads; None where there is none."""
        ...

    def training_inputs(self, comp: C_contra, workspace: Workspace, model: M_contra) -> dict[str, Any]:
        """What training depends on besides model, targets, seed, manifest and folds."""
        ...

    def train_fold(self, fold: Fold[C_contra, M_contra], log: Log, deadline: float = math.inf) -> None:
        """Write the fold's weights and history. Raises TimeIsUp after the last epoch before `deadline`."""
        ...

    def open_trained(self, fold: Fold[C_contra, M_contra]) -> Any:
        """A trained fold, to predict with. Raises WorkFailed for weights that are not there."""
        ...

    def prediction_inputs(self, model: M_contra) -> dict[str, Any]:
        """What predictions depend on besides the trained fold."""
        ...

    def predict_fold(
        self, fold: Fold[C_contra, M_contra], test: pd.DataFrame, log: Log
    ) -> Mapping[str, tuple[Predictions, Predictions]]:
        """Predictions of the held-out and of the test rows, for each folder of `passes`."""
        ...


MODULES = {"image": "pipeline.vision.kind", "ratings": "pipeline.collab.kind"}


def kind_named(name: str) -> Kind[Any, Any, Any]:
    """The kind that a file names, one of `MODULES`."""
    return import_module(MODULES[name]).KIND


def kind_of(comp: Competition) -> Kind[Any, Any, Any]:
    """What this competition does in its own way."""
    return kind_named(comp.kind)


def versions_of(comp: Competition) -> dict[str, str]:
    """Versions of the libraries that make the numbers."""
    return {name: version(name) for name in kind_of(comp).libraries}
