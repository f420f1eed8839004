"""The manifest: labels three ways, ids and files by pattern or by walking, and all that can contradict."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import competitions
from pipeline.data.labels import decode, priors, specs_of, truth_of
from pipeline.data.tables import read_table
from pipeline.errors import RequestError
from pipeline.predictions import TargetSpec
from pipeline.targets.said import Target
from pipeline.vision.data_config import ImageData
from pipeline.vision.manifest import build_manifest, find_test_rows, walk_images

LABEL = [Target(name="label")]


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Path]:
    """Write files below a raw folder: their content, or a letter where it does not matter."""

    def write(*names: str, **tables: str) -> Path:
        raw = tmp_path / "raw"
        for name in names:
            (raw / name).parent.mkdir(parents=True, exist_ok=True)
            (raw / name).write_text("x")
        for name, text in tables.items():
            raw.mkdir(exist_ok=True)
            (raw / f"{name}.csv").write_text(text, encoding="utf-8")
        return raw

    return write


def refused(raw: Path, data: ImageData, targets=LABEL, sample: Path | None = None) -> str:
    with pytest.raises(RequestError) as caught:
        build_manifest(raw, data, targets, sample)
    message = str(caught.value)
    assert len(message.splitlines()) <= 2
    return message


def column(manifest: pd.DataFrame, name: str) -> list:
    return manifest[name].tolist()


# Labels, three ways and mixed


def test_table_regex_and_folder_are_mixed_freely(place):
    raw = place("im/cat/B_2.jpg", "im/dog/a_1.jpg", train="id,age\nB_2.jpg,3\na_1.jpg,7.5\n")
    (raw / "train.csv").write_text("file,kind,age\nB_2.jpg,cat,3\na_1.jpg,dog,7.5\n")
    targets = [
        Target(name="years", column="age", kind="regression"),
        Target(name="letter", regex=r"^(.+)_\d"),
        Target(name="animal", folder=True),
        Target(name="kind"),  # the column of its own name
    ]
    manifest = build_manifest(raw, ImageData(table="train.csv", id="file", images="im/{kind}/{file}"), targets, None)
    assert list(manifest.columns) == ["id", "split", "path", "bytes", "years", "letter", "animal", "kind"]
    assert manifest.drop(columns="bytes").to_numpy().tolist() == [
        ["B_2.jpg", "train", "im/cat/B_2.jpg", 3.0, "B", "cat", "cat"],
        ["a_1.jpg", "train", "im/dog/a_1.jpg", 7.5, "a", "dog", "dog"],
    ]
    assert column(manifest, "bytes") == [1, 1]


def test_targets_may_swap_the_names_of_columns(place):
    raw = place("im/1", train="id,a,b,path\n1,A,B,P\n")
    swapped = [Target(name="a", column="b"), Target(name="b", column="a"), Target(name="c", column="path")]
    manifest = build_manifest(raw, ImageData(table="train.csv", images="im"), swapped, None)
    assert manifest[["a", "b", "c"]].to_numpy().tolist() == [["B", "A", "P"]]


def test_rows_are_sorted_by_id_whatever_the_tables_order(place):
    raw = place("im/b", "im/a", "im/C", "t/z", train="id,label\nb,B\nC,CC\na,A\n")
    (raw / "t" / "y.jpg").write_text("x")
    manifest = build_manifest(raw, ImageData(table="train.csv", images="im", test="t"), LABEL, None)
    assert column(manifest, "id") == ["C", "a", "b", "y.jpg"]
    assert column(manifest, "label")[:3] == ["CC", "A", "B"]
    assert column(manifest, "split") == ["train"] * 3 + ["test"]
    assert manifest["label"].isna().tolist() == [False] * 3 + [True]


def test_named_groups_as_in_pets(place):
    breed, species = competitions.load("pets").targets
    raw = place("im/Abyssinian_1.jpg", "im/american_bulldog_12.jpg", "im/Maine_Coon_7.jpg")
    manifest = build_manifest(raw, ImageData(images="im"), [breed, species], None)
    assert column(manifest, "breed") == ["Abyssinian", "Maine_Coon", "american_bulldog"]
    assert column(manifest, "species") == ["cat", "cat", "dog"]


def test_a_single_group_holds_the_label_even_if_it_has_a_name(place):
    raw = place("im/cat_1.jpg", "im/dog_1.jpg")
    for regex in (r"^(\w+?)_", r"^(?P<breed>\w+?)_"):
        manifest = build_manifest(raw, ImageData(images="im"), [Target(name="label", regex=regex)], None)
        assert column(manifest, "label") == ["cat", "dog"]


def test_the_regex_sees_the_file_name_alone(place):
    raw = place("9_im/8_x/cat_1.jpg")
    target = Target(name="label", regex=r"(\d)")
    assert column(build_manifest(raw, ImageData(images="9_im"), [target], None), "label") == ["1"]


@pytest.mark.parametrize("images", ["im", "im/", "a/b", "."])
def test_the_parent_folder_is_the_label(place, images):
    raw = place(f"{images}/cat/1.jpg", f"{images}/dog/deep/2.jpg")
    manifest = build_manifest(raw, ImageData(images=images), [Target(name="label", folder=True)], None)
    assert column(manifest, "label") == ["cat", "deep"]
    assert column(manifest, "id") == ["cat/1.jpg", "dog/deep/2.jpg"]
    assert all((raw / path).is_file() for path in manifest["path"])


@pytest.mark.parametrize("images", ["im", "a/im"])
def test_images_beside_the_class_folders_are_refused(place, images):
    raw = place(f"{images}/cat/1.jpg", f"{images}/lost.jpg")
    message = refused(raw, ImageData(images=images), [Target(name="label", folder=True)])
    assert f"outside of class folders: {images}/lost.jpg" in message


def test_the_folder_of_a_flat_pattern_is_no_label(place):
    raw = place("im/1.jpg", train="id\n1.jpg\n")
    for images in ("im", "im/{id}"):
        message = refused(raw, ImageData(table="train.csv", images=images), [Target(name="label", folder=True)])
        assert "outside of class folders" in message


ODD_LABELS = ["NA", "None", "nan", "null", "007", "7", "1.0", "1", "True", "-", "N/A", "Ähre", "a b"]


def test_labels_stay_the_text_that_they_are(place):
    rows = "".join(f"{number:02},{label}\n" for number, label in enumerate(ODD_LABELS))
    raw = place(*[f"im/{number:02}" for number in range(len(ODD_LABELS))], train=f"id,label\n{rows}")
    manifest = build_manifest(raw, ImageData(table="train.csv", images="im"), LABEL, None)
    assert column(manifest, "label") == ODD_LABELS
    assert column(manifest, "id") == [f"{number:02}" for number in range(len(ODD_LABELS))]
    path = raw / "m.parquet"
    manifest.to_parquet(path)
    assert column(pd.read_parquet(path), "label") == ODD_LABELS


def test_labels_lose_the_spaces_around_them(place):
    raw = place("im/1", "im/2", train='id,label\n1," cat"\n2,cat \n')
    assert column(build_manifest(raw, ImageData(table="train.csv", images="im"), LABEL, None), "label") == ["cat"] * 2


def test_a_byte_order_mark_is_no_part_of_the_first_column(place):
    raw = place("im/1", train="\ufeffid,label\n1,cat\n")
    assert column(build_manifest(raw, ImageData(table="train.csv", images="im"), LABEL, None), "id") == ["1"]


def test_a_multilabel_row_may_have_no_label(place):
    raw = place("im/1", "im/2", "im/3", train="id,tags\n1,rust scab\n2,\n3,rust\n")
    target = Target(name="tags", kind="multilabel")
    manifest = build_manifest(raw, ImageData(table="train.csv", images="im"), [target], None)
    (spec,) = specs_of([target], manifest)
    assert spec.vocab == ("rust", "scab")
    assert truth_of(spec, manifest["tags"]).tolist() == [[1, 1], [0, 0], [1, 0]]
    assert priors(spec, manifest["tags"]) == pytest.approx([2 / 3, 1 / 3])


# Where images are


def test_a_pattern_is_filled_from_each_row(place):
    raw = place("im/A/x-1.jpg", "im/B/x-2.jpg", train="nr,site,label\n1,A,u\n2,B,v\n")
    manifest = build_manifest(raw, ImageData(table="train.csv", id="nr", images="im/{site}/x-{nr}.jpg"), LABEL, None)
    assert column(manifest, "path") == ["im/A/x-1.jpg", "im/B/x-2.jpg"]
    assert column(manifest, "id") == ["1", "2"]


def test_a_test_pattern_takes_its_ids_from_the_sample(place):
    raw = place("im/1", "t/b.png", "t/a.png", "t/not-asked.png", train="id,label\n1,u\n", sample="id,label\nb,\na,\n")
    data = ImageData(table="train.csv", images="im", test="t/{id}.png")
    manifest = build_manifest(raw, data, LABEL, raw / "sample.csv")
    assert column(manifest, "id") == ["1", "a", "b"]
    assert column(manifest, "path")[1:] == ["t/a.png", "t/b.png"]
    assert "sample submission, which is missing" in refused(raw, data, sample=raw / "none.csv")
    assert "sample submission, which is missing" in refused(raw, data)
    (raw / "sample.csv").write_text("id,label\na,\na,\n")
    assert "sample.csv repeats 1 ids (a)" in refused(raw, data, sample=raw / "sample.csv")


def test_test_images_that_the_file_does_not_name_are_refused(place):
    with pytest.raises(RequestError, match="the file names no test images"):
        find_test_rows(place("im/1.jpg"), ImageData(images="im"), None)


def test_walking_is_sorted_and_passes_over_what_is_no_image(place):
    raw = place("b.jpg", "B.JPEG", "a/z.png", "a/.hidden.jpg", ".git/x.jpg", "notes.txt", "x.mat", "a-1.webp")
    assert walk_images(raw) == ["B.JPEG", "a-1.webp", "a/z.png", "b.jpg"]


def test_walking_enters_linked_folders(place, tmp_path):
    raw = place("cat/1.jpg", "dog/2.jpg")
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("cat", "dog"):
        (linked / name).symlink_to(raw / name)
    assert walk_images(linked) == ["cat/1.jpg", "dog/2.jpg"]


# Contradictions


def test_a_missing_table_names_its_neighbours(place):
    raw = place("im/1", Train="id,label\n1,cat\n")
    message = refused(raw, ImageData(table="train.csv", images="im"))
    assert "data.table: no file at" in message
    assert "did you mean 'Train.csv'" in message


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00a", b'id,label\n"1,cat\n'])
def test_a_table_that_is_no_csv_is_refused(place, content):
    raw = place("im/1")
    (raw / "train.csv").write_bytes(content)
    assert "train.csv is not a readable CSV" in refused(raw, ImageData(table="train.csv", images="im"))


@pytest.mark.parametrize(
    ("data", "targets", "words"),
    [
        ({"id": "image_id"}, LABEL, ["data.id", "train.csv has no column 'image_id'", "it has id, label"]),
        ({"images": "im/{lable}/{id}"}, LABEL, ["data.images", "'lable'", "did you mean 'label'"]),
        ({"images": "im/{}"}, LABEL, ["data.images", "no column ''"]),
        ({}, [Target(name="x", column="Label")], ["targets 'x'", "'Label'", "did you mean 'label'"]),
        ({"images": "im/{id"}, LABEL, ["data.images", "is not a pattern"]),
        (
            {"images": "im/{id:05d}"},
            LABEL,
            ["data.images = 'im/{id:05d}'", "cannot be filled from train.csv"],
        ),
        ({"images": "images"}, LABEL, ["data.images: 1 of 1 image files", "images/1", "no folder 'images'"]),
        ({"images": "imm"}, LABEL, ["no folder 'imm'", "did you mean 'im'"]),
        ({"images": "im/{id}.jpg"}, LABEL, ["data.images: 1 of 1 image files are missing", "im/1.jpg"]),
        ({"test": "tests"}, LABEL, ["data.test: no folder 'tests'", "holds im, train.csv"]),
        ({"test": "im"}, LABEL, ["data.test: no images in", ".jpeg"]),
        ({"test": "t/{id}"}, LABEL, ["data.test", "sample submission"]),
    ],
)
def test_what_the_raw_folder_contradicts_is_named(place, data, targets, words):
    raw = place("im/1", train="id,label\n1,cat\n")
    message = refused(raw, ImageData(**{"table": "train.csv", "images": "im", **data}), targets)
    assert all(word in message for word in words), message


def test_without_a_table_the_image_folder_must_be_there(place):
    raw = place("images/cat/1.jpg", "empty/x.txt")
    folder = [Target(name="label", folder=True)]
    assert "did you mean 'images'" in refused(raw, ImageData(images="image"), folder)
    assert "data.images: no images in" in refused(raw, ImageData(images="empty"), folder)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("id,label\n1,a\n2,b\n1,b\n", ["data.id", "'id' of train.csv repeats 1 ids (1)", "lines 2 and 4"]),
        ("id,label\n1,a\n,b\n", ["data.id", "'id' of train.csv is empty in 1 rows"]),
        ("id,label\n1,a\n2,\n", ["'label': 1 training rows have no label, for example 2"]),
        ("id,label\n1,a\n2,  \n", ["'label': 1 training rows have no label"]),
    ],
)
def test_bad_rows_are_shown(place, table, words):
    raw = place("im/1", "im/2", train=table)
    message = refused(raw, ImageData(table="train.csv", images="im"))
    assert all(word in message for word in words), message


def test_names_that_the_regex_does_not_match_are_shown(place):
    raw = place("im/cat_1.jpg", "im/17.jpg", "im/18.jpg")
    message = refused(raw, ImageData(images="im"), [Target(name="label", regex=r"^([a-z]+)_")])
    assert "does not match 2 of 3 file names, for example 17.jpg, 18.jpg" in message


def test_a_group_that_matched_nothing_is_no_label(place):
    raw = place("im/_1.jpg", "im/a_1.jpg")
    message = refused(raw, ImageData(images="im"), [Target(name="label", regex=r"^([a-z]*)_")])
    assert "1 training rows have no label, for example _1.jpg" in message


@pytest.mark.parametrize("label", ["many", "1,5", "inf", "nan", "1e999"])
def test_a_regression_takes_numbers_only(place, label):
    raw = place("im/1", "im/2", train=f'id,label\n1,2.5\n2,"{label}"\n')
    message = refused(raw, ImageData(table="train.csv", images="im"), [Target(name="label", kind="regression")])
    assert f"'label' is a regression, but 1 labels are no numbers: {label} (ids 2)" in message


@pytest.mark.parametrize("name", ["../outside", "../../raw/../outside"])
def test_paths_do_not_lead_out_of_the_raw_folder(place, name):
    raw = place("im/1", train=f"id,label\n1,a\n{name},b\n")
    (raw / "im" / name).resolve().write_text("x")
    message = refused(raw, ImageData(table="train.csv", images="im"))
    assert f"leads out of {raw}: im/{name}" in message


def test_absolute_paths_lead_out_too(place, tmp_path):
    outside = tmp_path / "outside.jpg"
    outside.write_text("x")
    raw = place("im/1", train=f"id,label\n{outside},b\n")
    assert "leads out of" in refused(raw, ImageData(table="train.csv", images="{id}"))


def test_images_above_the_raw_folder_are_not_walked_into(place, tmp_path):
    raw = place("im/1")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.jpg").write_text("x")
    assert "leads out of" in refused(raw, ImageData(images="../other"), [Target(name="label", regex="(x)")])


def test_read_table_takes_nothing_for_missing_but_empty_cells(place):
    raw = place(t="a,b\nNA,\nnull,0\n")
    assert read_table(raw / "t.csv", "t").to_numpy().tolist() == [["NA", ""], ["null", "0"]]


# Classes


def frame(labels: list, splits: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"label": labels, "split": splits or ["train"] * len(labels)})


def test_numbers_come_in_numeric_order_before_words():
    (spec,) = specs_of(LABEL, frame(["10", "9", "b", "1.5", "B", "a", "9"]))
    assert spec.vocab == ("1.5", "9", "10", "B", "a", "b")


def test_words_that_python_takes_for_numbers_have_a_place_of_their_own():
    # A NaN among sort keys would leave the order to the hash seed of the process.
    (spec,) = specs_of(LABEL, frame(["nan", "2", "b", "NaN", "1", "a", "inf", "02", "-1", "-nan", "z"]))
    assert spec.vocab == ("-1", "1", "02", "2", "-nan", "NaN", "a", "b", "inf", "nan", "z")


def test_classes_come_from_the_training_rows_alone():
    (spec,) = specs_of(LABEL, frame(["a", "b", "c"], ["train", "train", "test"]))
    assert spec.vocab == ("a", "b")


def test_a_target_needs_something_to_learn():
    with pytest.raises(RequestError, match=r"'label' has 1 class \(a\); nothing to learn"):
        specs_of(LABEL, frame(["a", "a"]))
    with pytest.raises(RequestError, match="binary but has 3 classes"):
        specs_of([Target(name="label", kind="binary")], frame(["a", "b", "c"]))
    with pytest.raises(RequestError, match="nothing to learn"):
        specs_of([Target(name="label", kind="multilabel")], frame(["", ""]))


def test_labels_to_codes_and_back():
    spec = TargetSpec("t", "category", ("a", "b", "c"))
    codes = truth_of(spec, ["c", "a", "b"])
    assert codes.tolist() == [2, 0, 1]
    assert decode(spec, np.eye(3)[codes]).tolist() == ["c", "a", "b"]
    assert priors(spec, ["a", "a", "c", "a"]).tolist() == [0.75, 0, 0.25]
    with pytest.raises(RequestError, match="x, y: not a class of 't', which has a, b, c"):
        truth_of(spec, ["a", "y", "x"])


def test_numbers_and_tags_to_arrays_and_back():
    number, tags = TargetSpec("n", "regression"), TargetSpec("m", "multilabel", ("a", "b"))
    assert truth_of(number, [1, 2.5]).tolist() == [1, 2.5]
    assert priors(number, [1.0, 2.0]).tolist() == [1.5]
    assert decode(number, np.array([[1.5], [-2]])).tolist() == [1.5, -2]
    assert decode(tags, np.array([[0.9, 0.6], [0.5, 0.1]])).tolist() == ["a b", ""]
    assert math.isclose(priors(tags, ["a b", "a"])[0], 1)


def test_tags_to_truth_takes_one_look_at_each_row():
    vocab = tuple(f"t{number}" for number in range(5000))
    labels = [f"t{row} t{row + 1000}  t{row} unknown t{4999 - row}" for row in range(2000)]
    truth = truth_of(TargetSpec("m", "multilabel", vocab), labels)
    assert (truth.shape, truth.dtype) == ((2000, 5000), np.float64)
    assert np.flatnonzero(truth[7]).tolist() == [7, 1007, 4992]
    assert set(np.unique(truth)) == {0, 1}


# Tables of other forms


def test_the_table_may_be_in_any_form_and_rows_that_are_there_twice_count_once(place, log):
    raw = place("im/1", "im/2")
    (raw / "train.csv").write_text("id;label\n1;café\n2;eau\n1;café\n", encoding="latin-1")
    manifest = build_manifest(raw, ImageData(table="train.csv", images="im"), LABEL, None, log)
    assert manifest[["id", "label"]].to_numpy().tolist() == [["1", "café"], ["2", "eau"]]
    assert log.warnings == [
        "warning: data.table: 1 of 3 rows of train.csv are there already, cell for cell; each is taken once"
    ]


def test_the_separator_of_the_table_can_be_said(place):
    raw = place("im/1", train="id|x;label\n1|y;a\n")
    targets = [Target(name="label", column="label")]
    data = ImageData(table="train.csv", id="id|x", images="im", separator=";")
    (raw / "im" / "1|y").write_text("x")
    assert column(build_manifest(raw, data, targets, None), "label") == ["a"]


def test_a_row_that_does_not_fit_the_header_is_refused_with_its_line(place):
    raw = place("im/1", "im/2", train="id,label\n1,a\n2,b,c\n")
    assert "line 3 has 3 cells, its header names 2" in refused(raw, ImageData(table="train.csv", images="im"))
