"""From a raw Kaggle-style competition to a checked, scored submission."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.predictions import Predictions
    from pipeline.project import Project

__all__ = ["Predictions", "Project"]

_HOMES = {"Predictions": "pipeline.predictions", "Project": "pipeline.project"}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `pipeline --help` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
