"""What one fold of one model is trained and predicted from, whatever the kind of competition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.config import Data, Model, Target
from pipeline.predictions import TargetSpec

if TYPE_CHECKING:
    from pipeline.vision.cache import Cache

Values = Mapping[str, np.ndarray]  # (n, width) of each target


@dataclass(frozen=True)
class Fold:
    """What one fold of one model is trained and predicted from; `name` tells model and fold in the log."""

    model: Model
    data: Data
    targets: Sequence[Target]
    specs: tuple[TargetSpec, ...]
    train: pd.DataFrame
    held_out: pd.DataFrame
    raw: Path
    folder: Path
    seed: tuple[object, ...]
    name: str
    cache: "Cache | None" = None  # presized images
