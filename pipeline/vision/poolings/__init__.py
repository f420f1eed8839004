"""Poolings by the name that the competition file says: how a body's map (n, features, h, w) becomes (n, features).

Their names cost no torch: an entry's module is loaded when a network is built.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.registry import Registry

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Pooling:
    """A layer from (n, features, h, w) to (n, features * widening, 1, 1)."""

    build: "Callable[[], nn.Module]"
    widening: int = 1


POOLINGS: Registry[Pooling] = Registry("pooling", __name__, ("concat", "avg", "max", "gem"))
DEFAULT = "concat"
