"""Tables as COCO, iNaturalist, iWildCam and Herbarium write them: lists of images, annotations and categories."""

import json

import pandas as pd
import pytest

from pipeline.data.tables import lines_of, read_table
from pipeline.errors import RequestError
from pipeline.targets.said import Target
from pipeline.vision.data_config import ImageData
from pipeline.vision.manifest import build_manifest

IMAGES = [
    {"id": 7, "file_name": "a.jpg", "width": 40, "location": None},
    {"id": 5, "file_name": "b.jpg", "width": 41, "location": "x"},
    {"id": 6, "file_name": "c.jpg", "width": 42, "location": "y"},
]
ANNOTATIONS = [
    {"id": 100, "image_id": 5, "category_id": 1, "count": 2, "bbox": [1.5, 2, 3, 4]},
    {"id": 101, "image_id": 7, "category_id": 0, "count": 1, "bbox": []},
    {"id": 102, "image_id": 6, "category_id": 1, "count": 1, "bbox": []},
]
CATEGORIES = [{"id": 0, "name": "empty", "supercategory": "none"}, {"id": 1, "name": "deer, red", "supercategory": "d"}]


@pytest.fixture
def read(tmp_path):
    def read(indent=None, encoding="utf-8", **lists) -> pd.DataFrame:
        whole = {"info": {"year": 2020}, "licenses": [{"id": 1, "url": ""}], **lists}
        path = tmp_path / "train.json"
        path.write_text(json.dumps(whole, indent=indent, ensure_ascii=False), encoding=encoding)
        return read_table(path, "data.table")

    return read


@pytest.mark.parametrize("indent", [None, 1])
def test_a_row_is_an_image_with_its_annotation_and_category(read, indent):
    table = read(indent, images=IMAGES, annotations=ANNOTATIONS, categories=CATEGORIES)
    assert table.to_dict("list") == {
        "id": ["7", "5", "6"],
        "file_name": ["a.jpg", "b.jpg", "c.jpg"],
        "width": ["40", "41", "42"],
        "location": ["", "x", "y"],
        "annotation_id": ["101", "100", "102"],
        "category_id": ["0", "1", "1"],
        "count": ["1", "2", "1"],
        "category_name": ["empty", "deer, red", "deer, red"],
        "category_supercategory": ["none", "d", "d"],
    }


def test_images_alone_are_a_test_table(read):
    table = read(images=IMAGES, categories=CATEGORIES)
    assert list(table.columns) == ["id", "file_name", "width", "location"]
    assert table["id"].tolist() == ["7", "5", "6"]


def test_several_annotations_of_an_image_are_a_row_for_each_category(read):
    more = [{"id": 103, "image_id": 7, "category_id": 1}, {"id": 104, "image_id": 7, "category_id": 0}]
    table = read(images=IMAGES, annotations=[*ANNOTATIONS[:2], *more], categories=CATEGORIES)
    assert "count" not in table, "of the part that a box holds"
    assert list(zip(table["id"], table["category_id"], table["category_name"], strict=True)) == [
        ("7", "0", "empty"), ("7", "1", "deer, red"), ("5", "1", "deer, red"), ("6", "", "")
    ]  # fmt: skip


def test_ids_may_be_called_by_what_they_are_of_and_lists_by_any_plural(read):
    """Herbarium 2022: image_id and category_id everywhere, genera by genus_id."""
    images = [{"image_id": "00_1", "file_name": "1.jpg"}, {"image_id": "00_2", "file_name": "2.jpg"}]
    annotations = [
        {"image_id": "00_1", "category_id": 3, "genus_id": 9, "institution_id": 1},
        {"image_id": "00_2", "category_id": 4, "genus_id": 9, "institution_id": 2},
    ]
    lists = {
        "categories": [{"category_id": n, "scientificName": f"Abies {n}"} for n in (3, 4)],
        "genera": [{"genus_id": 9, "genus": "Abies"}],
        "institutions": [{"institution_id": 1, "collectionCode": "NY"}, {"institution_id": 2, "collectionCode": "Kew"}],
        "distances": [{"genus_id_x": 9, "genus_id_y": 9, "distance": 0.0}],
    }
    table = read(images=images, annotations=annotations, **lists)
    assert table["category_scientificName"].tolist() == ["Abies 3", "Abies 4"]
    assert table["genus_genus"].tolist() == ["Abies", "Abies"]
    assert table["institution_collectionCode"].tolist() == ["NY", "Kew"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"annotations": [{"id": 1, "image_id": 99, "category_id": 0}]}, "images that it does not list, such as 99"),
        ({"annotations": [{"id": 1, "image_id": 5, "category_id": 9}]}, "category_id that it does not list, such as 9"),
        ({"annotations": [{"id": 1, "category_id": 9}]}, "its annotations have no 'image_id', but id, category_id"),
        ({"images": [*IMAGES, IMAGES[0]]}, "its images have the id '7' more than once"),
        ({"images": [{"file_name": "a.jpg"}]}, "its images have neither 'id' nor 'image_id', but file_name"),
        ({"annotations": [3]}, "entry 1 of its annotations is no JSON object"),
    ],
)
def test_lists_that_do_not_fit_are_refused(read, change, words):
    with pytest.raises(RequestError, match=words):
        read(**{"images": IMAGES, "annotations": ANNOTATIONS, "categories": CATEGORIES, **change})


def test_records_that_hold_a_key_called_images_are_no_coco(tmp_path):
    path = tmp_path / "t.json"
    rows = [{"id": n, "images": [{"file_name": f"{n}.jpg", "image_id": n}], "label": "x"} for n in range(3)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert list(read_table(path, "t").columns) == ["id", "images", "label"]
    path.write_text(json.dumps(rows))
    assert list(read_table(path, "t").columns) == ["id", "images", "label"]


@pytest.fixture
def raw(tmp_path):
    for name in ("train/a.jpg", "train/b.jpg", "train/c.jpg", "test/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "test.json").write_text(json.dumps({"images": [{"id": 9, "file_name": "x.jpg"}], "licenses": [{}]}))
    (tmp_path / "sample_submission.csv").write_text("Id,Category\n9,0\n")
    return tmp_path


def built(raw, target: Target, annotations) -> pd.DataFrame:
    whole = {"images": IMAGES, "annotations": annotations, "categories": CATEGORIES}
    (raw / "train.json").write_text(json.dumps(whole))
    said = ImageData(table="train.json", images="train/{file_name}", test="test/{file_name}", test_table="test.json")
    return build_manifest(raw, said, [target], raw / "sample_submission.csv")


def test_a_competition_is_read_from_them(raw):
    found = built(raw, Target(name="Category", column="category_name"), ANNOTATIONS)
    assert found["id"].tolist() == ["5", "6", "7", "9"]
    assert found["path"].tolist() == ["train/b.jpg", "train/c.jpg", "train/a.jpg", "test/x.jpg"]
    assert found["Category"].tolist()[:3] == ["deer, red", "deer, red", "empty"]


def test_several_categories_of_an_image_are_refused_or_tags(raw):
    more = [*ANNOTATIONS, {"id": 103, "image_id": 7, "category_id": 1}]
    with pytest.raises(
        RequestError, match=r"repeats 1 ids \(7\); every image needs its own, and lines 1 and 2 both"
    ) as e:
        built(raw, Target(name="c", column="category_id"), more)
    assert "kind = 'multilabel'" in str(e.value)
    found = built(raw, Target(name="c", column="category_id", kind="multilabel"), more)
    assert found["c"].tolist()[:3] == ["1", "1", "0 1"]
    assert lines_of(raw / "train.json", [0, 1]) == [1, 2]
