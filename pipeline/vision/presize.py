"""The presize: fastai's `Resize` of one image, kept with the margin that its random window needs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline.data.boxes import Cutout
from pipeline.data.channels import RGB, Channels
from pipeline.data.levels import Levels
from pipeline.data.readers import decode
from pipeline.data.several import Content
from pipeline.errors import WorkFailed
from pipeline.vision.config import Resize

Pixels = np.ndarray  # (height, width, channels) uint8, upright; three channels are RGB
Picture = Path | str | Cutout | Pixels  # an image: its file, a part of that, or pixels that somebody decoded
Fractions = tuple[float, float] | None  # where between its two ends a window lies, across and down; None: the centre


@dataclass(frozen=True)
class Side:
    """One side of an image, in source pixels but for `length` and `centre`.

    `pad` is reflected on at both ends; `length` output pixels, each `step` wide, begin at `start`; the window
    of the model lies somewhere in them, and begins at output pixel `centre` when nothing is random.
    """

    pad: int
    start: float
    step: float
    length: int
    centre: int


@dataclass(frozen=True)
class Frame:
    """What is kept of an image: every pixel that some window of the model shows."""

    across: Side
    down: Side

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.down.length, self.across.length


def frame_of(width: int, height: int, resize: Resize) -> Frame:
    """The frame of an image of `width` x `height` pixels.

    fastai cuts a window out of the source (Resize.encodes: whole source pixels) and resizes that. Here the
    source is resized once, on the sampling grid that the centre window has in fastai.
    """
    out_height, out_width = resize.size
    if resize.method == "squish":
        return Frame(_squished(width, out_width), _squished(height, out_height))
    cut_width, cut_height = window_in_source(width, height, resize)
    return Frame(_side(width, cut_width, out_width), _side(height, cut_height, out_height))


def window_in_source(width: int, height: int, resize: Resize) -> tuple[int, int]:
    """Width and height of the window that fastai cuts out: the largest inside (crop), the smallest around (pad)."""
    out_height, out_width = resize.size
    choose = max if resize.method == "pad" else min
    scale = choose(width / out_width, height / out_height)
    return max(1, int(scale * out_width)), max(1, int(scale * out_height))


def _squished(source: int, out: int) -> Side:
    return Side(0, 0.0, source / out, out, 0)


def _side(source: int, cut: int, out: int) -> Side:
    slack = source - cut
    pad = max(0, -slack)
    centre = pad + int(0.5 * slack)  # fastai's rounding, towards zero
    step = cut / out
    before = int(centre / step + 1e-9)
    after = int((abs(slack) - centre) / step + 1e-9)
    return Side(pad, centre - before * step, step, before + out + after, before)


def corner(shape: tuple[int, int], centre: tuple[int, int], size: tuple[int, int], at: Fractions) -> tuple[int, int]:
    """Row and column where the window of `size` begins in a frame of `shape`: any one is equally likely."""
    if at is None:
        return centre
    across, down = at
    below, right = shape[0] - size[0], shape[1] - size[1]
    return min(int(down * (below + 1)), below), min(int(across * (right + 1)), right)


def presize(pixels: Pixels, resize: Resize) -> Pixels:
    """All of an image's frame, by Pillow's antialiased bilinear filter as in fastai."""
    height, width = pixels.shape[:2]
    frame = frame_of(width, height, resize)
    across, down = frame.across, frame.down
    padded = pixels
    if across.pad or down.pad:
        padded = np.pad(pixels, ((down.pad, down.pad), (across.pad, across.pad), (0, 0)), mode="reflect")
    box = (
        max(0.0, across.start),
        max(0.0, down.start),
        min(across.start + across.length * across.step, padded.shape[1]),
        min(down.start + down.length * down.step, padded.shape[0]),
    )
    kept = _pillow_resize(padded, frame.shape, box)
    if resize.method != "squish" and min(across.step, down.step) < ENLARGED:
        return _with_centre(kept.copy(), frame, pixels, resize)
    return kept


ENLARGED = 0.6  # source pixels an output pixel, below which rounding shows: two of 255 at 0.504
EDGE = 2  # pixels at the rim of a window, where fastai's filter ends at the cut and ours sees beyond it


def _with_centre(kept: Pixels, frame: Frame, pixels: Pixels, resize: Resize) -> Pixels:
    """Enlarging amplifies the rounding of Pillow's box (float32): take the centre from the very window of fastai."""
    height, width = resize.size
    window = _pillow_resize(_window(pixels, resize, (0.5, 0.5)), resize.size)
    top, left = frame.down.centre, frame.across.centre
    kept[top + EDGE : top + height - EDGE, left + EDGE : left + width - EDGE] = window[EDGE:-EDGE, EDGE:-EDGE]
    return kept


def _pillow_resize(
    pixels: Pixels, shape: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Pixels:
    def resized(plane: Pixels) -> Pixels:
        image = Image.fromarray(plane).resize((shape[1], shape[0]), Image.Resampling.BILINEAR, box=box)
        return np.asarray(image)

    if pixels.shape[2] == RGB.count:
        return resized(pixels)
    # One by one: Pillow would take four channels for colours with transparency, and knows no more than those.
    return np.stack([resized(np.ascontiguousarray(plane)) for plane in np.moveaxis(pixels, 2, 0)], axis=2)


def cut_window(pixels: Pixels, resize: Resize, at: Fractions, out: Pixels) -> None:
    """One window out of the whole frame: the pixels that a cache would give."""
    height, width = pixels.shape[:2]
    frame = frame_of(width, height, resize)
    top, left = corner(frame.shape, (frame.down.centre, frame.across.centre), resize.size, at)
    np.copyto(out, presize(pixels, resize)[top : top + resize.size[0], left : left + resize.size[1]])


def presize_window(pixels: Pixels, resize: Resize, at: Fractions, out: Pixels) -> None:
    """One window as fastai cuts it, straight from the source into `out`: the quick way where nothing is kept.

    torch's filter for uint8 differs from Pillow's by rounding: at most 2 of 255, 0.0003 in the mean.
    """
    if resize.method != "squish":
        pixels = _window(pixels, resize, at or (0.5, 0.5))
    # As a batch of one in numpy: torch then knows it for channels-last, and what it gives needs no transposing.
    whole = np.require(pixels, requirements=["C", "W"])
    image = torch.from_numpy(whole.reshape(1, *whole.shape)).permute(0, 3, 1, 2)
    sized = torch.nn.functional.interpolate(image, resize.size, mode="bilinear", antialias=True)
    np.copyto(out, sized[0].permute(1, 2, 0).numpy())


def _window(pixels: Pixels, resize: Resize, at: tuple[float, float]) -> Pixels:
    """The source pixels that fastai resizes, `at` those fractions of the way."""
    height, width = pixels.shape[:2]
    cut_width, cut_height = window_in_source(width, height, resize)
    across, down = at
    left, top = int(across * (width - cut_width)), int(down * (height - cut_height))
    return _cut(pixels, (top, left), (cut_height, cut_width))


def _cut(pixels: Pixels, corner: tuple[int, int], size: tuple[int, int]) -> Pixels:
    """A window that may reach over the edge, where the image is reflected."""
    padding = []
    for start, length, source in zip(corner, size, pixels.shape, strict=False):
        padding.append((max(0, -start), max(0, start + length - source)))
    inside = [slice(max(0, start), start + length) for start, length in zip(corner, size, strict=True)]
    pixels = pixels[tuple(inside)]
    return np.pad(pixels, [*padding, (0, 0)], mode="reflect") if any(map(any, padding)) else pixels


def read_pixels(data: Content, name: Path | str, levels: Levels | None = None, channels: Channels = RGB) -> Pixels:
    """Decode an image's bytes: upright, by the reader for its ending, into the set's `channels`, by default RGB; more
    than 8 bits by the set's `levels`.

    Raises WorkFailed if they cannot be read, RequestError where a plug-in's reader makes something else of them.
    """
    try:
        return decode(data, name, levels, channels)
    except (OSError, SyntaxError, ValueError) as error:
        raise WorkFailed(
            f"cannot read the image {name}: {error}; it was readable when it was audited, "
            "so run `pipeline check --force`"
        ) from error
