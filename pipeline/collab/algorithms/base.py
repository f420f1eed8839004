"""What a rating algorithm is: it fits embeddings or anything else to ratings, predicts, and folds somebody in.

Light to import: whoever reads a competition file needs settings, not torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from pipeline.errors import RequestError

if TYPE_CHECKING:
    import torch

    from pipeline.collab.checkpoint import Keeper
    from pipeline.collab.observations import Observations

Features = tuple[np.ndarray | None, np.ndarray | None]  # (rows, any) of users and items, in the order of inner ids
Tell = Callable[[int, float], None]  # (epoch or sweep, RMSE on the training rows)
Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Learned:
    """What a fit gives: tensors, and numbers and words (JSON) that say how to read them."""

    tensors: "dict[str, torch.Tensor]"
    about: dict[str, Any]


class Algorithm(ABC, Generic[Settings]):
    """One way from ratings to predictions. It keeps nothing: what it learned is in the `Learned` that it is given.

    Users and items are inner ids; one that was not among the training rows is the number behind all others. Its
    methods are called with one thread and without gradients.
    """

    @abstractmethod
    def fit(
        self,
        seen: "Observations",
        settings: Settings,
        seed: tuple[object, ...],
        features: Features,
        keeper: "Keeper",
        tell: Tell,
    ) -> Learned:
        """Train. The same arguments give the same bytes, also when `keeper` has a checkpoint of the same fit."""

    @abstractmethod
    def predict(
        self, learned: Learned, users: "torch.Tensor", items: "torch.Tensor", times: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """Ratings (n,) of pairs; times (n,) in seconds where they are known."""

    def fold_in(self, learned: Learned, items: "torch.Tensor", ratings: "torch.Tensor") -> "dict[str, torch.Tensor]":
        """The tensors that change when whoever is unknown has rated these items so; everything else stays.

        Raises RequestError where that cannot be worked out without training again.
        """
        raise RequestError("--new goes with models that multiply embeddings; choose one with --model")

    def item_rows(self, learned: Learned) -> tuple[np.ndarray, np.ndarray]:
        """Biases (items + 1,) and factors (items + 1, any) of the items. Raises RequestError where there are none."""
        raise RequestError("explain goes with models that have a bias and factors an item; choose one with --model")
