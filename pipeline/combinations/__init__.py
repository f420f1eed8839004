"""Ways in which the predictions of a case's images become one, by the name that the competition file says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.registry import Registry
from pipeline.targets import label_kinds

# Activated predictions (rows, width) float64, those of a case side by side, and where each case begins (cases,), to the
# predictions of the cases (cases, width).
Combine = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Combination:
    """How it is computed for each kind of target that it serves; `otherwise` for all that are not named."""

    of: Mapping[str, Combine]
    otherwise: Combine | None = None

    def serves(self, kind: str) -> bool:
        """Whether it is one for targets of that kind."""
        return self.find(kind) is not None

    def find(self, kind: str) -> Combine | None:
        """What computes it for a kind, or for one whose labels have the same form."""
        return next((self.of[alike] for alike in label_kinds(kind) if alike in self.of), self.otherwise)


COMBINATIONS: Registry[Combination] = Registry("way to combine", __name__, ("mean", "max", "noisy_or"))
DEFAULT = "mean"


def spelled(name: object) -> object:
    """A name as the registry has it: `noisy-or` is `noisy_or`."""
    return name.replace("-", "_") if isinstance(name, str) else name


def in_words(name: str) -> str:
    """A name as people read it."""
    return name.replace("_", "-")


def serving(kinds: Sequence[str]) -> list[str]:
    """The names of those that serve all of these kinds of target."""
    return [name for name, entry in COMBINATIONS.items() if all(map(entry.serves, kinds))]
