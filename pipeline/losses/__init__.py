"""Losses by the name that the competition file says: what each one computes for which kinds of target, and its options.

The file's check and the heads ask the same entry, so a name that is accepted is a loss that is computed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.registry import Registry, meant
from pipeline.settings import Section

if TYPE_CHECKING:
    from torch import Tensor

# The loss of each item (n,), from raw predictions (n, width), labels (n, label_width), and the loss's options. Labels
# are codes from 0, or 0/1 for each class, or numbers scaled as the predictions are.
Term = Callable[["Tensor", "Tensor", Any], "Tensor"]


class NoOptions(Section):
    """A loss with nothing to choose."""


@dataclass(frozen=True)
class Loss:
    """One term of the sum that is minimised: how it is computed for each kind of target that it serves."""

    terms: Mapping[str, Term]
    options: type[Section] = NoOptions

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of target that it names; others whose labels look the same are served too."""
        return tuple(self.terms)

    def serves(self, kinds: Sequence[str]) -> bool:
        """Whether it has a term for any of the kinds, which are alike."""
        return any(kind in self.terms for kind in kinds)

    def term_for(self, kinds: Sequence[str]) -> Term:
        """Its term for the first of the kinds that it knows; one of them it must serve."""
        return next(self.terms[kind] for kind in kinds if kind in self.terms)

    def read_options(self, given: Mapping[str, Any]) -> Section:
        """Its options with every default filled in. Raises ValueError, which says in words what is wrong."""
        try:
            return self.options.model_validate(dict(given))
        except ValidationError as error:
            raise ValueError(self._explain(error)) from None

    def _explain(self, error: ValidationError) -> str:
        problem = error.errors()[0]
        key, known = ".".join(map(str, problem["loc"])), list(self.options.model_fields)
        if problem["type"] == "extra_forbidden":
            if not known:
                return f"unknown option {key!r}; it has none"
            return f"unknown option {key!r}" + (meant(key, known) or f"; known here: {', '.join(known)}")
        if problem["type"] == "missing":
            return f"option {key!r} is missing and has no default"
        expected = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        return f"{key}: found {problem['input']!r}, expected {expected}"


LOSSES: Registry[Loss] = Registry("loss", __name__, ("cross_entropy", "label_smoothing", "focal", "mse", "l1", "huber"))
