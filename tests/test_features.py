"""Columns beside the image: read by id, as numbers or words; refused where the test set has none; told in words."""

import json

import numpy as np
import pandas as pd
import pytest
import tomli_w

from pipeline.errors import RequestError
from pipeline.stages.data import data
from pipeline.targets.said import Target
from pipeline.vision.config import ImageModel
from pipeline.vision.data_config import ImageData
from pipeline.vision.encoding import Features
from pipeline.vision.features import PREFIX, read_features, sorts_in
from pipeline.vision.table_config import TableModel
from pipeline.workspace import Workspace
from tests.conftest import draw_image

TOML = """\
slug = "leaves"
[source]
path = "{raw}"
[data]
table = "train.csv"
id = "id"
images = "train/{{id}}.png"
test = "test/{{id}}.png"
features = {features}
[[targets]]
name = "label"
"""
TRAIN = {
    "id": ["a", "b", "c", "d", "e", "f"],
    "label": ["x", "y", "x", "y", "x", "y"],
    "age": ["40", " 55", "NA", "61.5", "", "20"],
    "sex": ["m", "f", "f", "", "f", "m"],
    "grade": ["1", "2", "1", "3", "1", "2"],
    "leaf1": ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6"],
    "leaf2": ["1", "1", "1", "1", "1", "1"],
}
TEST = {
    "id": ["t", "s"],
    "age": ["30", ""],
    "sex": ["f", "diverse"],
    "grade": ["2", "9"],
    "leaf1": ["0.3", "0.1"],
    "leaf2": ["1", "1"],
}


@pytest.fixture
def made(tmp_path, load_toml, log):
    """Run `data` on tables, the test one by that name, and give the features that are kept, and the competition."""

    def make(features: str, train: dict = TRAIN, test: dict | None = TEST, *sets: str) -> tuple:
        raw = tmp_path / "raw"
        for number, name in enumerate([*train["id"], *TEST["id"]]):
            folder = "train" if name in train["id"] else "test"
            (raw / folder).mkdir(parents=True, exist_ok=True)
            draw_image(raw / folder / f"{name}.png", number)
        pd.DataFrame(train).to_csv(raw / "train.csv", index=False)
        pd.DataFrame({"id": TEST["id"], "label": ""}).to_csv(raw / "sample_submission.csv", index=False)
        if test is not None:
            pd.DataFrame(test).to_csv(raw / "test.csv", index=False)
        comp = load_toml(TOML.format(raw=raw, features=features), *sets)
        workspace = Workspace(tmp_path / "root", comp.slug)
        data(comp, workspace, log)
        return comp, workspace

    return make


def kept(workspace: Workspace) -> pd.DataFrame:
    return pd.read_parquet(workspace.features).set_index("id")


def test_columns_are_numbers_or_words_as_their_training_cells_are(made, log):
    _, workspace = made('["age", "sex", "leaf*", { name = "grade", as = "word" }]')
    found = kept(workspace)
    assert sorts_in(found) == {"age": "number", "sex": "word", "leaf1": "number", "leaf2": "number", "grade": "word"}
    assert found.loc["b", PREFIX + "age"] == 55
    assert found[PREFIX + "age"].isna().sum() == 3  # NA, and two blank cells
    assert found.loc[["d", "s"], PREFIX + "sex"].tolist() == ["", "diverse"]
    assert found.loc["t", PREFIX + "grade"] == "2"
    said = "\n".join(log.lines)
    assert "data: 5 feature(s) beside the images; numbers: age, leaf1, leaf2; words: sex (3), grade (3)" in said
    assert "features with blank cells: age (3), sex (1) of 8 rows" in said
    assert "1 column(s) are the same in every training row: leaf2" in said
    assert "1 test row(s) hold words of 'sex' that no training row has (unknown to the models): diverse" in said


def test_manifest_folds_and_other_models_know_nothing_of_them(made):
    _, without = made("[]")
    manifest = without.manifest.read_bytes()
    assert not without.features.is_file()
    _, workspace = made('["age"]')
    assert workspace.features.is_file()
    assert workspace.manifest.read_bytes() == manifest
    made("[]")
    assert not workspace.features.is_file()


def test_rows_that_are_held_back_keep_their_own(made, monkeypatch):
    monkeypatch.setattr(f"{__name__}.TOML", TOML.replace('test = "test/{{id}}.png"', "holdout = 0.34"))
    _, workspace = made('["leaf1"]', TRAIN, None)
    found = kept(workspace)
    assert sorted(found["split"].unique()) == ["test", "train"]
    assert {name: str(value) for name, value in found[PREFIX + "leaf1"].items()} == dict(
        zip(TRAIN["id"], TRAIN["leaf1"], strict=True)
    )


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ('["agee"]', "data.features: train.csv has no column 'agee'; .* did you mean 'age'"),
        ('["leef*"]', r"data.features: no column of train.csv is called as 'leef\*' says; it has id, label, age"),
        ('["label"]', "column 'label' of train.csv holds the answer of a target; take it out"),
        ('["id"]', "column 'id' of train.csv holds the images' ids; take it out"),
        (
            '[{ name = "sex", as = "number" }]',
            r"'sex' holds numbers, but 5 cells of train.csv are none: m, f, .*as = 'w",
        ),
    ],
)
def test_a_column_that_cannot_be_one_is_refused(made, features, words):
    with pytest.raises(RequestError, match=words):
        made(features)


def test_a_pattern_leaves_out_ids_and_answers(made):
    _, workspace = made('["*"]')
    assert list(sorts_in(kept(workspace))) == ["age", "sex", "grade", "leaf1", "leaf2"]


def test_a_test_set_without_features_is_refused_with_the_key_to_set(made):
    with pytest.raises(RequestError) as caught:
        made('["age", "sex"]', TRAIN, None)
    assert str(caught.value) == (
        "data.features: in no table are age, sex of the test images (no test.csv beside train.csv); name it by "
        "data.test_table = 'FILE', with a row a test image and its id in column 'id'"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"age": None}, r"test.csv lacks 1 of 2 columns \(age\); it has id, sex, .*data.test_table"),
        ({"id": ["t", "u"]}, "test.csv has no row for 1 of 2 images: s; its column 'id' holds t, u"),
        ({"age": ["30", "old"]}, r"column 'age' holds numbers, but 1 cells of test.csv are none: old \(ids s\)"),
        ({"age": ["30", "inf"]}, r"column 'age' holds numbers, but 1 cells of test.csv are none: inf \(ids s\)"),
    ],
)
def test_a_test_table_that_does_not_fit_is_refused(made, change, words):
    test = {key: value for key, value in {**TEST, **change}.items() if value is not None}
    with pytest.raises(RequestError, match=words):
        made('["age", "sex"]', TRAIN, test)


def test_the_test_table_that_is_named_is_read(made, tmp_path):
    (tmp_path / "raw").mkdir()
    pd.DataFrame(TEST).to_csv(tmp_path / "raw" / "more.csv", index=False)
    _, workspace = made('["age"]', TRAIN, None, "data.test_table=more.csv")
    assert kept(workspace).loc["t", PREFIX + "age"] == 30


def test_numbers_with_few_words_among_them_are_told(made, log):
    train = {**TRAIN, "age": ["40", "55", "90+", "61", "33", "20"]}
    made('["age"]', train)
    assert "warning: data.features: 'age' is taken as words: 1 of 6 training cells are no numbers (90+)" in log.lines


def test_the_file_is_checked(load_toml):
    with pytest.raises(RequestError, match=r"features are columns of data.table, and there is none"):
        load_toml('slug="a"\nsource.demo=0\ndata.features=["x"]\n[[targets]]\nname="b"\nfolder=true\n')
    text = 'slug="a"\nsource.demo=0\ndata.table="t.csv"\n[[targets]]\nname="b"\n[[models]]\nname="m"\n'
    for arch in ('arch="test_resnet"\nfeatures=true\n', 'arch="table:forest"\n'):
        with pytest.raises(RequestError, match=r"models.0: 'm' reads data.features, and the file names none"):
            load_toml(text + arch)
    for more, words in [
        ('arch="table:forrest"', "'table:forrest': not a known estimator; .* did you mean 'forest'"),
        (
            'arch="table:forest"\noptions={tree=3}',
            "options of 'table:forest': unknown option 'tree'; did you mean 'trees'",
        ),
        ('arch="table:forest"\nsize=64', "size does not go with arch = 'table:forest'"),
        ('arch="resnet18"\noptions={trees=3}', "options does not go with arch = 'resnet18'"),
    ]:
        with pytest.raises(RequestError, match=words):
            load_toml(text + more, 'data.features=["x"]')


def test_a_resolved_file_says_the_same(load_toml):
    text = 'slug="a"\nsource.demo=0\ndata.table="t.csv"\n[[targets]]\nname="b"\n[[models]]\nname="m"\n'
    text += 'arch="table:forest"\n[[models]]\nname="n"\narch="resnet18"\nfeatures=true\n'
    comp = load_toml(text, 'data.features=["x", {name="y", as="word"}]')
    again = load_toml(tomli_w.dumps(comp.resolved().model_dump(exclude_none=True, mode="json")))
    assert again.resolved() == comp.resolved()
    assert [type(model) for model in again.models] == [TableModel, ImageModel]
    assert [model.settings(again) for model in again.models] == [model.settings(comp) for model in comp.models]
    assert again.data.settings(again) == comp.data.settings(comp)


def test_columns_beside_images_in_the_cells_of_a_table(tmp_path):
    records = [
        {"id": f"r{number}", "band": [float(number)] * 4, "angle": angle, "label": "ab"[number % 2]}
        for number, angle in enumerate(["na", 39.25, 40.5, 41])
    ]
    for name, part in (("train.json", records[:3]), ("test.json", records[3:])):
        (tmp_path / name).write_text(json.dumps(part))
    data = ImageData(table="train.json", arrays=["band"], test="", features=["angle"])
    manifest = pd.DataFrame({"id": ["r2", "r0", "r1", "r3"], "split": ["train"] * 3 + ["test"]})
    found = read_features(tmp_path, data, [Target(name="label")], manifest)
    assert found[PREFIX + "angle"].fillna(0).tolist() == [40.5, 0, 39.25, 41]
    assert {path.name for path in tmp_path.iterdir()} == {"train.json", "test.json"}, "no image is written out"


ROWS = pd.DataFrame(
    {
        PREFIX + "age": [10.0, 20.0, np.nan, 30.0],
        PREFIX + "size": [1.0, 2.0, 3.0, 4.0],
        PREFIX + "same": [0.1, 0.1, 0.1, 0.1],
        PREFIX + "sex": ["m", "f", "", "f"],
    }
)


def test_numbers_are_standardised_and_words_numbered_as_the_training_rows_show_them():
    features = Features.of(ROWS)
    assert Features.model_validate_json(features.model_dump_json()) == features
    encoded = features.encode(ROWS)
    assert encoded.dtype == np.float32
    age, blank, size, same, sex = encoded.T
    assert age.tolist() == pytest.approx([-1.2247449, 0, 0, 1.2247449])
    assert blank.tolist() == [0, 0, 1, 0]
    assert (size.mean(), size.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1))
    assert (same == 0).all()
    assert sex.tolist() == [3, 1, 2, 1]  # the most frequent first, then by name; a blank is a word
    assert (features.width, features.sizes) == (4, [4])


def test_unseen_words_are_unknown_and_unseen_blanks_the_mean():
    features = Features.of(ROWS.iloc[[0, 1, 3]])
    unseen = ROWS.iloc[[2]].assign(**{PREFIX + "sex": "diverse"})
    encoded = features.encode(unseen)[0]
    assert encoded[0] == 0  # there is no column for blanks: no training row has one
    assert encoded[-1] == 0
    assert len(encoded) == 4
    with pytest.raises(RequestError, match=r"reads 4 feature\(s\) beside the image, and the rows lack 'size'"):
        features.encode(ROWS.drop(columns=PREFIX + "size"))


def test_a_fold_knows_its_own_training_rows_alone():
    first, second = Features.of(ROWS[:2]), Features.of(ROWS[1:])
    assert first.numbers[1].mean == 1.5
    assert second.numbers[1].mean == 3.0
    assert first.words[0].words == ("f", "m")


@pytest.mark.parametrize("own", [False, True], ids=["joined alone", "beside the test table's own"])
def test_columns_of_a_table_that_is_joined_are_features_of_both_sides(made, tmp_path, monkeypatch, own):
    joined = TOML.replace('table = "train.csv"', 'table = "train.csv"\ntables = ["people.csv"]')
    monkeypatch.setattr(f"{__name__}.TOML", joined)
    (tmp_path / "raw").mkdir()
    rows = {"id": [*TRAIN["id"], *TEST["id"]], "height": [str(170 + number) for number in range(8)]}
    pd.DataFrame(rows).to_csv(tmp_path / "raw" / "people.csv", index=False)
    test = {"id": TEST["id"], "age": TEST["age"]} if own else None
    _, workspace = made('["height", "age"]' if own else '["height"]', TRAIN, test)
    assert kept(workspace).loc[["a", "s"], PREFIX + "height"].tolist() == [170, 177]
    assert not own or kept(workspace).loc["t", PREFIX + "age"] == 30
