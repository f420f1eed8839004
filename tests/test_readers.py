"""Image readers: Pillow's as ever, and a plug-in's by the ending of the file: audit, manifest, presize, batches."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.audit import audit, inspect_images
from pipeline.data.readers import READERS, Reader, codes_for, decode, image_endings, own_reader_of
from pipeline.errors import RequestError, WorkFailed
from pipeline.registry import PlugIn, adding_from
from pipeline.targets.said import Target
from pipeline.vision.config import Resize
from pipeline.vision.data_config import ImageData
from pipeline.vision.gather import PixelSource
from pipeline.vision.manifest import build_manifest, walk_images
from pipeline.vision.presize import read_pixels

PLUG_IN, DIGEST = Path("/somewhere/plug_in.py"), "a1" * 32


def read_npy(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content))


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    """No plug-in outlives its test."""
    yield
    for path in (PLUG_IN, Path("/somewhere/other.py")):
        READERS.forget(PlugIn(path, DIGEST))
    assert READERS.names() == ["pillow", "ndarray"]


def add(name: str, endings: tuple[str, ...], read: Callable[[bytes], np.ndarray]) -> None:
    with adding_from(PLUG_IN, DIGEST):
        READERS.add(name, Reader(endings, read))


@pytest.fixture
def npy() -> None:
    add("npy", (".npy",), read_npy)


def draw(path: Path, seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    """An image as .npy; colours in blocks, so that its fingerprint has something to hold on to."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    pixels = np.kron(small, np.ones((10, 10, 1), np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.save(file, pixels)
    return pixels


def test_pillow_reads_what_it_always_read():
    assert image_endings() == {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp",
        ".ppm", ".pgm", ".pbm", ".pnm", ".pcx", ".tga", ".sgi", ".ras", ".qoi", ".dds", ".mpo",
        ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".avif",
    }  # fmt: skip
    assert own_reader_of("a/b.JPG") is None
    assert codes_for(["a.jpg", "b.npy", "c"]) == {}


def test_without_a_plug_in_other_endings_are_no_images(tmp_path):
    draw(tmp_path / "a.arr", 1)
    assert walk_images(tmp_path) == []
    with pytest.raises(WorkFailed, match=r"cannot read the image a\.arr"):
        read_pixels((tmp_path / "a.arr").read_bytes(), "a.arr")


def test_the_file_says_its_reader_by_its_ending(npy, tmp_path):
    pixels = draw(tmp_path / "a.NPY", 1)
    assert own_reader_of(tmp_path / "a.NPY") == "npy"
    assert np.array_equal(read_pixels((tmp_path / "a.NPY").read_bytes(), tmp_path / "a.NPY"), pixels)
    assert walk_images(tmp_path) == ["a.NPY"]
    assert codes_for(["a.jpg", "x/a.NPY"]) == {".npy": DIGEST}
    assert codes_for(["a.jpg"]) == {}


def test_an_ending_may_have_two_dots(tmp_path):
    add("nifti", (".nii.gz",), read_npy)
    draw(tmp_path / "a.nii.gz", 1)
    draw(tmp_path / "a.gz", 1)
    assert walk_images(tmp_path) == ["a.nii.gz"]
    assert codes_for(["a.nii.gz"]) == {".nii.gz": DIGEST}


def test_the_audit_looks_at_the_picture(npy, tmp_path):
    for name, seed in (("a", 1), ("b", 2), ("copy", 1)):
        draw(tmp_path / f"{name}.npy", seed)
    (tmp_path / "torn.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:200])
    Image.fromarray(np.load(tmp_path / "a.npy")).save(tmp_path / "same.png")
    paths = [tmp_path / name for name in ("a.npy", "b.npy", "copy.npy", "torn.npy", "same.png")]
    facts = inspect_images(paths, workers=2)
    assert facts["readable"].tolist() == [True, True, True, False, True]
    good = facts[facts["readable"]]
    assert good["format"].tolist() == ["npy", "npy", "npy", "PNG"]
    assert set(good["mode"]) == {"RGB"}
    assert set(zip(good["width"], good["height"], good["orientation"], strict=True)) == {(60, 40, 1)}
    for column in ("phash", "thumb", "chroma"):
        first, other, copy, _, png = facts[column]
        assert first == copy == png, "by the picture, whatever it lies in"
        assert first != other
    assert facts["sha256"][0] == facts["sha256"][2] != facts["sha256"][4]
    assert facts["error"][3].startswith("ValueError: ")


def test_what_a_plug_in_reads_is_not_mislabelled(tmp_path):
    """It may read .tif in its own way, and its format is none of Pillow's."""
    add("deep", (".tif",), read_npy)
    draw(tmp_path / "a.tif", 1)
    Image.new("RGB", (40, 40)).save(tmp_path / "b.jpg", format="PNG")
    manifest = build_manifest(
        tmp_path.parent, ImageData(images=tmp_path.name), [Target(name="label", regex="(.)")], sample=None
    )
    facts = inspect_images([tmp_path.parent / path for path in manifest["path"]], workers=1)
    assert facts["format"].tolist() == ["deep", "PNG"]
    assert [row["path"] for row in audit(manifest, facts, [], ["label"])["mislabelled"]] == [f"{tmp_path.name}/b.jpg"]


WRONG = {
    "float64 (4, 5, 3)": lambda content: np.zeros((4, 5, 3)),
    "uint8 (4, 5)": lambda content: np.zeros((4, 5), np.uint8),
    "uint8 (4, 5, 4)": lambda content: np.zeros((4, 5, 4), np.uint8),
    "uint8 (0, 5, 3)": lambda content: np.zeros((0, 5, 3), np.uint8),
    "Image": lambda content: Image.new("RGB", (5, 4)),
    "NoneType": lambda content: None,
}


@pytest.mark.parametrize("found", WRONG)
def test_anything_but_an_image_is_refused_by_name(found, tmp_path):
    add("mine", (".abc",), WRONG[found])
    (tmp_path / "x.abc").write_bytes(b"something")
    for call in (
        lambda path: decode(path.read_bytes(), path),
        lambda path: read_pixels(path.read_bytes(), path),
        lambda path: inspect_images([path], workers=1),
    ):
        with pytest.raises(RequestError) as caught:
            call(tmp_path / "x.abc")
        assert str(caught.value) == (
            f"the image reader 'mine' made {found} of {tmp_path / 'x.abc'}; "
            "expected an array of uint8 (height, width, 3)"
        )


def test_what_a_reader_raises_is_told_with_the_file(npy):
    with pytest.raises(WorkFailed, match=r"cannot read the image a.npy: ValueError: .*`pipeline check --force`"):
        read_pixels(b"no array", "a.npy")


def test_an_array_that_is_a_view_is_taken(tmp_path):
    whole = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    add("mine", (".abc",), lambda content: whole[::-1, :, ::-1])
    pixels = decode(b"", "x.abc")
    assert np.array_equal(pixels, whole[::-1, :, ::-1])
    assert pixels.flags.c_contiguous


def test_two_plug_ins_for_one_ending_are_refused(npy):
    with adding_from("/somewhere/other.py", "b2" * 32):
        READERS.add("npy2", Reader((".npy",), read_npy))
    with pytest.raises(RequestError, match=r"the image readers 'npy' and 'npy2' both read a\.npy"):
        own_reader_of("a.npy")
    assert own_reader_of("a.png") is None


@pytest.mark.parametrize("endings", [(), ("npy",), (".NPY",), ".npy"])
def test_endings_are_written_in_one_way(endings):
    with pytest.raises(RequestError, match="endings of an image reader"):
        Reader(endings, read_npy)


def test_batches_are_read_by_it(npy, tmp_path):
    resize = Resize(size=[20, 30])
    pixels = draw(tmp_path / "a.npy", 1)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    batch = PixelSource(resize).start([tmp_path / "a.npy", tmp_path / "a.png"], [None, None]).result()
    assert batch.shape == (2, 20, 30, 3)
    assert np.array_equal(batch[0], batch[1])
    assert batch.float().std() > 20
