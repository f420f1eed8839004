"""pillow: the formats that competitions are made of, told apart by their content."""

import io

import numpy as np
from PIL import Image

from pipeline.data.channels import Axis
from pipeline.data.levels import Levels, sort_of, to_rgb
from pipeline.data.orientation import orientation_of, upright
from pipeline.data.readers import Reader, Stored

LARGEST = 178_956_970  # pixels: where Pillow refuses; drone maps and slides are above half of that, where it warns
if Image.MAX_IMAGE_PIXELS == LARGEST // 2:  # unless somebody chose another
    Image.MAX_IMAGE_PIXELS = LARGEST
GREY = ("1", "L", "LA", "La")  # modes without colour
ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp",
    ".ppm", ".pgm", ".pbm", ".pnm", ".pcx", ".tga", ".sgi", ".ras", ".qoi", ".dds", ".mpo",
    ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".avif",
)  # fmt: skip


def read(content: bytes, levels: Levels | None = None, mode: str = "RGB") -> np.ndarray:
    """The very pixels of Pillow, in one of its modes; those of more than 8 bits scaled by `levels`.

    Raises OSError, SyntaxError or ValueError for what it cannot read.
    """
    import cv2

    with Image.open(io.BytesIO(content)) as image:
        plain = image.format == "JPEG" and image.mode == "RGB" and orientation_of(image) == 1
        # OpenCV is the quicker reader of the same library, but says nothing of a file that ends too early.
        if plain and mode == "RGB" and content.rstrip(b"\0")[-2:] == b"\xff\xd9":
            flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
            try:
                decoded = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
            except cv2.error as error:
                raise OSError(str(error)) from error
            if decoded is not None and decoded.shape[1::-1] == image.size:
                return decoded
        image.load()
        rgb = image.convert(mode) if sort_of(image.mode) is None else to_rgb(image, levels)
        return np.asarray(upright(rgb if rgb.mode == mode else rgb.convert(mode), orientation_of(image)))


def values(content: bytes, grey: bool, axis: Axis) -> Stored:
    """What a picture holds, upright, of more than 8 bits as it is: one channel, or RGB.

    One in colour may be wanted `grey`. Raises as `read` does.
    """
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        turned, kind = upright(image, orientation_of(image)), image.format or ""
        if sort_of(image.mode) is None:
            turned = turned.convert("L" if grey or image.mode in GREY else "RGB")
        found = np.asarray(turned)
    return Stored(found if found.ndim == 3 else found[:, :, None], kind)


ENTRY = Reader(ENDINGS, read, values=values)
