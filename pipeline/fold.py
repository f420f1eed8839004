"""What one fold of one model is trained and predicted from, whatever the kind of competition."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pandas as pd

from pipeline.config import Competition, Model
from pipeline.predictions import TargetSpec

C = TypeVar("C", bound=Competition)
M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Fold(Generic[C, M]):
    """What one fold of one model is trained and predicted from; `name` tells model and fold in the log.

    `number` counts the folds from 0.
    """

    comp: C
    model: M
    number: int
    specs: tuple[TargetSpec, ...]
    train: pd.DataFrame
    held_out: pd.DataFrame
    raw: Path
    folder: Path
    seed: tuple[object, ...]
    name: str
    scored: tuple[str, ...] = ()  # the targets whose mean the leaderboard scores
    presized: Path | None = None  # the folder of the cache that its presized rows are in
