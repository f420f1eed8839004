"""Walking folders of images: links, circles, files passed over; no file on both sides of the split."""

import os
from pathlib import Path

import pytest

from pipeline.data.walk import endings_in_words, walk, without_circles
from pipeline.errors import RequestError
from pipeline.stages.data import _listing, data
from pipeline.targets.said import Target
from pipeline.vision.data_config import ImageData
from pipeline.vision.manifest import build_manifest, walk_images

FOLDER = [Target(name="label", folder=True)]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for name in ("train/a/1.jpg", "train/a/2.jpg", "train/b/3.jpg", "test/4.jpg", "test/5.jpg"):
        write(tmp_path / "raw" / name)
    return tmp_path / "raw"


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)


def sides(raw: Path, log, targets=FOLDER, sample: Path | None = None, **said) -> tuple[list[str], list[str]]:
    manifest = build_manifest(raw, ImageData(**said), targets, sample, log)
    return tuple(manifest["path"][manifest["split"] == side].tolist() for side in ("train", "test"))


@pytest.mark.parametrize("target", ["train", "train/a", ".", "train/b"])
def test_a_link_to_what_is_walked_is_not_entered(raw, log, target):
    (raw / "train" / "a" / "loop").symlink_to(raw / target)
    train, _ = sides(raw, log, images="train")
    assert train == ["train/a/1.jpg", "train/a/2.jpg", "train/b/3.jpg"]
    assert log.lines == [
        "warning: data.images: the link a/loop leads to a folder that is walked already; it was not entered"
    ]


def test_links_that_lead_to_each_other_end(raw, tmp_path):
    for name, other in (("x", "y"), ("y", "x")):
        write(tmp_path / name / f"{name}.jpg")
        (tmp_path / name / "to").symlink_to(tmp_path / other)
    (raw / "train" / "c").symlink_to(tmp_path / "x")
    (raw / "train" / "d").symlink_to(tmp_path / "y")
    found = walk(raw / "train")
    assert [name for name in found.files if name[0] in "cd"] == ["c/x.jpg", "d/y.jpg"]
    assert found.again == ["c/to", "d/to"]


def test_a_linked_folder_that_holds_another_one_is_walked_once(tmp_path):
    write(tmp_path / "far" / "in" / "1.jpg")
    write(tmp_path / "far" / "2.jpg")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(tmp_path / "far" / "in")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "far")
    found = walk(tmp_path / "root")
    assert found.files == ["a/1.jpg", "b/2.jpg"]
    assert found.again == ["b/in"]


def test_a_root_of_links_is_entered(raw, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "train").symlink_to(raw / "train")
    assert walk_images(linked / "train") == ["a/1.jpg", "a/2.jpg", "b/3.jpg"]
    assert walk_images(linked) == ["train/a/1.jpg", "train/a/2.jpg", "train/b/3.jpg"]


def test_only_circles_leave_the_digest_of_raw_files(raw):
    (raw / "again").symlink_to(raw / "train" / "a")  # no circle: as it always was
    names = sorted(entry.name for entry in raw.iterdir())
    assert without_circles(str(raw), names) == names
    before = _listing(raw)
    (raw / "train" / "a" / "up").symlink_to(raw)
    assert without_circles(str(raw / "train" / "a"), ["up"]) == []
    assert _listing(raw) == before


def test_files_that_are_passed_over_are_counted(raw, log):
    for name in ("a/x.HEIC", "b/y.heic", "b/noending", "b/Photo of 2.3 metres", "a/.hidden.heic", "a/z.ppm"):
        write(raw / "train" / name)
    train, _ = sides(raw, log, images="train", test="test")
    assert "train/a/z.ppm" in train
    assert log.lines == ["data: data.images = 'train': passed over: 2 .heic, 2 without ending"]
    assert endings_in_words(["a.b", "c.D", "e.d"]) == "2 .d, 1 .b"


def test_a_folder_of_other_files_alone_says_which(raw):
    write(raw / "odd" / "a" / "1.heic")
    with pytest.raises(RequestError, match=r"no images in .* passed over: 1 .heic"):
        build_manifest(raw, ImageData(images="odd"), FOLDER, None)


def test_the_test_folder_is_no_class(raw, log):
    assert sides(raw, log, images=".", test="test") == (
        ["./train/a/1.jpg", "./train/a/2.jpg", "./train/b/3.jpg"],
        ["test/4.jpg", "test/5.jpg"],
    )
    assert any("left out test, the other side of the split" in line for line in log.lines)


def test_the_test_folder_of_a_pattern_is_no_class_either(raw, log):
    (raw / "sample.csv").write_text("id\n4\n")  # 5.jpg is named by nobody, and still no training image
    train, test = sides(raw, log, sample=raw / "sample.csv", images=".", test="test/{id}.jpg")
    assert (len(train), test) == (3, ["test/4.jpg"])


def test_the_test_folder_may_be_reached_by_a_link(raw, log, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("train", "test"):
        (linked / name).symlink_to(raw / name)
    train, test = sides(linked, log, images=".", test="test")
    assert (len(train), len(test)) == (3, 2)


def test_training_images_inside_of_the_test_folder_are_no_test_images(raw, log):
    write(raw / "0.jpg")
    train, test = sides(raw, log, images="train", test=".")
    assert len(train) == 3
    assert test == ["./0.jpg", "./test/4.jpg", "./test/5.jpg"]


def test_files_that_the_sample_names_are_left_out_of_train(raw, log):
    (raw / "sample.csv").write_text("id\na/1\n")
    train, test = sides(raw, log, sample=raw / "sample.csv", images="train", test="train/{id}.jpg")
    assert (train, test) == (["train/a/2.jpg", "train/b/3.jpg"], ["train/a/1.jpg"])
    assert "data: data.images = 'train': left out 1 files that are test images" in log.lines


@pytest.mark.parametrize("said", [{"images": "train"}, {"table": "train.csv", "images": "train/{id}"}])
def test_one_file_on_both_sides_is_refused(raw, log, said):
    (raw / "train.csv").write_text("id,label\na/1.jpg,a\nb/3.jpg,b\n")
    targets = FOLDER if len(said) == 1 else [Target(name="label")]
    with pytest.raises(RequestError, match=r"files are training and test images at once, for example train/a/1.jpg"):
        sides(raw, log, targets, test="train", **said)


def test_a_linked_file_is_the_same_file_and_a_hard_link_a_copy(raw, log):
    (raw / "test" / "1.jpg").symlink_to(raw / "train" / "a" / "1.jpg")
    os.link(raw / "train" / "a" / "2.jpg", raw / "test" / "2.jpg")
    with pytest.raises(RequestError, match=r"1 files are training and test images at once, for example train/a/1.jpg"):
        sides(raw, log, images="train", test="test")
    (raw / "test" / "1.jpg").unlink()
    assert len(sides(raw, log, images="train", test="test")[1]) == 3


# The folder that is the label


def test_the_level_of_the_folder_may_be_said(raw, log):
    write(raw / "deep" / "cat" / "young" / "1.jpg")
    write(raw / "deep" / "dog" / "old" / "far" / "2.jpg")

    def labels(**said) -> list[str]:
        targets = [Target(name="label", **said)]
        return build_manifest(raw, ImageData(images="deep"), targets, None, log)["label"].tolist()

    assert labels(folder=1) == ["cat", "dog"]
    assert labels(folder=2) == ["young", "old"]
    assert labels(path_regex=r"deep/.*/([^/]+)/[^/]+$") == ["young", "far"]
    assert log.lines == []
    assert labels(folder=True) == ["young", "far"]
    assert "in 2 to 3 folders, and folder = true is the innermost; folder = 1 is the outermost" in log.warnings[0]
    with pytest.raises(RequestError, match="folder = 3, but 1 images lie in fewer folders below 'deep': deep/cat"):
        labels(folder=3)
    with pytest.raises(RequestError, match=r"path_regex 'x/\(\)' does not match 2 of 2 paths, for example deep/cat"):
        labels(path_regex="x/()")


def test_a_path_begins_below_the_raw_folder(raw):
    for name in ("Cover/1.jpg", "Hidden/1.jpg"):
        write(raw / "all" / name)
    by_path = Target(name="label", path_regex="^(Cover|Hidden)/")
    built = build_manifest(raw / "all", ImageData(images="."), [by_path], None)
    assert built["label"].tolist() == ["Cover", "Hidden"]


def test_the_level_counts_from_the_fixed_part_of_a_pattern(raw):
    (raw / "t.csv").write_text("id,side\n1,a\n3,b\n")
    said = ImageData(table="t.csv", images="train/{side}/{id}.jpg")
    assert build_manifest(raw, said, [Target(name="label", folder=1)], None)["label"].tolist() == ["a", "b"]


def test_another_level_is_another_meaning(tiny, log):
    overrides = ["targets=[{name='disease',folder=%s}]", "submission.columns={label='disease'}"]
    first = [overrides[0] % "true", overrides[1]]
    assert data(tiny.load(*first), tiny.workspace, log)
    assert not data(tiny.load(*first), tiny.workspace, log)
    assert data(tiny.load(overrides[0] % "1", overrides[1]), tiny.workspace, log)


# Classes


def test_data_tells_the_classes(tiny, log):
    assert data(tiny.load(), tiny.workspace, log)
    assert log.lines[-3:-1] == [
        "data: 'disease' has 3 classes: blast 8, hispa 8, normal 8",
        "data: 'variety' has 2 classes: A 12, B 12",
    ]
