"""Rating algorithms by the `method` of a competition file. Nothing here imports torch.

An algorithm is a settings class (what the file may say) and an `Algorithm` (fit, predict, fold in). A built-in one is
a module of this package that holds both, or says where the second is, as `ENTRY`, and a name in `ALGORITHMS`; torch
is imported when the `Algorithm` is loaded or called. One of your own:

    algorithms.add("mean", settings=MeanSettings, load=lambda: Mean)
"""

from collections.abc import Callable
from typing import Any

from pipeline.collab.algorithms.base import Algorithm, Features, Learned, Tell
from pipeline.collab.algorithms.settings import ALGORITHMS, Entry, Factored, RatingsModel
from pipeline.errors import RequestError

__all__ = ["ALGORITHMS", "Algorithm", "Entry", "Factored", "Features", "Learned", "RatingsModel", "Tell", "add"]


def add(name: str, settings: type[RatingsModel], load: Callable[[], type[Algorithm[Any]]]) -> None:
    """Enter an algorithm. Raises RequestError for a name that is taken, or is not the default of `settings.method`."""
    default = settings.model_fields["method"].default
    if default != name:
        raise RequestError(f"{settings.__name__}.method is {default!r} unless said otherwise; it has to be {name!r}")
    ALGORITHMS.add(name, Entry(settings, load))
