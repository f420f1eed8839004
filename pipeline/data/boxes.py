"""Boxes: the part of an image that a row is about, in pixels of the upright image, cut out before all else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

SIDES = ("_left", "_top", "_right", "_bottom", "_margin")  # the manifest's columns of a box, NaN for the whole image
CUT = "_cut"  # the audit's column: what is cut, '' for the whole image
EMPTY = "empty"  # there, where no pixel of the image is in the box
Box = tuple[int, int, int, int]  # left, top, right, bottom in whole pixels, the last two beyond the box


@dataclass(frozen=True)
class Cutout:
    """A part of an image's file, where a path alone would be all of it. `cut` as `cut_of` says it."""

    file: Path
    cut: str

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """The part (height, width, 3) of all of its pixels, uncopied."""
        return cut_out(pixels, self.cut)


def cut_out(pixels: np.ndarray, cut: str) -> np.ndarray:
    """The part of an image's pixels; all of them for ''."""
    if not cut:
        return pixels
    left, top, right, bottom = box_in(cut)
    return pixels[top:bottom, left:right]


def box_in(cut: str) -> Box:
    """The box that a cut names."""
    left, top, right, bottom = map(int, cut.split(","))
    return left, top, right, bottom


def size_of(cut: str, width: int, height: int) -> tuple[int, int]:
    """Width and height of what is cut out of an image of that size."""
    if not cut:
        return width, height
    left, top, right, bottom = box_in(cut)
    return right - left, bottom - top


def cut_of(sides: Sequence[float] | np.ndarray, width: int, height: int) -> str:
    """What is cut out of an image of that size for the manifest's `SIDES` of a row.

    The margin is put around the box, and both end where the image ends: 'left,top,right,bottom'; '' for the whole
    image, and `EMPTY` where none of it is in the box itself.
    """
    left, top, right, bottom, margin = sides
    if math.isnan(left):
        return ""
    if min(right, width) <= max(left, 0) or min(bottom, height) <= max(top, 0):
        return EMPTY
    first = [math.floor(round(max(0.0, side - margin), 6)) for side in (left, top)]
    last = [math.ceil(round(min(end, side + margin), 6)) for side, end in ((right, width), (bottom, height))]
    return ",".join(map(str, (*first, *last)))


def sides_in(rows: pd.DataFrame) -> np.ndarray | None:
    """The boxes (rows, 5) of a manifest's rows; None where the file names none."""
    return rows[list(SIDES)].to_numpy(float) if SIDES[0] in rows else None


def pictures(rows: pd.DataFrame, raw: Path) -> list[Path | Cutout]:
    """What each audited row shows: its file, or the part of it that is cut out."""
    paths = [raw / path for path in rows["path"]]
    if CUT not in rows:
        return list(paths)
    return [Cutout(path, cut) if cut else path for path, cut in zip(paths, rows[CUT], strict=True)]
