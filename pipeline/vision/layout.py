"""How an image's frame lies in a cache: as raw pixels, ordered so that a window is nearly one run of bytes; or a JPEG.

Raw pixels come in three parts, each row by row: the columns left of the central window, those of it (the middle),
and those right of it. A window that begins `d` columns right of the centre is the run that begins `d` pixels into
the middle, but for its last `d` columns: they lie in the right part. Memory is quicker with one long run than with
many short rows.
"""

from mmap import mmap
from typing import Literal, NamedTuple

import cv2
import numpy as np

from pipeline.data.channels import RGB
from pipeline.vision.presize import Pixels

Form = Literal["raw", "jpeg"]
Buffer = np.ndarray | mmap | bytes
JPEG_QUALITY = 95
UINT8 = np.dtype(np.uint8)


class Cut(NamedTuple):
    """A window of raw pixels where it is stored, not to be kept longer than the memory it lies in."""

    run: Pixels  # (height, width, channels), right but for some columns
    rest: np.ndarray | None  # what belongs there, a row an item: (height,); None: nothing is wrong
    place: int  # byte of a row where it belongs

    def mend(self, window: Pixels) -> None:
        """Put the rest into a contiguous copy of the run."""
        if self.rest is not None:
            rows = np.ndarray(self.rest.shape, self.rest.dtype, window, self.place, window.strides[:1])
            np.copyto(rows, self.rest)  # whole rows: half of the time that as many single bytes take


def pack(pixels: Pixels, form: Form, centre: int, width: int) -> np.ndarray:
    """A frame as it is stored, as bytes. The central window begins at column `centre` and is `width` wide.

    A JPEG is kept without chroma subsampling; what is not RGB as a grey one, its channels one below the other.
    """
    if form == "raw":
        parts = pixels[:, :centre], pixels[:, centre : centre + width], pixels[:, centre + width :]
        return np.concatenate([part.reshape(-1) for part in parts])
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    if pixels.shape[2] != RGB.count:
        planes = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)).reshape(-1, pixels.shape[1])
        return cv2.imencode(".jpg", planes, options)[1].reshape(-1)
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)[1].reshape(-1)


def cut(
    stored: Buffer,
    begin: int,
    shape: tuple[int, int],
    centre: int,
    size: tuple[int, int],
    corner: tuple[int, int],
    channels: int = RGB.count,
) -> Cut:
    """The window of `size` at `corner` (row, column) of a raw frame of `shape` that begins at byte `begin`.

    `centre` is the column that `pack` was given. Raises ValueError rather than reach beyond `stored`.
    """
    (frame_height, frame_width), (height, width), (top, left) = shape, size, corner
    middle = begin + channels * frame_height * centre
    aside = left - centre
    beyond = min(abs(aside), width)  # columns of a side part
    if aside > 0:
        start, row = middle + channels * frame_height * width, channels * (frame_width - centre - width)
        start += channels * (aside - beyond)
    else:
        start, row = begin + channels * left, channels * centre
    start += top * row
    if beyond == width:  # of a panorama: all of the window lies there
        return Cut(np.ndarray((height, width, channels), UINT8, stored, start, (row, channels, 1)), None, 0)
    run = np.ndarray((height, width, channels), UINT8, stored, middle + channels * (top * width + aside))
    if aside == 0:
        return Cut(run, None, 0)
    rest = np.ndarray(height, f"V{channels * beyond}", stored, start, (row,))
    return Cut(run, rest, channels * (width - beyond) if aside > 0 else 0)


def window_of_jpeg(
    stored: np.ndarray, size: tuple[int, int], corner: tuple[int, int], channels: int = RGB.count
) -> Pixels:
    """The window of `size` at `corner` of a frame that is stored as JPEG. Raises ValueError for what is none."""
    colour = channels == RGB.count
    frame = cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_GRAYSCALE)
    if frame is None:
        raise ValueError(f"{len(stored)} bytes are no JPEG")
    (height, width), (top, left) = size, corner
    if not colour:
        frame = np.moveaxis(frame.reshape(channels, -1, frame.shape[1]), 0, 2)
    return frame[top : top + height, left : left + width]
