"""Draw one rice leaf: its disease is how it is spotted, its variety how it is built.

The same random stream must give the same pixels on every machine, so the arithmetic is elementwise
float32 with + - * / and comparisons only: each of those has one right answer under IEEE 754, while
sines, powers and sums depend on the maths library and the vector width. Lengths are in units of the
picture's short side, colours are (red, green, blue) from 0 to 1 in planes of shape (3, height, width).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

RGB = tuple[float, float, float]


class Variety(NamedTuple):
    """How the leaf of a variety is built; widths are fractions of the leaf's half width."""

    half_width: float  # of the leaf, as a fraction of its length
    widest: float  # where the leaf is widest: 0 at its base, 1 at its tip
    bend: float  # how far the middle leaves the straight line, as a fraction of the length
    colour: RGB
    veins: float  # on each side of the midrib
    vein_depth: float  # how much darker a vein is than the blade
    midrib: RGB
    midrib_width: float
    margin: float = 0.0  # how strongly the rim is lit up; below 0 it is reddened
    wave: float = 0.0  # how far the rim waves in and out


VARIETIES: dict[str, Variety] = {
    "ADT45": Variety(0.131, 0.45, 0.03, (0.36, 0.60, 0.22), 5, 0.16, (0.62, 0.76, 0.40), 0.10),
    "KarnatakaPonni": Variety(0.200, 0.42, 0.04, (0.20, 0.46, 0.20), 4, 0.10, (0.80, 0.86, 0.66), 0.17),
    "Ponni": Variety(0.150, 0.36, 0.05, (0.52, 0.70, 0.26), 3, 0.05, (0.66, 0.80, 0.40), 0.07),
    "AtchayaPonni": Variety(0.156, 0.52, 0.04, (0.24, 0.54, 0.38), 3, 0.24, (0.50, 0.72, 0.52), 0.08),
    "Zonal": Variety(0.194, 0.48, 0.04, (0.30, 0.56, 0.24), 5, 0.10, (0.52, 0.70, 0.36), 0.07, 0.8),
    "AndraPonni": Variety(0.119, 0.40, 0.15, (0.46, 0.64, 0.18), 4, 0.10, (0.66, 0.78, 0.34), 0.10),
    "Onthanel": Variety(0.156, 0.42, 0.05, (0.32, 0.50, 0.24), 4, 0.14, (0.52, 0.26, 0.36), 0.14, -0.7),
    "IR20": Variety(0.175, 0.60, 0.03, (0.22, 0.48, 0.16), 6, 0.30, (0.42, 0.62, 0.28), 0.06),
    "RR": Variety(0.169, 0.45, 0.05, (0.38, 0.62, 0.28), 4, 0.12, (0.60, 0.76, 0.44), 0.08, wave=0.1),
    "Surya": Variety(0.206, 0.66, 0.06, (0.48, 0.68, 0.32), 6, 0.12, (0.74, 0.84, 0.54), 0.09),
}


class Blade(NamedTuple):
    """A leaf laid over the picture: where each pixel lies on it, in planes of shape (height, width)."""

    along: np.ndarray  # 0 at the base, 1 at the tip
    across: np.ndarray  # -1 and 1 at the two rims, 0 on the midrib
    offset: np.ndarray  # from the midrib, in picture units
    length: float  # from base to tip, in picture units
    half_width: float  # at its widest, in picture units
    cover: np.ndarray  # 1 where the leaf is, 0 where not, between on its rim


class Pose(NamedTuple):
    """Where a leaf lies: its middle, its direction in whole degrees, its length and bend."""

    x: float
    y: float
    degrees: int
    length: float
    bend: float


def draw_leaf(rng: Generator, disease: str, variety: str, age: int, size: tuple[int, int]) -> np.ndarray:
    """Return a picture of one leaf as uint8 of shape (height, width, 3).

    Two pictures of one random stream that differ in disease alone show the same leaf in the same light.

    Args:
        disease: a key of DISEASES.
        variety: a key of VARIETIES.
        age: in days, 45 to 82.
        size: width and height in pixels.
    """
    width, height = size
    [lesions] = rng.spawn(1)
    canvas = _draw_background(rng, width, height)
    for _ in range(int(rng.integers(2, 6))):
        canvas = _draw_plain_blade(rng, canvas, brightness=_between(rng, 0.45, 0.85), widest=0.10)
    for _ in range(int(rng.integers(1, 4))):
        canvas = _blur(canvas)
    build = _vary(rng, VARIETIES[variety])
    blade = lay_blade(_pose_leaf(rng, build, width, height), build, width, height, _between(rng, 0, 1))
    canvas = _cast_shadow(canvas, blade)
    colour = _colour_blade(rng, blade, build, age)
    colour = _blemish(rng, blade, colour)
    colour = DISEASES[disease](lesions, blade, colour, _between(lesions, 0.4, 1.0))
    canvas = canvas + blade.cover * (_shade(rng, blade, colour) - canvas)
    for _ in range(int(rng.integers(0, 3))):
        canvas = _draw_plain_blade(rng, canvas, brightness=_between(rng, 0.7, 1.1), widest=0.035)
    return _photograph(rng, canvas)


# Small tools


def _between(rng: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(rng.random())


def _sine(degrees: int) -> float:
    # Rounded, because the last digits of a sine differ between maths libraries.
    return round(math.sin(math.radians(degrees % 360)), 6)


def _plane(rgb: RGB) -> np.ndarray:
    return np.array(rgb, np.float32)[:, None, None]


def _step(x: np.ndarray) -> np.ndarray:
    """Return x bent into a smooth step from 0 (x <= 0) to 1 (x >= 1)."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _blend(colour: np.ndarray, mask: np.ndarray, rgb: RGB) -> np.ndarray:
    return colour + mask * (_plane(rgb) - colour)


def _noise(rng: Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Return smooth noise from 0 to 1 with `cells` random bumps along each side."""
    grid = rng.random((cells + 2, cells + 2), dtype=np.float32)
    rows = np.arange(height, dtype=np.float32) * (cells / height)
    columns = np.arange(width, dtype=np.float32) * (cells / width)
    row, column = rows.astype(np.intp), columns.astype(np.intp)
    down, right = _step(rows - row)[:, None], _step(columns - column)[None, :]
    mixed = grid[row] + down * (grid[row + 1] - grid[row])
    return mixed[:, column] + right * (mixed[:, column + 1] - mixed[:, column])


def _blur(canvas: np.ndarray) -> np.ndarray:
    """Return the picture blurred by 1-2-1 along both sides."""
    padded = np.pad(canvas, ((0, 0), (1, 1), (0, 0)), mode="edge")
    canvas = (padded[:, :-2] + 2 * canvas + padded[:, 2:]) * 0.25
    padded = np.pad(canvas, ((0, 0), (0, 0), (1, 1)), mode="edge")
    return (padded[:, :, :-2] + 2 * canvas + padded[:, :, 2:]) * 0.25


# The leaf's shape


def _vary(rng: Generator, variety: Variety) -> Variety:
    """Return one plant of the variety: no two have quite the same form and hue."""
    light, warmth = _between(rng, 0.85, 1.15), _between(rng, -0.06, 0.06)
    red, green, blue = variety.colour
    return variety._replace(
        half_width=variety.half_width * _between(rng, 0.85, 1.17),
        widest=variety.widest + _between(rng, -0.05, 0.05),
        colour=(red * light + warmth, green * light, blue * light - warmth),
        veins=variety.veins + _between(rng, -0.4, 0.4),
        vein_depth=variety.vein_depth * _between(rng, 0.6, 1.2),
        midrib_width=variety.midrib_width * _between(rng, 0.7, 1.3),
        margin=variety.margin * _between(rng, 0.5, 1.2),
        wave=variety.wave * _between(rng, 0.6, 1.2),
        bend=variety.bend + _between(rng, -0.03, 0.03),
    )


def _pose_leaf(rng: Generator, build: Variety, width: int, height: int) -> Pose:
    """Return a pose that keeps most of the leaf in the picture, roughly along its long side."""
    short = min(width, height)
    upright = height > width or (height == width and rng.random() < 0.5)
    degrees = (270 if upright else 0) + (180 if rng.random() < 0.25 else 0) + int(rng.integers(-25, 26))
    return Pose(
        x=width / short * _between(rng, 0.45, 0.55),
        y=height / short * _between(rng, 0.45, 0.55),
        degrees=degrees,
        length=max(width, height) / short * _between(rng, 0.92, 1.16),
        bend=build.bend * (1 if rng.random() < 0.5 else -1),
    )


def lay_blade(pose: Pose, build: Variety, width: int, height: int, phase: float) -> Blade:
    """Return the blade that a leaf of this build and pose makes over a picture of that size (pixels)."""
    short = min(width, height)
    cosine, sine = _sine(pose.degrees + 90), _sine(pose.degrees)
    x = (np.arange(width, dtype=np.float32) + 0.5) / short - pose.x
    y = ((np.arange(height, dtype=np.float32) + 0.5) / short - pose.y)[:, None]
    along = (x * cosine + y * sine) / pose.length + 0.5
    arch = 4 * along * (1 - along) - 0.5
    offset = y * cosine - x * sine - pose.bend * pose.length * arch
    half_width = build.half_width * pose.length
    rim = half_width * _outline(along, build, phase)
    cover = np.clip((rim - np.abs(offset)) * short + 0.5, 0, 1)
    cover = cover * ((along > 0) & (along < 1))
    return Blade(along, offset / np.maximum(rim, 1e-3), offset, pose.length, half_width, cover)


def _outline(along: np.ndarray, build: Variety, phase: float) -> np.ndarray:
    """Return the leaf's half width at each place along it, 1 where it is widest."""
    toward_base = (build.widest - along) / build.widest
    toward_tip = (along - build.widest) / (1 - build.widest)
    base = 1 - 0.82 * toward_base * toward_base
    tip = (1 - toward_tip * toward_tip) * (1 - 0.25 * toward_tip * toward_tip)
    outline = np.where(along < build.widest, base, tip)
    turns = along * 7 + phase
    saw = turns - np.floor(turns)
    return outline * (1 - build.wave * (1 - 16 * saw * saw * (1 - saw) * (1 - saw)) * 2)


# The leaf's skin


def _colour_blade(rng: Generator, blade: Blade, build: Variety, age: int) -> np.ndarray:
    """Return the colour of a healthy leaf; an older one is a little yellower."""
    height, width = blade.along.shape
    side = np.abs(blade.across)
    mottle = _noise(rng, height, width, 9) - 0.5
    colour = _plane(build.colour) * (1 + 0.22 * mottle)
    colour = _blend(colour, (age - 45) / 37 * 0.12, (0.66, 0.66, 0.22))
    turns = side * build.veins
    ridge = np.abs(turns - np.floor(turns) - 0.5) * 2
    colour = colour * (1 - build.vein_depth * (_step(ridge) - 0.3))
    rim = _step((side - 0.72) * 5)
    edge = (0.80, 0.84, 0.56) if build.margin > 0 else (0.52, 0.22, 0.26)
    colour = _blend(colour, rim * abs(build.margin), edge)
    return _blend(colour, _step((build.midrib_width - side) / build.midrib_width * 2), build.midrib)


def _shade(rng: Generator, blade: Blade, colour: np.ndarray) -> np.ndarray:
    """Return the blade lit from one side, as if folded a little along its midrib."""
    fold, fall = _between(rng, -0.16, 0.16), _between(rng, -0.22, 0.22)
    across = np.clip(blade.across, -1, 1)
    light = 1 - 0.14 * across * across + fall * (blade.along - 0.5)
    return colour * (light + fold * np.where(across > 0, 1, -1) + 0.04)


def _blemish(rng: Generator, blade: Blade, colour: np.ndarray) -> np.ndarray:
    """Return the colour with marks that any leaf may have and that mean no disease."""
    for _ in range(int(rng.integers(0, 4))):
        dirt = _ellipse(rng, blade, (0.05, 0.95), (0.008, 0.016), (0.7, 1.0))
        colour = _blend(colour, 0.6 * _step((1 - dirt) * 2), (0.24, 0.20, 0.13))
    for _ in range(int(rng.integers(0, 3))):
        glare = _ellipse(rng, blade, (0.15, 0.85), (0.10, 0.22), (0.10, 0.20))
        colour = _blend(colour, _between(rng, 0.1, 0.4) * _step(1 - glare), (0.86, 0.92, 0.84))
    if rng.random() < 0.3:  # a tip that withers from age alone
        colour = _blend(colour, _step((blade.along - 0.86) * 9), (0.72, 0.62, 0.34))
    return colour


def _ellipse(
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
    half = _between(rng, *length)
    ahead, beside = ahead / half, beside / (half * _between(rng, *ratio))
    return ahead * ahead + beside * beside


def _offsets(
    rng: Generator, blade: Blade, along: tuple[float, float], across: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each pixel is ahead of and beside a random place on the blade, in picture units."""
    place, side = _between(rng, *along), _between(rng, *across)
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
    wobble = (_noise(rng, *blade.along.shape, 22) - 0.5) * 0.5
    for _ in range(_count(rng, 1, 5, severity)):
        ahead, beside = _offsets(rng, blade, (0.15, 0.88), (-0.7, 0.7))
        half = _between(rng, 0.07, 0.12)
        beside = beside / (half * 0.40)
        spindle = np.abs(ahead) / half + beside * beside * 0.7 + wobble
        colour = _blend(colour, _step((1 - spindle) * 4) * 0.85, (0.45, 0.25, 0.11))
        colour = _blend(colour, _step((0.6 - spindle) * 4), (0.76, 0.72, 0.62))
    return colour


def _paint_brown_spot(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return many small round brown spots with a yellow halo, all over the blade."""
    for _ in range(_count(rng, 5, 20, severity)):
        spot = _ellipse(rng, blade, (0.06, 0.94), (0.022, 0.042), (0.7, 1.0))
        colour = _blend(colour, 0.5 * _step(2 - spot), (0.78, 0.72, 0.26))
        colour = _blend(colour, 0.9 * _step((1 - spot) * 2), (0.40, 0.23, 0.10))
    return colour


def _draw_lines(rng: Generator, blade: Blade, number: int, along: tuple[float, float]) -> np.ndarray:
    """Return a mask of thin lines along the veins."""
    mask = np.zeros_like(blade.along)
    for _ in range(number):
        mask = np.maximum(mask, _step((1 - _ellipse(rng, blade, along, (0.08, 0.18), (0.07, 0.13))) * 2))
    return mask


def _paint_hispa(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return white scraped lines along the veins, close together in one stretch of the blade."""
    start = _between(rng, 0.12, 0.6)
    lines = _draw_lines(rng, blade, _count(rng, 3, 11, severity), (start, start + 0.28))
    return _blend(colour, 0.8 * lines, (0.90, 0.91, 0.80))


def _paint_streak(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return amber-brown lines between the veins, along the whole blade."""
    lines = _draw_lines(rng, blade, _count(rng, 3, 12, severity), (0.08, 0.92))
    return _blend(colour, 0.85 * lines, (0.56, 0.36, 0.12))


def _paint_mildew(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return soft pale patches, mottled as if dusted with flour."""
    dust = _noise(rng, *blade.along.shape, 34)
    for _ in range(_count(rng, 2, 7, severity)):
        patch = _ellipse(rng, blade, (0.10, 0.90), (0.10, 0.18), (0.45, 0.75))
        colour = _blend(colour, _step((1 - patch) * 1.3) * (0.25 + 0.7 * dust), (0.92, 0.91, 0.74))
    return colour


def _paint_tungro(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return a blade that turns orange from its tip downwards, with rusty flecks."""
    start = 0.78 - 0.5 * severity
    cloud = _noise(rng, *blade.along.shape, 7)
    reach = (blade.along - start) * 2.4 + (cloud - 0.5) * 0.7
    colour = _blend(colour, _step(reach) * 0.75, (0.86, 0.62, 0.16))
    for _ in range(_count(rng, 0, 6, severity)):
        fleck = _ellipse(rng, blade, (start + 0.1, 0.95), (0.012, 0.028), (0.4, 0.8))
        colour = _blend(colour, 0.6 * _step((1 - fleck) * 2), (0.60, 0.30, 0.08))
    return colour


def _paint_blight(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return straw-coloured rims with a wavy inner line, wider towards the tip."""
    cloud = _noise(rng, *blade.along.shape, 12) - 0.5
    start = 0.62 - 0.55 * severity
    width = (blade.along - start) * 1.1 + cloud * 0.7
    sides = (np.abs(blade.across), np.abs(blade.across), blade.across, -blade.across)
    side = sides[int(rng.integers(0, len(sides)))]
    withered = _step((side - 1 + np.clip(width, 0, 0.75)) * 6)
    return _blend(colour, withered * 0.9, (0.84, 0.76, 0.48))


def _paint_dead_heart(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return a blade dried brown around its midrib, from the base upwards."""
    cloud = _noise(rng, *blade.along.shape, 10) - 0.5
    width = (0.3 + 0.5 * severity - blade.along) * 1.5 + cloud * 0.6
    dried = _step((np.clip(width, 0, 0.7) - np.abs(blade.across)) * 5)
    return _blend(colour, dried * 0.85, (0.62, 0.48, 0.27))


def _paint_panicle(rng: Generator, blade: Blade, colour: np.ndarray, severity: float) -> np.ndarray:
    """Return dark bands with a straw heart across the lower half of the blade."""
    cloud = _noise(rng, *blade.along.shape, 14) - 0.5
    for _ in range(_count(rng, 2, 4, severity)):
        ahead, beside = _offsets(rng, blade, (0.06, 0.5), (-0.4, 0.4))
        ahead = ahead / _between(rng, 0.04, 0.07)
        beside = beside / (blade.half_width * _between(rng, 0.8, 1.5))
        band = ahead * ahead + beside * beside + cloud
        colour = _blend(colour, 0.85 * _step((1 - band) * 3), (0.36, 0.18, 0.12))
        colour = _blend(colour, 0.8 * _step((0.35 - band) * 3), (0.72, 0.58, 0.36))
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


# The field and the camera


def _draw_background(rng: Generator, width: int, height: int) -> np.ndarray:
    """Return a field out of focus: sky or far green above, soil or water below."""
    skies = ((0.70, 0.80, 0.90), (0.62, 0.72, 0.50), (0.34, 0.44, 0.22))
    far = skies[int(rng.integers(0, len(skies)))]
    soils = ((0.42, 0.33, 0.24), (0.30, 0.28, 0.24), (0.46, 0.50, 0.48), (0.24, 0.32, 0.16))
    near = soils[int(rng.integers(0, len(soils)))]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    horizon = _between(rng, -0.2, 0.6)
    ground = _step((down - horizon) * _between(rng, 1.5, 4) + _noise(rng, height, width, 3) / 2)
    canvas = _plane(far) + ground * (_plane(near) - _plane(far))
    return canvas * (1 + 0.5 * (_noise(rng, height, width, 6) - 0.5))


def _draw_plain_blade(rng: Generator, canvas: np.ndarray, brightness: float, widest: float) -> np.ndarray:
    """Return the picture with one more blade of grass, anywhere and of any variety."""
    _, height, width = canvas.shape
    short = min(width, height)
    names = list(VARIETIES)
    build = _vary(rng, VARIETIES[names[int(rng.integers(0, len(names)))]])
    build = build._replace(half_width=_between(rng, 0.5, 1) * widest, wave=0.0)
    pose = Pose(
        x=width / short * _between(rng, 0, 1),
        y=height / short * _between(rng, 0, 1),
        degrees=270 + int(rng.integers(-60, 61)),
        length=_between(rng, 1.0, 2.0),
        bend=_between(rng, -0.15, 0.15),
    )
    blade = lay_blade(pose, build, width, height, 0.0)
    light = brightness * (1 - 0.3 * np.clip(np.abs(blade.across), 0, 1))
    return canvas + blade.cover * (_plane(build.colour) * light - canvas)


def _cast_shadow(canvas: np.ndarray, blade: Blade) -> np.ndarray:
    """Return the picture with the leaf's soft shadow a few pixels below and beside it."""
    shadow = np.pad(blade.cover, ((4, 0), (3, 0)))[None, :-4, :-3]
    for _ in range(2):
        shadow = _blur(shadow)
    return canvas * (1 - 0.45 * shadow)


def _photograph(rng: Generator, canvas: np.ndarray) -> np.ndarray:
    """Return what a phone makes of the scene: light, white balance, focus and grain, as uint8."""
    _, height, width = canvas.shape
    if rng.random() < 0.35:
        canvas = _blur(canvas)
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    right = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    light = 1 + _between(rng, -0.15, 0.15) * down + _between(rng, -0.15, 0.15) * right
    light = light * (1 - 0.12 * (down * down + right * right))
    exposure = _between(rng, 0.80, 1.28)
    balance = (_between(rng, 0.93, 1.07) * exposure, exposure, _between(rng, 0.90, 1.10) * exposure)
    grain = rng.random((3, height, width), dtype=np.float32) - 0.5
    canvas = canvas * (_plane(balance) * light) + _between(rng, 0.02, 0.10) * grain
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
