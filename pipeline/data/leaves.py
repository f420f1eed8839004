"""Draw one rice leaf: its disease is how it is spotted, its variety how it is built.

The same random stream must give the same pixels on every machine, so the arithmetic is elementwise
float32 with + - * / and comparisons only: each of those has one right answer under IEEE 754, while
sines, powers and sums depend on the maths library and the vector width. Lengths are in units of the
picture's short side, colours are (red, green, blue) from 0 to 1 in planes of shape (3, height, width).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from pipeline.data.lesions import DISEASES, RGB, Blade, between, blend, ellipse, noise, pick, plane, step


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
        canvas = _draw_plain_blade(rng, canvas, brightness=between(rng, 0.45, 0.85), widest=0.10)
    for _ in range(int(rng.integers(1, 4))):
        canvas = _blur(canvas)
    build = _vary(rng, VARIETIES[variety])
    blade = lay_blade(_pose_leaf(rng, build, width, height), build, width, height, between(rng, 0, 1))
    canvas = _cast_shadow(canvas, blade)
    colour = _colour_blade(rng, blade, build, age)
    colour = _blemish(rng, blade, colour)
    colour = DISEASES[disease](lesions, blade, colour, between(lesions, 0.4, 1.0))
    canvas = canvas + blade.cover * (_shade(rng, blade, colour) - canvas)
    for _ in range(int(rng.integers(0, 3))):
        canvas = _draw_plain_blade(rng, canvas, brightness=between(rng, 0.7, 1.1), widest=0.035)
    return _photograph(rng, canvas)


def _sine(degrees: int) -> float:
    # Rounded, because the last digits of a sine differ between maths libraries.
    return round(math.sin(math.radians(degrees % 360)), 6)


def _blur(canvas: np.ndarray) -> np.ndarray:
    """Return the picture blurred by 1-2-1 along both sides."""
    padded = np.pad(canvas, ((0, 0), (1, 1), (0, 0)), mode="edge")
    canvas = (padded[:, :-2] + 2 * canvas + padded[:, 2:]) * 0.25
    padded = np.pad(canvas, ((0, 0), (0, 0), (1, 1)), mode="edge")
    return (padded[:, :, :-2] + 2 * canvas + padded[:, :, 2:]) * 0.25


# The leaf's shape


def _vary(rng: Generator, variety: Variety) -> Variety:
    """Return one plant of the variety: no two have quite the same form and hue."""
    light, warmth = between(rng, 0.85, 1.15), between(rng, -0.06, 0.06)
    red, green, blue = variety.colour
    return variety._replace(
        half_width=variety.half_width * between(rng, 0.85, 1.17),
        widest=variety.widest + between(rng, -0.05, 0.05),
        colour=(red * light + warmth, green * light, blue * light - warmth),
        veins=variety.veins + between(rng, -0.4, 0.4),
        vein_depth=variety.vein_depth * between(rng, 0.6, 1.2),
        midrib_width=variety.midrib_width * between(rng, 0.7, 1.3),
        margin=variety.margin * between(rng, 0.5, 1.2),
        wave=variety.wave * between(rng, 0.6, 1.2),
        bend=variety.bend + between(rng, -0.03, 0.03),
    )


def _pose_leaf(rng: Generator, build: Variety, width: int, height: int) -> Pose:
    """Return a pose that keeps most of the leaf in the picture, roughly along its long side."""
    short = min(width, height)
    upright = height > width or (height == width and rng.random() < 0.5)
    degrees = (270 if upright else 0) + (180 if rng.random() < 0.25 else 0) + int(rng.integers(-25, 26))
    return Pose(
        x=width / short * between(rng, 0.45, 0.55),
        y=height / short * between(rng, 0.45, 0.55),
        degrees=degrees,
        length=max(width, height) / short * between(rng, 0.92, 1.16),
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
    mottle = noise(rng, height, width, 9) - 0.5
    colour = plane(build.colour) * (1 + 0.22 * mottle)
    colour = blend(colour, (age - 45) / 37 * 0.12, (0.66, 0.66, 0.22))
    turns = side * build.veins
    ridge = np.abs(turns - np.floor(turns) - 0.5) * 2
    colour = colour * (1 - build.vein_depth * (step(ridge) - 0.3))
    rim = step((side - 0.72) * 5)
    edge = (0.80, 0.84, 0.56) if build.margin > 0 else (0.52, 0.22, 0.26)
    colour = blend(colour, rim * abs(build.margin), edge)
    return blend(colour, step((build.midrib_width - side) / build.midrib_width * 2), build.midrib)


def _shade(rng: Generator, blade: Blade, colour: np.ndarray) -> np.ndarray:
    """Return the blade lit from one side, as if folded a little along its midrib."""
    fold, fall = between(rng, -0.16, 0.16), between(rng, -0.22, 0.22)
    across = np.clip(blade.across, -1, 1)
    light = 1 - 0.14 * across * across + fall * (blade.along - 0.5)
    return colour * (light + fold * np.where(across > 0, 1, -1) + 0.04)


def _blemish(rng: Generator, blade: Blade, colour: np.ndarray) -> np.ndarray:
    """Return the colour with marks that any leaf may have and that mean no disease."""
    for _ in range(int(rng.integers(0, 4))):
        dirt = ellipse(rng, blade, (0.05, 0.95), (0.008, 0.016), (0.7, 1.0))
        colour = blend(colour, 0.6 * step((1 - dirt) * 2), (0.24, 0.20, 0.13))
    for _ in range(int(rng.integers(0, 3))):
        glare = ellipse(rng, blade, (0.15, 0.85), (0.10, 0.22), (0.10, 0.20))
        colour = blend(colour, between(rng, 0.1, 0.4) * step(1 - glare), (0.86, 0.92, 0.84))
    if rng.random() < 0.3:  # a tip that withers from age alone
        colour = blend(colour, step((blade.along - 0.86) * 9), (0.72, 0.62, 0.34))
    return colour


# The field and the camera


def _draw_background(rng: Generator, width: int, height: int) -> np.ndarray:
    """Return a field out of focus: sky or far green above, soil or water below."""
    skies = ((0.70, 0.80, 0.90), (0.62, 0.72, 0.50), (0.34, 0.44, 0.22))
    soils = ((0.42, 0.33, 0.24), (0.30, 0.28, 0.24), (0.46, 0.50, 0.48), (0.24, 0.32, 0.16))
    far, near = pick(rng, skies), pick(rng, soils)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    horizon = between(rng, -0.2, 0.6)
    ground = step((down - horizon) * between(rng, 1.5, 4) + noise(rng, height, width, 3) / 2)
    canvas = blend(plane(far), ground, near)
    return canvas * (1 + 0.5 * (noise(rng, height, width, 6) - 0.5))


def _draw_plain_blade(rng: Generator, canvas: np.ndarray, brightness: float, widest: float) -> np.ndarray:
    """Return the picture with one more blade of grass, anywhere and of any variety."""
    _, height, width = canvas.shape
    short = min(width, height)
    build = _vary(rng, pick(rng, list(VARIETIES.values())))
    build = build._replace(half_width=between(rng, 0.5, 1) * widest, wave=0.0)
    pose = Pose(
        x=width / short * between(rng, 0, 1),
        y=height / short * between(rng, 0, 1),
        degrees=270 + int(rng.integers(-60, 61)),
        length=between(rng, 1.0, 2.0),
        bend=between(rng, -0.15, 0.15),
    )
    blade = lay_blade(pose, build, width, height, 0.0)
    light = brightness * (1 - 0.3 * np.clip(np.abs(blade.across), 0, 1))
    return canvas + blade.cover * (plane(build.colour) * light - canvas)


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
    light = 1 + between(rng, -0.15, 0.15) * down + between(rng, -0.15, 0.15) * right
    light = light * (1 - 0.12 * (down * down + right * right))
    exposure = between(rng, 0.80, 1.28)
    balance = (between(rng, 0.93, 1.07) * exposure, exposure, between(rng, 0.90, 1.10) * exposure)
    grain = rng.random((3, height, width), dtype=np.float32) - 0.5
    canvas = canvas * (plane(balance) * light) + between(rng, 0.02, 0.10) * grain
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
