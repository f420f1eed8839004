"""Ids without the ending of their file, or with another spelling of it: looked up, or told what lies there."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.readers import READERS, Reader, decode
from pipeline.errors import RequestError
from pipeline.targets.said import Target
from pipeline.vision.data_config import ImageData
from pipeline.vision.endings import Listings
from pipeline.vision.manifest import build_manifest
from tests.plugged import plugged

LABEL = [Target(name="label")]
Paths = Callable[..., list[str]]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """The paths of the manifest for ids and the files that lie in `train`."""

    def found(ids: list[str], files: list[str], images: str = "train/{id}.*") -> list[str]:
        (tmp_path / "train").mkdir(exist_ok=True)
        for name in files:
            (tmp_path / "train" / name).write_text("x")
        (tmp_path / "t.csv").write_text("id,label\n" + "".join(f"{id},a\n" for id in ids), encoding="utf-8")
        manifest = build_manifest(tmp_path, ImageData(table="t.csv", images=images), LABEL, None)
        assert all((tmp_path / path).is_file() for path in manifest["path"])
        return manifest["path"].tolist()

    return found


@pytest.mark.parametrize("images", ["train/{id}.*", "train", "train/"])
def test_the_ending_is_looked_up_in_the_folder(paths, images):
    files = ["1.jpg", "2.jpeg", "3.JPG", "4.png", "5.v2.png", "1.txt", "6"]
    expected = ["train/1.jpg", "train/2.jpeg", "train/3.JPG", "train/4.png", "train/5.v2.png"]
    assert paths(["1", "2", "3", "4", "5.v2"], files, images) == expected
    assert paths(["6"], files, "train") == ["train/6"]  # a file that is called so goes before any ending


def test_a_pattern_may_hold_more_than_the_id(paths):
    assert paths(["1", "2"], ["x1_a.jpg", "x2_a.png"], "train/x{id}_a.*") == ["train/x1_a.jpg", "train/x2_a.png"]


@pytest.mark.parametrize("images", ["t*/{id}.jpg", "t*/{id}.*", "t*"])
def test_the_folder_is_looked_up_among_those_that_are_called_so(paths, tmp_path, images):
    for name in ("test-more/3.jpg", "other/1.jpg", "test-more/2.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    ids = ["1.jpg", "2.jpg", "3.jpg"] if images == "t*" else ["1", "2", "3"]
    assert paths(ids, ["1.jpg", "2.jpg"], images) == ["train/1.jpg", "train/2.jpg", "test-more/3.jpg"]
    (tmp_path / "test-more" / "1.jpg").write_text("y")
    with pytest.raises(RequestError, match=r"1 files lie in more than one folder, for example test-more/1"):
        paths(ids, [], images)


@pytest.mark.parametrize("images", ["of-*/{id}.jpg", "of-*/{id}.*", "of-*"])
def test_thousands_of_files_are_not_tried_in_every_folder(paths, tmp_path, images, monkeypatch):
    names, asked = [f"{number}.jpg" for number in range(150)], list[str]()
    for number, name in enumerate(names):
        (tmp_path / f"of-{number % 50}").mkdir(exist_ok=True)
        (tmp_path / f"of-{number % 50}" / name).write_text("x")
    own = Listings.of
    monkeypatch.setattr(Listings, "of", lambda listings, path: asked.append(path) or own(listings, path))
    ids = names if images == "of-*" else [name.removesuffix(".jpg") for name in names]
    assert set(paths(ids, [], images)) == {f"of-{number % 50}/{name}" for number, name in enumerate(names)}
    assert len(asked) < 10 * (150 + 50)


@pytest.mark.parametrize("images", ["of-*/{id}.*", "of-*/{id}.JPG", "of-*/{id}"])
def test_a_file_is_found_in_a_folder_as_it_would_be_in_that_alone(paths, tmp_path, images):
    """By another ending, another spelling of it, another Unicode form, or with none."""
    called = {"1": "1.JPG", "caf\u00e9": "cafe\u0301.JPG", "v1.2": "v1.2.JPG", "4": "4"}
    for number, name in enumerate(called.values()):
        (tmp_path / f"of-{number}").mkdir(exist_ok=True)
        (tmp_path / f"of-{number}" / name).write_text("x")
    for number, (asked, name) in enumerate(called.items()):
        for id in (asked, f"{asked}.jpg", f"{asked}.png"):
            try:
                alone = paths([id], [], images.replace("*/", f"{number}/"))
            except RequestError:
                with pytest.raises(RequestError, match="1 of 1 image files are missing"):
                    paths([id], [], images)
            else:
                assert paths([id], [], images) == alone == [f"of-{number}/{name}"]


def test_no_file_in_any_of_the_folders_is_told(paths):
    with pytest.raises(RequestError, match=r"1 of 1 image files are missing below .*train/7.jpg"):
        paths(["7"], ["1.jpg"], "t*/{id}.jpg")


def test_ids_may_spell_the_ending_otherwise(paths):
    files = ["1.JPG", "2.jpg", "2.png", "3.png", "4.jpg"]
    assert paths(["1.jpg", "2.jpg", "3.jpg", "4"], files) == [
        f"train/{name}" for name in ("1.JPG", "2.jpg", "3.png", "4.jpg")
    ]


def test_names_in_another_unicode_form_are_found(paths):
    assert paths(["caf\u00e9"], ["cafe\u0301.jpg"]) == ["train/cafe\u0301.jpg"]


def test_a_readers_longer_ending_is_one(paths):
    with plugged():
        READERS.add("nii", Reader((".nii.gz",), lambda content: np.zeros((2, 2, 3), np.uint8)))
        assert paths(["1"], ["1.nii.gz"]) == ["train/1.nii.gz"]


def test_two_files_of_one_id_are_refused(paths):
    with pytest.raises(
        RequestError, match=r"1 ids have more than one file, for example train/1.jpg and train/1.png; name"
    ):
        paths(["1", "2"], ["1.jpg", "1.png", "2.png"])


@pytest.mark.parametrize(
    ("ids", "files", "images", "hint"),
    [
        (["1", "2"], ["1.JPG", "2.JPG"], "train/{id}.jpg", "did you mean images = 'train/{id}.JPG'?"),
        (["1", "2"], ["1.png", "2.png"], "train/{id}", "did you mean images = 'train/{id}.png'?"),
        (["1", "2"], ["1.jpg", "2.png"], "train/{id}.jpg", "did you mean images = 'train/{id}.*'?"),
        (["1", "2"], ["1.jpg"], "train/{id}", "did you mean images = 'train/{id}.*'?"),
        (["1.jpg", "2.jpg"], ["1.JPG", "2.JPG"], "train", "did you mean images = 'train/{id}.*'?"),
        (["caf\u00e9"], ["cafe\u0301.jpg"], "train/{id}.jpg", "did you mean images = 'train/{id}.*'?"),
        (["1", "2"], ["1.heic", "2.heic"], "train", "beside them lies '1.heic'"),
        (["a1", "2"], ["A1.jpg", "2.jpg"], "train/{id}.*", "beside them lies 'A1.jpg'"),
        (["1"], ["other.jpg"], "train/{id}.jpg", "train/1.jpg"),
    ],
)
def test_missing_files_name_what_lies_beside_them(paths, ids, files, images, hint):
    with pytest.raises(RequestError) as caught:
        paths(ids, files, images)
    assert "image files are missing" in str(caught.value)
    assert str(caught.value).endswith(hint)


def test_missing_test_files_are_the_tests(tmp_path):
    for name in ("train/1.jpg", "test/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "t.csv").write_text("id,label\n1,a\n")
    (tmp_path / "s.csv").write_text("id,label\n2,\n")

    def build(test: str) -> list[str]:
        said = ImageData(table="t.csv", images="train/{id}.jpg", test=test)
        return build_manifest(tmp_path, said, LABEL, tmp_path / "s.csv")["path"].tolist()

    assert build("test/{id}.*") == ["train/1.jpg", "test/2.png"]
    with pytest.raises(RequestError, match=r"data.test: 1 of 2 image files .*did you mean test = 'test/{id}.png'\?"):
        build("test/{id}.jpg")


@pytest.mark.parametrize(
    ("ending", "form"), [(".ppm", "PPM"), (".jp2", "JPEG2000"), (".avif", "AVIF"), (".tga", "TGA")]
)
def test_more_formats_are_read(tmp_path, ending, form):
    path = tmp_path / f"x{ending}"
    Image.new("RGB", (20, 10), (200, 30, 30)).save(path, form)
    pixels = decode(path.read_bytes(), path)
    assert pixels.shape == (10, 20, 3)
    assert abs(pixels.mean(axis=(0, 1)) - (200, 30, 30)).max() < 6
