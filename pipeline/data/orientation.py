"""Which way up a picture is: EXIF's orientation, read as cameras mean it and forgiving as the audit promises."""

from PIL import ExifTags, Image

# EXIF orientation -> the turn that sets the picture upright (EXIF 2.32, tag 0x0112).
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def orientation_of(image: Image.Image) -> int:
    """1 to 8; 1, upright, for an image that says nothing or nonsense (0 in pets).

    To be asked after `load()`: a PNG may keep EXIF behind its pixels, and `load()` turns a TIFF upright itself.
    """
    try:
        said = image.getexif().get(ExifTags.Base.Orientation)
    except SyntaxError:  # garbage for EXIF, in PNG and WebP; the pixels are sound
        return 1
    return int(said) if said in UPRIGHT else 1


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture turned as its orientation says."""
    return picture.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else picture
