"""cutout: a square somewhere in the image is hidden (DeVries and Taylor 2017)."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.settings import Section
from pipeline.vision.augmentations import WindowTransform


class Options(Section, frozen=True):
    """The side of the square as a share of the window's shorter one, and how often an image gets one."""

    size: Annotated[float, Field(gt=0, le=1)] = 0.25
    p: Annotated[float, Field(ge=0, le=1)] = 0.5


def apply(window: np.ndarray, rng: np.random.Generator, options: Options) -> np.ndarray:
    """The square's centre lies anywhere, so that it may reach over the edge, as in the paper.

    It is of the image's own mean colour; there of the data's, which nobody knows before normalisation.
    """
    import cv2

    height, width = window.shape[:2]
    if rng.random() >= options.p:
        return window
    side = max(1, round(options.size * min(height, width)))
    top, left = int(rng.integers(height)) - side // 2, int(rng.integers(width)) - side // 2
    channels = window.shape[2]
    means = cv2.mean(window)[:3] if channels == 3 else window.reshape(-1, channels).mean(axis=0)
    colour = [round(part) for part in means]
    window[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = colour
    return window


ENTRY = WindowTransform(apply, Options)
