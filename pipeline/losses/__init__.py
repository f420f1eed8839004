"""Losses by the name that the competition file says: what each one computes for which kinds of target, and its options.

The file's check and the heads ask the same entry, so a name that is accepted is a loss that is computed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.registry import Registry
from pipeline.settings import NoOptions, Section, read_options

if TYPE_CHECKING:
    from torch import Tensor

# The loss of each item (n,), from raw predictions (n, width), labels (n, label_width), and the loss's options. Labels
# are codes from 0, or 0/1 for each class, or numbers scaled as the predictions are.
Term = Callable[["Tensor", "Tensor", Any], "Tensor"]


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
        return read_options(self.options, given)


LOSSES: Registry[Loss] = Registry("loss", __name__, ("cross_entropy", "label_smoothing", "focal", "mse", "l1", "huber"))
