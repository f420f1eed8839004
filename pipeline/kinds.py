"""The two kinds of competition travel one road; what differs is told here, and nowhere else in the stages.

Each kind is a module with the same functions: `build`, `with_ids`, `own_sample`, `check_models`, `side_inputs`,
`train_fold`, `predict_fold`, and the constants named below. They import what is heavy when they are called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from pipeline.config import Competition, Data, Model, Target
from pipeline.predictions import TargetSpec

Values = Mapping[str, np.ndarray]  # (n, width) of each target


@dataclass(frozen=True)
class Fold:
    """What one fold of one model is trained and predicted from; `label` names it in the log."""

    model: Model
    data: Data
    targets: Sequence[Target]
    specs: tuple[TargetSpec, ...]
    train: pd.DataFrame
    held_out: pd.DataFrame
    raw: Path
    folder: Path
    seed: tuple[object, ...]
    label: str


def kind_of(comp: Competition) -> ModuleType:
    """The module that trains and predicts folds of this competition.

    `PASSES` are the ways in which a fold is predicted: (name in metrics.json, folder within the fold's).
    `FREE` are the settings of a model that its training does not depend on, `ROWS` the word for its rows,
    `LIBRARIES` those whose versions are kept beside predictions.
    """
    if comp.kind == "ratings":
        from pipeline.collab import kind
    else:
        from pipeline.vision import kind
    return kind
