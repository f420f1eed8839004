"""Augmentations of one's own: each changes the presized window of an image, before fastai's are drawn and applied.

A plug-in file adds one, and the competition file names it (`augment.own = ["spots", { name = "cutout", size = 0.4 }]`):

    from pipeline.vision.augmentations import AUGMENTATIONS, WindowTransform

    def spots(window, rng, options):
        window[rng.random(window.shape[:2]) < 0.01] = 255
        return window

    AUGMENTATIONS.add("spots", WindowTransform(spots))

One of albumentations is a Compose for each thread (they hold a state), seeded anew for each window by
`compose.set_random_seed(int(rng.integers(2**32)))`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from pipeline.errors import PipelineError, RequestError, WorkFailed
from pipeline.registry import Registry, code_in, read_choice
from pipeline.settings import NoOptions, Section, Settings

# A presized window (height, width, channels), uint8, RGB where there are three, which may be changed in place; a
# generator that is this window's own; and the options. Returns the same shape and type. Called from several threads at
# once.
Apply = Callable[[np.ndarray, np.random.Generator, Any], np.ndarray]


@dataclass(frozen=True)
class WindowTransform:
    """What is entered under a name: the function, and the options that the file may give it."""

    apply: Apply
    options: type[Section] = NoOptions


AUGMENTATIONS: Registry[WindowTransform] = Registry("augmentation", __name__, ("cutout",))


@dataclass(frozen=True)
class Augmentation:
    """One that the file asks for, with its options filled in."""

    name: str
    options: Section

    @property
    def settings(self) -> dict[str, Any]:
        """As a table of the file, every option written out."""
        return {"name": self.name, **self.options.model_dump()}

    def __call__(self, window: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A window, changed. Raises RequestError for another shape or type, WorkFailed for what the function raises."""
        shape = window.shape
        try:
            changed = AUGMENTATIONS[self.name].apply(window, rng, self.options)
        except PipelineError:
            raise
        except Exception as error:
            raise WorkFailed(f"the augmentation {self.name!r} failed: {type(error).__name__}: {error}") from error
        if not isinstance(changed, np.ndarray) or changed.dtype != np.uint8 or changed.shape != shape:
            is_array = isinstance(changed, np.ndarray)
            found = f"{changed.dtype} {changed.shape}" if is_array else type(changed).__name__
            raise RequestError(f"the augmentation {self.name!r} made {found} of a window of uint8 {shape}")
        return changed


def read_augmentation(said: str | Mapping[str, Any]) -> Augmentation:
    """A name, or a table of a name and options. Raises ValueError, which says in words what is wrong."""
    expected = "an augmentation by its name, as in { name = 'cutout', size = 0.25 }"
    return Augmentation(*read_choice(AUGMENTATIONS, said, expected))


def settings_of(said: Mapping[str, Any]) -> Settings:
    """What one that is given as a table means: its options, and the code of one that a plug-in brings."""
    augmentation = read_augmentation(said)
    options = augmentation.options.settings()
    named = {"name": augmentation.name, **options, **code_in("name", AUGMENTATIONS, augmentation.name)}
    return Settings(named, options.defaults)


# For a section of the competition file: kept as a table with every option, so that saying a default changes nothing.
OwnAugmentation = Annotated[dict[str, Any], BeforeValidator(lambda said: read_augmentation(said).settings)]
