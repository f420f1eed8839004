"""Looking at a download piece by piece: what cells are, how rows name files, sizes, and lines of a file."""

import tomllib
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pipeline.looking.files import Files
from pipeline.looking.forms import classes_in
from pipeline.looking.groups import features_in, groups_in
from pipeline.looking.lines import Line, Part, file_text, guesses_in, toml
from pipeline.looking.packed import unpack_all
from pipeline.looking.patterns import patterns_of
from pipeline.looking.pictures import Pictures, pictures_in, sizes_for
from pipeline.looking.tables import Table, read_tables, sample_of
from pipeline.looking.values import looks_listed, separator_in, values_of
from tests.shapes.drawing import Drawing

ROWS = [f"a{k:02}" for k in range(12)]


def kind_of(column: str, cells: list[object], asked: list[object] | None = None) -> tuple[str, bool]:
    text = pd.Series([str(cell) for cell in cells])
    found = values_of(column, text, None if asked is None else pd.Series([str(cell) for cell in asked]))
    return found.kind, found.sure


@pytest.mark.parametrize(
    ("column", "cells", "asked", "kind", "sure"),
    [
        ("label", [0, 1] * 20, None, "binary", True),
        ("label", ["0.0", "1.0"] * 20, None, "binary", True),
        ("label", ["ant", "bee"] * 20, None, "binary", True),
        ("label", [0, 1, 2] * 20, None, "category", True),
        ("age", [20, 30, 40] * 20, None, "category", False),
        ("hotel_id", range(400, 460), ["36363 53586"], "category", True),
        ("categoryId", list(range(400, 460)) * 2, None, "category", True),
        ("count", range(60), None, "regression", True),
        ("q", range(60), None, "regression", False),
        ("weight", [1.5, 2.5, 1.0] * 9, None, "regression", True),
        ("stars", [1, 2, 3] * 9, [2.2, 3.1], "regression", True),
        ("breed", [f"breed {k}" for k in range(9)] * 3, None, "category", True),
        ("text", [f"some words {k}" for k in range(3000)], None, "category", False),
    ],
)
def test_what_the_cells_of_a_label_are(column, cells, asked, kind, sure):
    assert kind_of(column, list(cells), asked) == (kind, sure)


def test_grades_are_whole_numbers_without_gaps_in_a_column_of_such_a_name():
    def graded(column: str, values: list[int]) -> bool:
        return values_of(column, pd.Series([str(value) for value in values * 5])).graded

    assert graded("diagnosis", [0, 1, 2, 3, 4])
    assert not graded("diagnosis", [0, 1, 4])
    assert not graded("label", [0, 1, 2, 3, 4])


@pytest.mark.parametrize(
    ("cells", "asked", "separator"),
    [
        (["a b", "b", "c a b", "c"], [], " "),
        (["1 2", "30"], [], " "),
        (["red fox", "grey fox", "wolf"], [], None),
        (["red fox", "red kite", "black kite", "black fox"], ["red fox"], None),
        (["x|y z", "y z"], [], "|"),
        (["A,B", "C, A"], ["A"], ","),
        (["Smith, John", "Miller, Ann"], [], None),
    ],
)
def test_what_stands_between_tags(cells, asked, separator):
    assert separator_in(Counter(cells), asked) == separator


@pytest.mark.parametrize(
    ("cells", "classes", "ranked"),
    [
        (["w1 w2 w3 w4 w5"] * 3, ["w1", "w9"], 5),
        (["w1 w2", "w2 w1"], ["w1", "w2"], 2),
        (["u1 u2"], ["w1", "w2"], 0),  # two words of no class
        (["Sugar beet"], ["Sugar beet", "Maize"], 0),
        (["great red fox"], ["red fox", "wolf"], 0),
        (["w1 w2", "w1"], ["w1", "w2"], 0),
    ],
)
def test_how_many_classes_a_cell_ranks(cells, classes, ranked):
    assert looks_listed(pd.Series(cells), classes) == ranked


def test_columns_that_are_called_as_classes():
    assert classes_in(["c0", "c1"], ["c0", "c1"]) == {"c0": "c0", "c1": "c1"}
    assert classes_in(["class_0", "class_1"], ["0", "1"]) == {"class_0": "0", "class_1": "1"}
    assert classes_in(["ant_p", "bee_p"], ["ant", "bee"]) == {"ant_p": "ant", "bee_p": "bee"}
    assert classes_in(["ant", "x", "y"], ["ant", "bee", "cat"]) is None


def table_in(raw: Path, names: list[str], columns: dict[str, list[str]]) -> tuple[Files, Table]:
    for name in names:
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).touch()
    return Files.of(raw), Table("train.csv", pd.DataFrame(columns))


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        ([f"train/{row}.jpg" for row in ROWS], "train/{id}.jpg"),
        ([f"train/{row}.{'jpg' if k % 2 else 'png'}" for k, row in enumerate(ROWS)], "train/{id}.*"),
        ([f"train/{'xy'[k % 2]}/{row}.jpg" for k, row in enumerate(ROWS)], "train/{label}/{id}.jpg"),
        ([f"img_{row}.png" for row in ROWS], "img_{id}.png"),
        ([f"{side}/{row}.png" for row in ROWS for side in ("test", "train")], "train/{id}.png"),
        ([f"{side}/{row}.png" for row in ROWS for side in ("a_masks", "photos")], "photos/{id}.png"),
        ([f"{form}/{row}.{form}" for row in ROWS for form in ("jpg", "tif")], "jpg/{id}.jpg"),
        ([f"train/{row[2]}/{row}.npy.png" for row in ROWS], "train/{id[2]}/{id}.npy.png"),
        ([f"jpg{'-more' * (k % 2)}/{row}.jpg" for k, row in enumerate(ROWS)], "jpg*/{id}.jpg"),
        ([f"a{'-b' * (k % 2)}/a{'-b' * (k % 2)}/{row}.jpg" for k, row in enumerate(ROWS)], "*/*/{id}.jpg"),
        ([f"jpg{'-b' * (k % 2)}.tar/jpg{'b' * (k % 2)}/{row}.jpg" for k, row in enumerate(ROWS)], "jpg*/jpg*/{id}.jpg"),
        ([f"train/{k % 3}0/{k % 2}1/{row}.jpg" for k, row in enumerate(ROWS)], "train/*/*/{id}.jpg"),
        ([f"both/{row}.{form}" for row in ROWS for form in ("jpg", "tif")], "both/{id}.jpg"),
    ],
)
def test_how_ids_name_files(names, pattern, tmp_path):
    columns = {"id": ROWS, "label": [*"xy" * 6], "k": [str(k) for k in range(12)]}
    files, table = table_in(tmp_path, names, columns)
    (found, *others) = patterns_of(table, files, test=False)
    assert (found.column, found.text, others) == ("id", pattern, [])


def test_cells_with_folders_or_endings(tmp_path):
    names = [f"data/train/{row}.jpg" for row in ROWS]
    files, table = table_in(tmp_path, names, {"file": [f"train/{row}.jpg" for row in ROWS], "id": ROWS})
    assert {p.column: p.text for p in patterns_of(table, files, test=False)} == {
        "file": "data/{file}",
        "id": "data/train/{id}.jpg",
    }


def test_a_column_of_classes_that_are_called_as_some_files_names_none(tmp_path):
    columns = {"id": [str(k) for k in range(40)], "label": [str(k % 5) for k in range(40)]}
    files, table = table_in(tmp_path, [f"train/{k}.png" for k in range(40)], columns)
    assert [pattern.column for pattern in patterns_of(table, files, test=False)] == ["id"]


def test_tables_that_cannot_be_read_are_told_and_a_file_an_image_is_no_table(tmp_path):
    (tmp_path / "boxes").mkdir()
    for k in range(40):
        (tmp_path / "boxes" / f"{k}.txt").write_text("0 0.5 0.5\n")
    (tmp_path / "train.csv").write_text("a,b\n1,2\n")
    (tmp_path / "broken.csv").write_text("a,b\n1,2,3\n")
    (tmp_path / "README.txt").write_text("words, and more\n")
    (tmp_path / "sampleSubmission.csv").write_text("id,label\n1,0\n")
    tables, refused = read_tables(Files.of(tmp_path))
    assert [table.name for table in tables] == ["sampleSubmission.csv", "train.csv"]
    assert len(refused) == 1
    assert refused[0].startswith("broken.csv: it is not a readable CSV (line 2 has 3 cells")
    found = sample_of(Files.of(tmp_path), tables)
    assert found is not None
    assert found.name == "sampleSubmission.csv"


def test_groups_are_columns_of_such_names_whose_values_repeat_and_features_what_both_tables_have():
    count = 40
    columns = {
        "id": [str(k) for k in range(count)],
        "patient_id": [f"p{k // 2}" for k in range(count)],
        "study_id": [f"s{k}" for k in range(count)],  # each its own
        "subject_focus": [str(k % 2) for k in range(count)],  # yes or no
        "camera": [f"c{k % 8}" for k in range(count)],
        "location": ["here"] * 30 + [f"l{k}" for k in range(10)],  # one is too large
        "sex": ["f", "m"] * 20,
        "label": ["x", "y"] * 20,
        **{f"margin{k}": [str(k * n) for n in range(count)] for k in (1, 2, 3)},
    }
    train = Table("train.csv", pd.DataFrame(columns))
    found = groups_in(train, "id", {"label"}, [])
    assert [(group.column, group.groups, group.strong) for group in found] == [
        ("patient_id", 20, True), ("camera", 8, False), ("location", 11, False),
    ]  # fmt: skip
    test = Table("test.csv", pd.DataFrame(columns).drop(columns="label"))
    assert features_in(train, test, {"id", "label", "camera"}) == ["subject_focus", "location", "sex", "margin*"]
    assert features_in(train, None, set()) == []


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("id,label\na,1\n", True),
        ("a.jpg,cat\nb.jpg,dog\n", False),
        ("1\t2\t3.5\n4\t5\t1.0\n", False),
        (",0,1\na,1,2\n", True),  # as pandas writes numbered columns
        ("x,2019,2020,2021\n1,2,3,4\n", False),
    ],
)
def test_whether_a_first_row_names_columns(text, header, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    ((table,), _) = read_tables(Files.of(tmp_path))
    assert table.header == header
    assert len(table.rows) == text.count("\n") - header


def test_archives_are_unpacked_in_one_another_and_packed_tables_stay(tmp_path, log):
    d = Drawing(tmp_path / "raw")
    d.images("inner/pictures/{}.png", range(3), range(3))
    d.pack_flat("inner/pictures", "inner/pictures.zip")
    d.pack("inner", "inner.zip")
    d.table("train.csv.zip", {"id": range(3)})
    (d.raw / "broken.zip").write_bytes(b"no archive")
    refused = unpack_all(d.raw, log)
    assert sorted(Files.of(d.raw).images) == [f"inner/pictures/{k}.png" for k in range(3)]
    assert not (d.raw / "train.csv").exists()
    assert len(refused) == 1
    assert "broken.zip" in refused[0]


@pytest.mark.parametrize(
    ("height", "width", "alike", "size", "larger"),
    [
        (640, 480, True, [256, 192], [294, 221]),
        (32, 32, True, 32, 32),
        (96, 96, True, 96, 96),
        (600, 600, True, 224, 258),
        (500, 333, False, 224, 258),
        (4000, 6000, True, [192, 288], [221, 331]),
    ],
)
def test_sizes_follow_those_of_the_images(height, width, alike, size, larger):
    assert sizes_for(Pictures(height, width, alike, 20)) == (size, larger)


def test_a_few_images_are_opened_and_what_is_none_is_passed_over(tmp_path):
    for k in range(4):
        Image.new("RGB", (80, 60 if k else 61)).save(tmp_path / f"{k}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = pictures_in(tmp_path, ["broken.png", *[f"{k}.png" for k in range(4)]])
    assert found is not None
    assert (found.height, found.width, found.alike, found.opened) == (60, 80, True, 4)
    assert pictures_in(tmp_path, ["broken.png"]) is None


@pytest.mark.parametrize(
    "value",
    [
        "plain", "it's \"said\"", r"^(.+)\.\d+$", "a\\'b", "caf\u00e9\u0007", 3, 0.25, True, [1, 2],
        {"a b": "c", "d": 1}, [f"column {k}" for k in range(60)], {"name": "map_at_k", "k": 5},
    ],
)  # fmt: skip
def test_values_are_written_as_toml_reads_them(value):
    assert tomllib.loads(f"x = {toml(value)}")["x"] == value


def test_lines_are_marked_where_they_are_guesses_and_long_ones_below_their_comment():
    part = Part("[data]", note="a note")
    part.add("table", "train.csv", "24 rows")
    part.add("images", "x" * 90, "a long comment beside a long value", guess=True)
    part.add("test", "test", "or this", off=True)
    text = file_text(["head"], [part, Part("[empty]")])
    assert text.splitlines() == [
        "# head",
        "# a note",
        "[data]",
        'table  = "train.csv"                     # 24 rows',
        "# ? a long comment beside a long value",
        f'images = "{"x" * 90}"',
        '# test = "test"                          # or this',
    ]
    assert guesses_in([part]) == [f'data.images = "{"x" * 90}": a long comment beside a long value']
    assert tomllib.loads(text) == {"data": {"table": "train.csv", "images": "x" * 90}}


def test_a_line_by_itself():
    assert Line("a", 1).text(3) == "a   = 1"


def test_a_possibility_of_several_lines_is_a_comment_in_all_of_them():
    part = Part("[data]")
    part.add("features", [f"column {k}" for k in range(30)], "or these", off=True)
    text = file_text([], [part])
    assert tomllib.loads(text) == {"data": {}}
    assert text.count("# ") == len(text.splitlines()) - 2
