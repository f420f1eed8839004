"""What one fold of one model is trained and predicted from, whatever the kind of competition."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pandas as pd

from pipeline.config import Competition, Model
from pipeline.predictions import TargetSpec

C_co = TypeVar("C_co", bound=Competition, covariant=True)
M_co = TypeVar("M_co", bound=Model, covariant=True)


@dataclass(frozen=True)
class Fold(Generic[C_co, M_co]):
    """What one fold of one model is trained and predicted from; `name` tells model and fold in the log.

    `number` counts the folds from 0.
    """

    comp: C_co
    model: M_co
    number: int
    specs: tuple[TargetSpec, ...]
    train: pd.DataFrame
    held_out: pd.DataFrame
    raw: Path
    folder: Path
    seed: tuple[int | str, ...]
    name: str
    scored: tuple[str, ...] = ()  # the targets whose mean the leaderboard scores
    presized: Path | None = None  # the folder of the cache that its presized rows are in
