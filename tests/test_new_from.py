"""`pipeline new --from`: the file written after a download loads, `data` runs on it, and it says the right targets."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline import competitions
from tests.command import Result, pipeline
from tests.drawn import write_competition
from tests.rated import write_rated
from tests.shapes.drawing import Drawing, cycle, named, one_hot


@pytest.fixture
def d(tmp_path: Path) -> Drawing:
    return Drawing(tmp_path / "raw")


def written(raw: Path) -> tuple[Any, Result, str]:
    """The file that is written after a raw folder or archive, what is said, and its text. `data` must accept it."""
    root = raw.parent / "root"
    root.mkdir()
    result = pipeline("new", "my-comp", "--from", raw, "--root", root)
    assert result.code == 0, result.err
    path = root / "my-comp.toml"
    return competitions.load(str(path)), result, path.read_text()


def manifest_of(raw: Path) -> pd.DataFrame:
    return pd.read_parquet(raw.parent / "root/data/my-comp/.pipeline/manifest.parquet")


def labels_of(raw: Path, target: str) -> dict[str, Any]:
    rows = manifest_of(raw)
    rows = rows[rows["split"] == "train"]
    return dict(zip(rows["id"], rows[target], strict=True))


def data_of(comp: Any, *keys: str) -> tuple[Any, ...]:
    return tuple(getattr(comp.data, key) for key in keys)


def by_id(d: Drawing, labels: list[Any], tests: int = 6, where: str = "{}/{{}}.jpg") -> tuple[list[str], list[str]]:
    """Pictures of train/ and test/ by ids without ending."""
    ids = d.ids(len(labels) + tests)
    train, test = ids[: len(labels)], ids[len(labels) :]
    d.images(where.format("train"), train, range(len(labels)))
    d.images(where.format("test"), test, range(tests))
    return train, test


def test_a_folder_by_class_a_sample_without_cells_and_a_second_label(tmp_path):
    write_competition(tmp_path)
    comp, result, text = written(tmp_path / "raw")
    assert data_of(comp, "table", "id", "images", "test") == (
        "train.csv", "image_id", "train_images/{colour}/{image_id}", "test_images/{image_id}",
    )  # fmt: skip
    assert [(target.name, target.kind) for target in comp.targets] == [("colour", "category")]
    assert comp.source.path == str(tmp_path / "raw")
    assert comp.submission.columns == {"colour": "colour"}
    assert "may be targets too: form\n" in text
    assert '# kaggle = "my-comp"' in text
    assert "48 training and 12 test images" in result.err
    assert (comp.models[0].size, comp.models[0].presize.method) == ((32, 32), "squish")


def test_the_file_goes_down_the_whole_road_unchanged_but_for_a_smaller_model(tmp_path):
    write_competition(tmp_path)
    written(tmp_path / "raw")
    file, root = tmp_path / "root" / "my-comp.toml", tmp_path / "root"
    small = ["arch=test_resnet", "weights=none", "epochs=1", "batch_size=8", "tta=0"]
    sets = [word for said in small for word in ("--set", f"models.0.{said}")]
    result = pipeline("run", file, "--root", root, *sets, "--set", "folds.n=2")
    assert result.code == 0, result.err
    sent = pd.read_csv(next((root / "submissions").glob("*/*.csv")))
    assert list(sent.columns) == ["image_id", "colour"]
    assert set(sent["colour"]) <= {"blue", "green", "red"}


def test_an_archive_is_unpacked_where_data_finds_it(tmp_path):
    write_competition(tmp_path)
    archive = shutil.make_archive(str(tmp_path / "download"), "zip", tmp_path / "raw")
    comp, result, _ = written(Path(archive))
    assert comp.source.path == archive
    assert result.err.count("unpacking") == 1
    again = pipeline("data", tmp_path / "root" / "my-comp.toml", "--root", tmp_path / "root")
    assert (again.code, again.err) == (0, "data: up to date\n")


def test_a_download_that_is_not_there_is_said_by_its_option(tmp_path):
    result = pipeline("new", "my-comp", "--from", tmp_path / "absent.zip", "--root", tmp_path)
    assert result.code == 2
    assert f"--from {tmp_path}/absent.zip: nothing is there; give a folder or an archive (" in result.err
    assert "source.path" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_every_guess_is_marked_and_said(tmp_path):
    write_competition(tmp_path)
    _, result, text = written(tmp_path / "raw")
    assert re.search(r'^metric = "accuracy" +# \? ', text, re.MULTILINE)
    assert 'new: a guess: metric = "accuracy": ' in result.err
    assert text.count("# ? ") == result.err.count("new: a guess: ")


def test_a_file_that_is_there_is_kept_and_nothing_is_fetched(tmp_path):
    write_competition(tmp_path)
    (tmp_path / "my-comp.toml").write_text("mine")
    result = pipeline("new", "my-comp", "--from", tmp_path / "raw", "--root", tmp_path)
    assert result.code == 2
    assert "exists already" in result.err
    assert (tmp_path / "my-comp.toml").read_text() == "mine"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"notes.csv": "a,b\n1,2\n"}, "found neither images nor a table of ratings (tables: notes.csv)"),
        ({"ratings.csv": "user,item,rating\n1,2,3,4\n5,6,7,8\n"}, "line 2 has 4 cells"),
    ],
)
def test_what_is_no_competition_is_refused_with_what_was_seen(files, said, tmp_path):
    (tmp_path / "raw").mkdir()
    for name, text in files.items():
        (tmp_path / "raw" / name).write_text(text)
    result = pipeline("new", "my-comp", "--from", tmp_path / "raw", "--root", tmp_path)
    assert result.code == 2
    assert said in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "my-comp.toml").exists()


def test_what_data_refuses_is_written_and_said(d):
    train, test = by_id(d, [0, 1] * 8)
    d.table("train.csv", {"id": [*train, "gone"], "label": [*"ab" * 8, "a"]})
    d.table("sample_submission.csv", {"id": test, "label": "a"})
    root = d.raw.parent
    result = pipeline("new", "my-comp", "--from", d.raw, "--root", root)
    assert result.code == 2
    assert "my-comp.toml, but `data` refuses what it says" in result.err
    assert "1 of 23 image files are missing" in result.err
    assert (root / "my-comp.toml").is_file()


def test_images_without_a_word_on_labels_are_refused(d):
    d.images("pictures/{}.jpg", d.ids(12), range(12))
    result = pipeline("new", "my-comp", "--from", d.raw, "--root", d.raw.parent)
    assert result.code == 2
    assert "no table that names the images" in result.err


# Where labels are


def test_the_label_is_in_the_name_and_the_sample_asks_for_a_probability(d):
    for look, animal in enumerate(("cat", "dog")):
        d.images(f"train/{animal}.{{}}.jpg", range(8), [look] * 8)
    d.images("test/{}.jpg", range(1, 7), range(6))
    d.table("sample_submission.csv", {"id": range(1, 7), "label": 0.5})
    comp, result, _ = written(d.raw)
    assert data_of(comp, "table", "images", "test") == (None, "train", "test/{id}.jpg")
    assert labels_of(d.raw, "label")["dog.3.jpg"] == "dog"
    assert comp.submission.columns == {"label": "label/dog"}
    assert comp.metric == "auc"
    assert "of dog, or of cat?" in result.err


@pytest.mark.parametrize(
    ("name", "regex"),
    [
        ("{}_{{}}.jpg", "great_pyrenees_3.jpg"),
        ("{}{{}}.png", "pug12.png"),
        ("7{{}}-{}.jpg", "73-pug.jpg"),
    ],
)
def test_labels_in_names_of_several_forms(name, regex, d):
    breeds = ("great_pyrenees", "pug", "boxer") if "_" in regex else ("dane", "pug", "boxer")
    for look, breed in enumerate(breeds):
        d.images("images/" + name.format(breed), range(3, 11), [look] * 8)
    comp, _, _ = written(d.raw)
    assert sorted(set(labels_of(d.raw, comp.targets[0].name).values())) == sorted(breeds)


def test_folders_of_classes_with_a_test_folder(d):
    for look, name in enumerate(("Black-grass", "Common wheat", "Maize")):
        d.images(f"train/{name}/{{}}.png", d.ids(6), [look] * 6)
    asked = [f"{name}.png" for name in d.ids(5)]
    d.images("test/{}", asked, range(5))
    d.table("sample_submission.csv", {"file": asked, "species": "Maize"})
    comp, _, _ = written(d.raw)
    assert data_of(comp, "id", "images", "test") == ("file", "train", "test/{file}")
    assert (comp.targets[0].name, comp.targets[0].folder) == ("species", True)
    assert set(labels_of(d.raw, "species").values()) == {"Black-grass", "Common wheat", "Maize"}


def test_predefined_parts_of_a_split_are_one_fold(d):
    for part, count in (("train", 6), ("valid", 2), ("test", 2)):
        for look, name in enumerate(("ant", "bee")):
            d.images(f"insects/{part}/{name}/{part}{{}}.jpg", range(count), [look] * count)
    comp, _, _ = written(d.raw)
    assert data_of(comp, "images", "test") == ("insects", "insects/test")
    assert (comp.folds.n, comp.folds.valid) == (1, "valid")
    assert set(labels_of(d.raw, "label").values()) == {"ant", "bee"}


def test_no_test_images_hold_a_share_back(d):
    ids = d.ids(20)
    d.images("all/{}.jpg", ids, range(20))
    d.table("labels.csv", {"name": ids, "weather": named(cycle(20, 2), ("sun", "rain"))})
    comp, _, text = written(d.raw)
    assert (comp.data.holdout, comp.data.test) == (0.2, None)
    assert "[submission]" not in text


def test_the_test_table_names_files_and_the_sample_ids(d):
    ids, files = [f"row{k}" for k in range(24)], [f"f{k:03}.jpg" for k in range(24)]
    d.images("train/{}", files[:18], range(18))
    d.images("test/{}", files[18:], range(6))
    d.table("train.csv", {"id": ids[:18], "file_name": files[:18], "label": named(cycle(18, 3), "abc")})
    d.table("test.csv", {"id": ids[18:], "file_name": files[18:]})
    d.table("sample_submission.csv", {"id": ids[18:], "label": "a"})
    comp, _, _ = written(d.raw)
    assert data_of(comp, "id", "images", "test", "test_table") == (
        "id", "train/{file_name}", "test/{file_name}", "test.csv",
    )  # fmt: skip


def test_one_folder_for_both_sides_and_classes_as_columns_of_the_sample(d):
    d.images("images/{}.jpg", range(1, 31), range(30))
    species, own = ("Acer_Opalus", "Quercus_Rubra", "Tilia_Oliveri"), list(range(1, 25))
    d.table("train.csv", {"id": own, "species": named(cycle(24, 3), species), "margin1": 0.01, "margin2": 0.02})
    d.table("test.csv", {"id": range(25, 31), "margin1": 0.01, "margin2": 0.02})
    d.table("sample_submission.csv", {"id": range(25, 31)} | dict.fromkeys(species, 1 / 3))
    comp, _, _ = written(d.raw)
    assert data_of(comp, "images", "test") == ("images/{id}.jpg", "images/{id}.jpg")
    assert [(target.name, target.kind) for target in comp.targets] == [("species", "category")]
    assert comp.metric == "multiclass_log_loss"


@pytest.mark.parametrize("label", ["p_{}", "{}_prob"])
def test_columns_of_classes_with_something_before_or_behind(label, d):
    train, test = by_id(d, [0] * 18)
    d.table("train.csv", {"id": train, "kind": named(cycle(18, 3), ("cat", "dog", "emu"))})
    d.table("sample_submission.csv", {"id": test} | {label.format(name): 0.3 for name in ("cat", "dog", "emu")})
    comp, _, _ = written(d.raw)
    assert comp.submission.columns == {label.format("*"): "kind/*"}


def test_files_of_several_endings_and_a_second_set_of_smaller_ones(d):
    ids = d.ids(16)
    for place, name in enumerate(ids):
        d.image(f"train/{name}{('.jpg', '.jpeg', '.PNG')[place % 3]}", place)
        d.image(f"train_thumbnails/{name}.jpg", place)
    d.table("train.csv", {"id": ids, "label": named(cycle(16, 2), "ab")})
    comp, _, _ = written(d.raw)
    assert comp.data.images == "train/{id}.*"


# What is asked


def test_one_column_a_class_of_which_one_is_true(d):
    train, test = by_id(d, [0] * 16)
    d.table("train.csv", {"id": train} | one_hot(cycle(16, 2), ("healthy", "rust")) | {"scab": 0})
    d.table("sample_submission.csv", {"id": test, "healthy": 0.25, "rust": 0.25, "scab": 0.25})
    frame = pd.read_csv(d.raw / "train.csv")
    frame.loc[0, ["healthy", "scab"]] = 0, 1
    d.table("train.csv", frame)
    comp, _, _ = written(d.raw)
    assert [(target.kind, target.column) for target in comp.targets] == [("category", ["healthy", "rust", "scab"])]


def test_columns_of_classes_that_do_not_exclude_each_other_and_patients(d):
    train, test = by_id(d, [0] * 20)
    marks = {"ETT - Abnormal": cycle(20, 2), "CVC": cycle(20, 3), "NGT - Normal": [1] * 20}
    marks["CVC"] = [int(mark > 0) for mark in marks["CVC"]]
    d.table("train.csv", {"uid": train} | marks | {"PatientID": [f"p{k // 2}" for k in range(20)]})
    d.table("sample_submission.csv", {"uid": test} | dict.fromkeys(marks, 0))
    d.table("train_annotations.csv", {"uid": train[:4] * 2, "label": "CVC", "data": "[[1, 2]]"})
    comp, result, _ = written(d.raw)
    assert [(target.kind, target.column) for target in comp.targets] == [("multilabel", list(marks))]
    assert (comp.metric, comp.folds.group) == ("auc", "PatientID")
    assert "folds.group" in result.err


@pytest.mark.parametrize(
    ("cells", "asked", "separator"),
    [
        (("scab", "healthy", "scab rust complex", "rust", "rust scab"), "healthy", None),
        (("No Finding", "Pleural Thickening|Mass", "Mass", "No Finding|Mass"), "Mass", "|"),
        (("A,B", "B", "C, A", "D"), "A", ","),
        (("12 448", "616", "782 12 5", "5"), "0 1 2", None),
        (("haze primary", "clear primary water", "clear road primary"), "clear primary road water", None),
    ],
)
def test_cells_with_several_tags(cells, asked, separator, d):
    train, test = by_id(d, [0] * 20)
    d.table("train.csv", {"id": train, "tags": named(cycle(20, len(cells)), cells)})
    d.table("sample_submission.csv", {"id": test, "tags": asked})
    comp, _, _ = written(d.raw)
    assert [(target.kind, target.separator) for target in comp.targets] == [("multilabel", separator)]
    assert comp.submission.columns == {"tags": "tags"}


def test_names_of_classes_with_blanks_are_no_tags(d):
    train, test = by_id(d, [0] * 20)
    birds = ("Acer rubrum", "Acer saccharum", "Tilia", "Quercus alba", "Quercus rubra")
    d.table("train.csv", {"id": train, "tree": named(cycle(20, 5), birds)})
    d.table("sample_submission.csv", {"id": test, "tree": "Tilia"})
    comp, _, _ = written(d.raw)
    assert comp.targets[0].kind == "category"


def test_numbers_that_the_sample_has_with_decimals_are_a_regression(d):
    train, test = by_id(d, [0] * 20)
    d.table("train.csv", {"Id": train, "Eyes": cycle(20, 2), "Pawpularity": range(20, 40)})
    d.table("test.csv", {"Id": test, "Eyes": 1})
    d.table("sample_submission.csv", {"Id": test, "Pawpularity": [20.5, 40.25, 61.75, 1.5, 3.5, 5.5]})
    comp, _, _ = written(d.raw)
    assert [(target.name, target.kind) for target in comp.targets] == [("Pawpularity", "regression")]
    assert comp.metric == "rmse"


def test_several_numbers_are_several_targets(d):
    train, test = by_id(d, [0] * 20)
    traits = {f"X{k}_mean": [float(value) for value in d.random.normal(5, 2, 20)] for k in (4, 11, 18)}
    d.table("train.csv", {"id": train} | traits | {"soil": 1.5})
    d.table("test.csv", {"id": test, "soil": 1.5})
    d.table("sample_submission.csv", {"id": test} | dict.fromkeys(traits, 1.5))
    comp, _, _ = written(d.raw)
    assert [(target.name, target.kind) for target in comp.targets] == [(name, "regression") for name in traits]


def test_grades_by_their_name(d):
    train, test = by_id(d, [0] * 20, where="{}_images/{{}}.png")
    d.table("train.csv", {"id_code": train, "diagnosis": cycle(20, 5)})
    d.table("test.csv", {"id_code": test})
    d.table("sample_submission.csv", {"id_code": test, "diagnosis": 0})
    comp, _, _ = written(d.raw)
    assert (comp.targets[0].column, comp.metric) == (None, "quadratic_kappa")


def test_a_column_that_the_sample_calls_otherwise(d):
    """Of the columns that the test table lacks."""
    train, test = by_id(d, [0] * 24)
    own = {"date": "2011-05-13", "id": train, "location": [k % 6 for k in range(24)], "width": 1024}
    d.table("train.csv", {"category_id": named(cycle(24, 3), (0, 19, 3))} | own)
    d.table("test.csv", {"date": "2011-05-13", "id": test, "location": 50, "width": 1024})
    d.table("sample_submission.csv", {"Id": test, "Predicted": 0})
    comp, _, _ = written(d.raw)
    assert [(target.name, target.kind) for target in comp.targets] == [("category_id", "category")]
    assert (comp.data.id, comp.submission.id, comp.folds.group) == ("id", "Id", "location")
    assert comp.submission.columns == {"Predicted": "category_id"}


def test_groups_in_another_table(d):
    train, test = by_id(d, [0] * 20)
    places = [f"train/{name}.jpg" for name in train]
    d.table("train_features.csv", {"id": train, "filepath": places, "site": [f"S{k // 4}" for k in range(20)]})
    d.table("train_labels.csv", {"id": train} | one_hot(cycle(20, 2), ("ant", "bird")))
    d.table("sample_submission.csv", {"id": test, "ant": 0.5, "bird": 0.5})
    comp, _, _ = written(d.raw)
    assert (comp.data.table, comp.folds.group, comp.folds.table) == ("train_labels.csv", "site", "train_features.csv")


def test_several_rows_of_an_image_are_its_tags(d):
    train, test = by_id(d, [0] * 12)
    rows = {"id": [*train, *train[:6]], "finding": [*named(cycle(12, 3), "abc"), *["d"] * 6]}
    d.table("train.csv", rows)
    d.table("sample_submission.csv", {"id": test, "finding": "a"})
    comp, _, _ = written(d.raw)
    assert [(target.name, target.kind) for target in comp.targets] == [("finding", "multilabel")]
    assert sorted(labels_of(d.raw, "finding")[train[0]].split()) == ["a", "d"]


def test_a_row_that_is_there_twice_counts_once(d):
    train, test = by_id(d, [0] * 12)
    d.table("train.csv", {"id": [*train, train[3]], "label": [*named(cycle(12, 2), "ab"), "b"]})
    d.table("sample_submission.csv", {"id": test, "label": "a"})
    comp, _, _ = written(d.raw)
    assert comp.targets[0].kind == "binary"
    assert len(labels_of(d.raw, "label")) == 12


def test_tables_of_other_forms(d):
    train, test = by_id(d, [0] * 20)
    rows = zip(train, cycle(20, 3), strict=True)
    d.place("train.json").write_text("\n".join(json.dumps({"id": name, "state": "xyz"[code]}) for name, code in rows))
    d.place("SampleSubmission.csv").write_text("\n".join(["id;state", *[f"{name};x" for name in test]]))
    comp, _, _ = written(d.raw)
    assert (comp.data.table, comp.submission.sample) == ("train.json", "SampleSubmission.csv")


def test_a_table_without_a_header_and_archives_in_the_archive(d):
    files = [f"{name}.jpg" for name in d.ids(24)]
    d.images("photos/{}", files, range(24))
    d.pack("photos", "photos.zip")
    rows = zip(files, cycle(24, 3), strict=True)
    d.place("labels.txt").write_text("".join(f"{name} {code}\n" for name, code in rows))
    archive = shutil.make_archive(str(d.raw.parent / "download"), "zip", d.raw)
    comp, result, _ = written(Path(archive))
    assert data_of(comp, "table", "columns", "images") == (
        "labels.txt", ["column_0", "column_1"], "photos/{column_0}",
    )  # fmt: skip
    assert [(target.name, target.kind) for target in comp.targets] == [("column_1", "category")]
    assert "unpacking photos.zip to photos/" in result.err


# Ratings


def test_ratings_with_their_tables(tmp_path):
    made = write_rated(tmp_path)
    comp, result, _ = written(made.raw)
    assert comp.kind == "ratings"
    assert data_of(comp, "table", "user", "item", "rating", "timestamp", "test") == (
        "ratings.csv", "who", "film", "stars", "when", "asked.csv",
    )  # fmt: skip
    assert (comp.data.items.table, comp.data.items.id, comp.data.items.title) == ("films.csv", "film", "title")
    assert (comp.data.users.table, comp.data.users.id) == ("people.csv", "who")
    assert "40 users, 30 items" in result.err


def test_ratings_without_a_header_and_with_published_folds(tmp_path):
    made, raw = write_rated(tmp_path / "drawn"), tmp_path / "raw" / "ml-100k"
    raw.mkdir(parents=True)
    numbers = made.rows.assign(who=made.rows["who"].str[1:], film=made.rows["film"].str[1:])
    numbers.to_csv(raw / "u.data", sep="\t", header=False, index=False)
    for fold in range(3):
        numbers.iloc[fold::3].to_csv(raw / f"u{fold + 1}.test", sep="\t", header=False, index=False)
        rest = [k for k in range(len(numbers)) if k % 3 != fold]
        numbers.iloc[rest].to_csv(raw / f"u{fold + 1}.base", sep="\t", header=False, index=False)
    films = [f"{number}|Film {number} ({1950 + number})|01-Jan-1995|0|1\n" for number in range(30)]
    (raw / "u.item").write_text("".join(films))
    comp, _, _ = written(tmp_path / "raw")
    assert data_of(comp, "table", "user", "item", "rating", "timestamp") == ("ml-100k/u.data", 0, 1, 2, 3)
    assert (comp.folds.n, comp.folds.files) == (3, "u{k}.test")
    assert (comp.data.items.table, comp.data.items.title) == ("ml-100k/u.item", 1)


def test_own_ids_of_a_test_table_of_ratings(tmp_path):
    made = write_rated(tmp_path)
    made.test.drop(columns="stars").assign(Id=range(60)).to_csv(made.raw / "asked.csv", index=False)
    pd.DataFrame({"Id": range(60), "Prediction": 3}).to_csv(made.raw / "sampleSubmission.csv", index=False)
    comp, _, _ = written(made.raw)
    assert (comp.data.id, comp.submission.columns) == ("Id", {"Prediction": "rating"})


def test_pixels_of_a_column_each_that_are_no_square(d):
    pixels = {f"p{number}": d.random.integers(0, 256, 18) for number in range(96)}
    rows = pd.DataFrame({"label": named(cycle(18, 3), "abc"), **pixels})
    d.table("train.csv", rows[:12])
    d.table("test.csv", rows[12:].drop(columns="label").assign(code=range(6)))
    d.table("sample_submission.csv", {"code": range(6), "label": "a"})
    comp, result, text = written(d.raw)
    assert data_of(comp, "table", "id", "arrays", "test") == ("train.csv", "code", ["p*"], "test.csv")
    assert tuple(comp.data.array_shape) == (8, 12)
    assert re.search(r"array_shape = \[8, 12\] +# \?", text)
    assert labels_of(d.raw, "label") == {str(number + 1): "abc"[number % 3] for number in range(12)}
    assert re.search(r"a guess: .*array_shape = \[8, 12\]", result.err)


def test_numbered_measurements_beside_images_are_no_pixels(d):
    train, test = by_id(d, ["a", "b"] * 6)
    measured = {f"m{number}": d.random.random(18).round(3) for number in range(64)}
    rows = pd.DataFrame({"id": [*train, *test], "label": ["a", "b"] * 9, **measured})
    d.table("train.csv", rows[:12])
    d.table("test.csv", rows[12:].drop(columns="label"))
    d.table("sample_submission.csv", {"id": test, "label": "a"})
    comp, _, _ = written(d.raw)
    assert data_of(comp, "arrays", "images") == (None, "train/{id}.jpg")


def test_a_table_that_tells_what_the_rows_of_the_sample_are(d):
    labels = d.random.random((12, 3)).round(4)
    train, test = by_id(d, list(range(12)), 4)
    d.table("train.csv", {"image": train, **{name: labels[:, k] for k, name in enumerate("xyz")}})
    pairs = [(image, name) for image in test for name in "xyz"][:-1]
    d.table("lookup.csv", {"row": range(11), "image": [i for i, _ in pairs], "what": [n for _, n in pairs]})
    d.table("sample_submission.csv", {"row": range(11), "value": 0})
    comp, _, _ = written(d.raw)
    assert [target.name for target in comp.targets] == ["x", "y", "z"]
    assert comp.submission.long.model_dump(exclude_none=True) == {
        "name": "what", "value": "value", "table": "lookup.csv",
    }  # fmt: skip
    assert (manifest_of(d.raw)["split"] == "test").sum() == 4
