"""The presize: fastai's pixels, the geometry of windows, and the uncached way to the same ones."""

import random
from pathlib import Path

import numpy as np
import pytest
from fastai.vision.augment import Resize as StockResize
from fastai.vision.augment import ResizeMethod
from fastai.vision.core import PILImage
from PIL import Image

from pipeline.errors import WorkFailed
from pipeline.vision.config import Resize
from pipeline.vision.presize import corner, frame_of, presize, presize_window, read_pixels

METHODS = {"crop": ResizeMethod.Crop, "pad": ResizeMethod.Pad, "squish": ResizeMethod.Squish}
SIZES = [(300, 225), (225, 300), (200, 200), (90, 400), (67, 51), (333, 127)]


def photo(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Smooth colours with edges, as photos have."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((width, height))
    pixels = np.asarray(coarse).copy()
    pixels[height // 3 : height // 2, width // 4 : width // 2] = generator.integers(0, 256, 3, dtype=np.uint8)
    return pixels


def stock(pixels: np.ndarray, resize: Resize) -> np.ndarray:
    transform = StockResize(resize.size, method=METHODS[resize.method])
    return np.asarray(transform(PILImage.create(pixels), split_idx=1)).astype(int)


def central(pixels: np.ndarray, resize: Resize) -> np.ndarray:
    frame = frame_of(pixels.shape[1], pixels.shape[0], resize)
    kept = presize(pixels, resize)
    assert kept.shape == (*frame.shape, 3)
    top, left = frame.down.centre, frame.across.centre
    return kept[top : top + resize.size[0], left : left + resize.size[1]].astype(int)


@pytest.mark.parametrize("size", [[96, 96], [128, 96]])
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("method", METHODS)
def test_the_central_window_is_fastais(method, width, height, size):
    pixels, resize = photo(width, height), Resize(size=size, method=method)
    difference = np.abs(central(pixels, resize) - stock(pixels, resize))
    if method == "squish":
        assert not difference.any()
    assert difference[2:-2, 2:-2].max() <= 1
    assert difference[2:-2, 2:-2].mean() < 0.1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_straight_from_the_source_a_window_is_fastais_up_to_rounding(method, width, height):
    pixels, resize = photo(width, height), Resize(size=[64, 80], method=method)
    out = np.zeros((64, 80, 3), np.uint8)
    presize_window(pixels, resize, None, out)
    assert np.abs(out - stock(pixels, resize)).max() <= 2


def test_a_random_window_straight_from_the_source_is_the_one_that_fastai_draws():
    pixels, resize = photo(300, 200), Resize(size=[64, 64])
    transform = StockResize(64, method=ResizeMethod.Crop)
    for seed in range(5):
        random.seed(seed)
        expected = np.asarray(transform(PILImage.create(pixels), split_idx=0)).astype(int)
        out = np.zeros((64, 64, 3), np.uint8)
        presize_window(pixels, resize, transform.pcts, out)
        assert np.abs(out - expected).max() <= 2


@pytest.mark.parametrize("method", ["crop", "pad"])
def test_a_frame_holds_every_window_that_fastai_may_draw(method):
    resize = Resize(size=[64, 64], method=method)
    for width, height in SIZES:
        frame = frame_of(width, height, resize)
        for side, source in ((frame.across, width), (frame.down, height)):
            padded = source + 2 * side.pad
            assert side.start >= -1e-6
            assert side.start + side.length * side.step <= padded + 1e-6
            assert padded - side.length * side.step < 2 * side.step, "a pixel more would have fitted"


def test_windows_are_drawn_evenly_and_without_a_draw_lie_in_the_centre():
    shape, size = (64, 70), (64, 64)
    generator = random.Random(1)
    corners = [corner(shape, (0, 3), size, (generator.random(), generator.random())) for _ in range(7000)]
    assert {top for top, _ in corners} == {0}
    counts = np.bincount([left for _, left in corners])
    assert len(counts) == 7
    assert counts.min() > 850
    assert corner(shape, (0, 3), size, None) == (0, 3)
    assert corner(shape, (0, 3), size, (1.0, 1.0)) == (0, 6)


def test_every_kind_of_file_is_read_as_pillow_reads_it(tmp_path: Path):
    picture = Image.fromarray(photo(90, 60))
    kinds = {
        "plain.jpg": picture,
        "grey.jpg": picture.convert("L"),
        "cmyk.jpg": picture.convert("CMYK"),
        "palette.png": picture.convert("P"),
        "alpha.png": picture.convert("RGBA"),
        "first.gif": picture.convert("P"),
    }
    for name, image in kinds.items():
        image.save(tmp_path / name)
        expected = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        assert np.array_equal(read_pixels((tmp_path / name).read_bytes(), name), expected), name
    progressive = tmp_path / "progressive.jpg"
    picture.save(progressive, progressive=True, quality=70, subsampling=2)
    assert np.array_equal(read_pixels(progressive.read_bytes(), "p"), np.asarray(Image.open(progressive)))


def test_a_rotated_photo_is_read_upright(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo(90, 60)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_pixels((tmp_path / "turned.jpg").read_bytes(), "turned.jpg").shape == (90, 60, 3)


@pytest.mark.parametrize("damage", [b"", b"no image", None])
def test_a_broken_file_is_refused_by_name(tmp_path: Path, damage):
    path = tmp_path / "leaf.jpg"
    Image.fromarray(photo(90, 60)).save(path)
    data = path.read_bytes()[:900] if damage is None else damage
    with pytest.raises(WorkFailed, match=r"cannot read the image .*leaf\.jpg.*check --force"):
        read_pixels(data, path)
