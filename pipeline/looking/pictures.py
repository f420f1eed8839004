"""How large images are, from a few of them, and with it the sizes at which a first model sees them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

TRIED = 25
USUAL, STEP, LEAST = 224, 32, 32  # pixels
ARCH = "resnet26d"


@dataclass(frozen=True)
class Pictures:
    """Median height and width in pixels of those that were opened, and whether nearly all have that shape."""

    height: int
    width: int
    alike: bool
    opened: int

    @property
    def words(self) -> str:
        sort = "most images are" if self.alike else "the median image is"
        return f"{sort} {self.width} x {self.height} pixels"


def pictures_in(raw: Path, paths: Sequence[str]) -> Pictures | None:
    """Sizes of some of the images; None where none can be opened."""
    step = max(1, len(paths) // TRIED)
    sizes = [size for path in paths[::step][:TRIED] if (size := _size(raw / path)) is not None]
    if not sizes:
        return None
    width, height = (round(statistics.median(side)) for side in zip(*sizes, strict=True))
    shape = [w / h for w, h in sizes]
    alike = sum(abs(each / (width / height) - 1) < 0.05 for each in shape) >= 0.8 * len(shape)
    return Pictures(height, width, alike, len(sizes))


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height; of an array without the smallest of three axes, that of channels."""
    try:
        if path.suffix == ".npy":
            shape = list(np.load(path, mmap_mode="r").shape)
            if len(shape) == 3:
                shape.remove(min(shape))
            return (shape[1], shape[0]) if len(shape) == 2 else None
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def sizes_for(pictures: Pictures | None) -> tuple[list[int] | int, list[int] | int]:
    """The size in training and the one to presize to: [height, width], or a number for a square."""
    if pictures is None:
        return USUAL, 256
    height, width = pictures.height, pictures.width
    if not pictures.alike:  # shapes differ: each is squished to a square
        side = min(USUAL, _rounded((height * width) ** 0.5))
        return side, max(side, min(round(side * 1.15), _rounded(max(height, width))))
    scale = min(1.0, USUAL / (height * width) ** 0.5)
    sides = [_rounded(height * scale), _rounded(width * scale)]
    if 0.87 < sides[0] / sides[1] < 1.15 or 0.87 < height / width < 1.15:
        sides = [max(sides)] * 2
    larger = [max(side, min(round(side * 1.15), full)) for side, full in zip(sides, (height, width), strict=True)]
    if sides[0] == sides[1]:
        return sides[0], max(larger)
    return sides, larger


def _rounded(side: float) -> int:
    return max(LEAST, round(side / STEP) * STEP)
