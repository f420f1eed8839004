"""Transforms of numbers: a head learns the transformed labels, and what it predicts is transformed back at once.

Nothing here imports torch: tensors bring their own methods.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

FURTHEST = 80.0  # of a logarithm that is predicted: e ** 80 is a float32 still, e ** 90 is none


@dataclass(frozen=True)
class Transform:
    """Takes numbers from `lowest` on, which is among them or not. `forward` must be finite also where a row has no
    answer and so a 0; `inverse` is finite for any number.
    """

    forward: "Callable[[Tensor], Tensor]"
    inverse: "Callable[[Tensor], Tensor]"
    lowest: float = -np.inf
    with_lowest: bool = False

    def takes(self, numbers: np.ndarray) -> np.ndarray:
        """Which of them (n,) can be transformed."""
        return numbers >= self.lowest if self.with_lowest else numbers > self.lowest

    @property
    def domain(self) -> str:
        """In words, the numbers that it takes."""
        return f"numbers {'from' if self.with_lowest else 'above'} {self.lowest:g}{' on' if self.with_lowest else ''}"


TRANSFORMS: Registry[Transform] = Registry("transform", __name__, ("log1p", "log", "sqrt"))
