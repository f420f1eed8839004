"""What one fold of one model is trained and predicted from, whatever the kind of competition."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.config import Data, Model, Target
from pipeline.predictions import Predictions, TargetSpec

if TYPE_CHECKING:
    from pipeline.vision.cache import Cache

Parts = tuple[Predictions, Predictions]  # of the held-out rows and of the test rows


@dataclass(frozen=True)
class Fold:
    """What one fold of one model is trained and predicted from; `name` tells model and fold in the log.

    `number` counts the folds from 0.
    """

    model: Model
    data: Data
    targets: Sequence[Target]
    specs: tuple[TargetSpec, ...]
    train: pd.DataFrame
    held_out: pd.DataFrame
    raw: Path
    folder: Path
    seed: tuple[object, ...]
    number: int
    name: str
    cache: "Cache | None" = None  # presized images
