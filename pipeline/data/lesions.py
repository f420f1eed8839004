"""Paint the lesions of one disease on a rice leaf, and the tools of that painting.

What `pipeline.data.leaves` says about arithmetic, units and colours holds here too: it draws the blade
and shares these tools.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.random import Generator

RGB = tuple[float, float, float]
T = TypeVar("T")


class Blade(NamedTuple):
    """A leaf laid over the picture: where each pixel lies on it, in planes of shape (height, width)."""

    along: np.ndarray  # 0 at the base, 1 at the tip
    across: np.ndarray  # -1 and 1 at the two rims, 0 on the midrib
    offset: np.ndarray  # from the midrib, in picture units
    length: float  # from base to tip, in picture units
    half_width: float  # at its widest, in picture units
    cover: np.ndarray  # 1 where the leaf is, 0 where not, between on its rim


# The tools


def between(rng: Generator, low: float, high: float) -> float:
    """Return a random number from `low` to `high`."""
    return low + (high - low) * float(rng.random())


def pick(rng: Generator, choices: Sequence[T]) -> T:
    """Return one of the choices, each as likely as the others."""
    return choices[int(rng.integers(0, len(choices)))]


def plane(rgb: RGB) -> np.ndarray:
    """Return a colour as an array of shape (3, 1, 1)."""
    return np.array(rgb, np.float32)[:, None, None]


def step(x: np.ndarray) -> np.ndarray:
    """Return x bent into a smooth step from 0 (x <= 0) to 1 (x >= 1)."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def blend(colour: np.ndarray, mask: np.ndarray | float, rgb: RGB) -> np.ndarray:
    """Return the colour where the mask is 0, `rgb` where it is 1, and a mixture between."""
    return colour + mask * (plane(rgb) - colour)


def noise(rng: Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Return smooth noise from 0 to 1 with `cells` random bumps along each side."""
    grid = rng.random((cells + 2, cells + 2), dtype=np.float32)
    rows = np.arange(height, dtype=np.float32) * (cells / height)
    columns = np.arange(width, dtype=np.float32) * (cells / width)
    row, column = rows.astype(np.intp), columns.astype(np.intp)
    down, right = step(rows - row)[:, None], step(columns - column)[None, :]
    mixed = grid[row] + down * (grid[row + 1] - grid[row])
    return mixed[:, column] + right * (mixed[:, column + 1] - mixed[:, column])


def _noise_over(rng: Generator, blade: Blade, cells: int) -> np.ndarray:
    """Return noise for the whole picture that the blade is laid over."""
    height, width = blade.along.shape
    return noise(rng, height, width, cells)


def ellipse(
    rng: Generator,
    blade: Blade,
    along: tuple[float, float],
    length: tuple[float, float],
    ratio: tuple[float, float],
) -> np.ndarray:
    """Return the squared distance from a random ellipse's centre: below 1 inside of it.

    `along` bounds the centre, `length` the half axis along the blade in picture units, and `ratio` the
    other half axis as a fraction of that.
    """
    ahead, beside = _offsets(rng, blade, along, (-0.82, 0.82))
    half = between(rng, *length)
    ahead, beside = ahead / half, beside / (half * between(rng, *ratio))
    return ahead * ahead + beside * beside


def _offsets(
    rng: Generator, blade: Blade, along: tuple[float, float], across: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each pixel is ahead of and beside a random place on the blade, in picture units."""
    place, side = between(rng, *along), between(rng, *across)
    # A place in terms of the blade's width, so that it follows the blade as it narrows.
    beside = (blade.across - side) * np.abs(blade.offset / (np.abs(blade.across) + 1e-4))
    return (blade.along - place) * blade.length, beside


# The diseases: each takes the healthy colour and a severity from 0 to 1


def _leave(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return a normal leaf, as it is."""
    return colour


def _count(rng: Generator, low: int, high: int, severity: float) -> int:
    """Return a number of lesions that grows with severity."""
    return low + int((high - low) * severity) + int(rng.integers(0, 2))


def _paint_blast(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return few large spindles, pointed along the veins: a grey heart in a brown rim."""
    wobble = (_noise_over(rng, blade, 22) - 0.5) * 0.5
    for _ in range(_count(rng, 1, 5, severity)):
        ahead, beside = _offsets(rng, blade, (0.15, 0.88), (-0.7, 0.7))
        half = between(rng, 0.07, 0.12)
        beside = beside / (half * 0.40)
        spindle = np.abs(ahead) / half + beside * beside * 0.7 + wobble
        colour = blend(colour, step((1 - spindle) * 4) * 0.85, (0.45, 0.25, 0.11))
        colour = blend(colour, step((0.6 - spindle) * 4), (0.76, 0.72, 0.62))
    return colour


def _paint_brown_spot(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return many small round brown spots with a yellow halo, all over the blade."""
    for _ in range(_count(rng, 5, 20, severity)):
        spot = ellipse(rng, blade, (0.06, 0.94), (0.022, 0.042), (0.7, 1.0))
        colour = blend(colour, 0.5 * step(2 - spot), (0.78, 0.72, 0.26))
        colour = blend(colour, 0.9 * step((1 - spot) * 2), (0.40, 0.23, 0.10))
    return colour


def _draw_lines(rng: Generator, blade: Blade, number: int, along: tuple[float, float]) -> np.ndarray:
    """Return a mask of thin lines along the veins."""
    mask = np.zeros_like(blade.along)
    for _ in range(number):
        mask = np.maximum(mask, step((1 - ellipse(rng, blade, along, (0.08, 0.18), (0.07, 0.13))) * 2))
    return mask


def _paint_hispa(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return white scraped lines along the veins, close together in one stretch of the blade."""
    start = between(rng, 0.12, 0.6)
    lines = _draw_lines(rng, blade, _count(rng, 3, 11, severity), (start, start + 0.28))
    return blend(colour, 0.8 * lines, (0.90, 0.91, 0.80))


def _paint_streak(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return amber-brown lines between the veins, along the whole blade."""
    lines = _draw_lines(rng, blade, _count(rng, 3, 12, severity), (0.08, 0.92))
    return blend(colour, 0.85 * lines, (0.56, 0.36, 0.12))


def _paint_mildew(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return soft pale patches, mottled as if dusted with flour."""
    dust = _noise_over(rng, blade, 34)
    for _ in range(_count(rng, 2, 7, severity)):
        patch = ellipse(rng, blade, (0.10, 0.90), (0.10, 0.18), (0.45, 0.75))
        colour = blend(colour, step((1 - patch) * 1.3) * (0.25 + 0.7 * dust), (0.92, 0.91, 0.74))
    return colour


def _paint_tungro(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return a blade that turns orange from its tip downwards, with rusty flecks."""
    start = 0.78 - 0.5 * severity
    cloud = _noise_over(rng, blade, 7)
    reach = (blade.along - start) * 2.4 + (cloud - 0.5) * 0.7
    colour = blend(colour, step(reach) * 0.75, (0.86, 0.62, 0.16))
    for _ in range(_count(rng, 0, 6, severity)):
        fleck = ellipse(rng, blade, (start + 0.1, 0.95), (0.012, 0.028), (0.4, 0.8))
        colour = blend(colour, 0.6 * step((1 - fleck) * 2), (0.60, 0.30, 0.08))
    return colour


def _paint_blight(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return straw-coloured rims with a wavy inner line, wider towards the tip."""
    cloud = _noise_over(rng, blade, 12) - 0.5
    start = 0.62 - 0.55 * severity
    width = (blade.along - start) * 1.1 + cloud * 0.7
    both = np.abs(blade.across)
    side = pick(rng, (both, both, blade.across, -blade.across))
    withered = step((side - 1 + np.clip(width, 0, 0.75)) * 6)
    return blend(colour, withered * 0.9, (0.84, 0.76, 0.48))


def _paint_dead_heart(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return a blade dried brown around its midrib, from the base upwards."""
    cloud = _noise_over(rng, blade, 10) - 0.5
    width = (0.3 + 0.5 * severity - blade.along) * 1.5 + cloud * 0.6
    dried = step((np.clip(width, 0, 0.7) - np.abs(blade.across)) * 5)
    return blend(colour, dried * 0.85, (0.62, 0.48, 0.27))


def _paint_panicle(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return dark bands with a straw heart across the lower half of the blade."""
    cloud = _noise_over(rng, blade, 14) - 0.5
    for _ in range(_count(rng, 2, 4, severity)):
        ahead, beside = _offsets(rng, blade, (0.06, 0.5), (-0.4, 0.4))
        ahead = ahead / between(rng, 0.04, 0.07)
        beside = beside / (blade.half_width * between(rng, 0.8, 1.5))
        band = ahead * ahead + beside * beside + cloud
        colour = blend(colour, 0.85 * step((1 - band) * 3), (0.36, 0.18, 0.12))
        colour = blend(colour, 0.8 * step((0.35 - band) * 3), (0.72, 0.58, 0.36))
    return colour


Painter = Callable[[Generator, Blade, np.ndarray, float], np.ndarray]

DISEASES: dict[str, Painter] = {
    "normal": _leave,
    "blast": _paint_blast,
    "hispa": _paint_hispa,
    "dead_heart": _paint_dead_heart,
    "tungro": _paint_tungro,
    "brown_spot": _paint_brown_spot,
    "downy_mildew": _paint_mildew,
    "bacterial_leaf_blight": _paint_blight,
    "bacterial_leaf_streak": _paint_streak,
    "bacterial_panicle_blight": _paint_panicle,
}
