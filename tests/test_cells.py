"""Arrays in a table's cells: written out once, and images from then on."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import competitions
from pipeline.commands.bundle import _artifacts
from pipeline.commands.infer import infer
from pipeline.commands.session import _take_data
from pipeline.data.layouts.json_records import each_record
from pipeline.data.text import Unreadable
from pipeline.errors import RequestError
from pipeline.kaggle.manifest import Entry
from pipeline.targets.said import Target
from pipeline.vision.cells import read_arrays
from pipeline.vision.data_config import ImageData
from pipeline.vision.manifest import build_manifest
from pipeline.workspace import Workspace
from tests.command import pipeline

BANDS = {"table": "t.json", "arrays": ["band_1", "band_2"]}


def bands(number: int, side: int = 12) -> dict:
    """Decibels with a bright spot in one band or the other: its number is the label."""
    values = np.random.default_rng(number).normal(-25, 2, (2, side, side))
    values[number % 2, 2:8, 2:8] += 15
    return {"id": f"x/{number}", "band_1": values[0].ravel().tolist(), "band_2": values[1].ravel().tolist()}


def read(folder: Path, name: str, **said) -> tuple[pd.DataFrame, pd.DataFrame, list[np.ndarray]]:
    rows, table = read_arrays(folder, ImageData(**{**BANDS, "table": name, **said}), name, "data.table", None)
    return rows, table, [np.load(folder / path) for path in rows["path"]]


@pytest.mark.parametrize("form", ["list", "lines", "gz", "object"])
def test_lists_of_numbers_are_channels(form, tmp_path):
    records = [{**bands(number), "angle": "na" if number else 39.2560} for number in range(3)]
    text = "\n".join(map(json.dumps, records)) if form == "lines" else json.dumps(records, indent=1)
    text = json.dumps({"rows": records}) if form == "object" else text
    name = "t.json.gz" if form == "gz" else "t.json"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if form == "gz" else text.encode())
    rows, table, arrays = read(tmp_path, name)
    assert rows["id"].tolist() == ["x/0", "x/1", "x/2"]
    assert table.columns.tolist() == ["id", "angle"]
    assert table["angle"].tolist() == ["39.256", "na", "na"]
    for record, array in zip(records, arrays, strict=True):
        wanted = np.array([record["band_1"], record["band_2"]], np.float32).reshape(2, 12, 12)
        assert array.dtype == np.float32
        assert np.array_equal(array, wanted)


def test_numbers_may_be_text_or_columns_of_their_own(tmp_path):
    (tmp_path / "a.csv").write_text("label,pixels\n3,1 2 3 4\n4,5 6 7 8\n")
    _, table, arrays = read(tmp_path, "a.csv", arrays=["pixels"])
    assert np.array_equal(arrays[1], [[5, 6], [7, 8]])
    assert table["label"].tolist() == ["3", "4"]
    (tmp_path / "b.csv").write_text("label,p0,p1,p2,p3,p4,p5\n3,1,2,3,4,5,6\n4,7,8,9,10,11,12\n")
    rows, _, arrays = read(tmp_path, "b.csv", arrays=["p*"], array_shape=[2, 3])
    assert rows["id"].tolist() == ["1", "2"]
    assert np.array_equal(arrays[1], [[7, 8, 9], [10, 11, 12]])
    (tmp_path / "c.json").write_text(json.dumps([{"id": 1, "m": [[1, 2, 3], [4, 5, 6]]}]))
    assert np.array_equal(read(tmp_path, "c.json", arrays=["m"])[2][0], [[1, 2, 3], [4, 5, 6]])


WRONG = {
    "3 numbers are no square; say data.array_shape": [{"id": 1, "band_1": [1, 2, 3], "band_2": [1, 2, 3]}],
    "row 2 of t.json: its channels have the shapes": [
        {"id": 1, "band_1": [1], "band_2": [1]},
        {"id": 2, "band_1": [1], "band_2": [1, 2, 3, 4]},
    ],
    "no numbers": [{"id": 1, "band_1": ["a"], "band_2": [1]}],
    "has no column 'band_2'; it has id, band_1": [{"id": 1, "band_1": [1]}],
}


@pytest.mark.parametrize("words", WRONG)
def test_other_cells_are_refused(words, tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(WRONG[words]))
    with pytest.raises(RequestError) as refused:
        read(tmp_path, "t.json")
    assert words in str(refused.value)
    assert not list((tmp_path / ".pipeline").glob("arrays/*"))


def test_ids_are_unique(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps([bands(1), bands(1)]))
    with pytest.raises(RequestError, match="repeats 1 ids"):
        build_manifest(tmp_path, ImageData(**BANDS), [Target(name="label", column="id")], None)


def test_records_come_one_at_a_time():
    assert [record["a"] for record in each_record(b' [{"a": 1.50}, {"a": null}]')] == ["1.50", None]
    assert len(list(each_record(b'{"a": 1}\n\n{"a": 2}\n'))) == 2
    for text in (b'{"rows": []}', b"[1, 2]", b'[{"a": 1}, {"a"'):
        with pytest.raises(Unreadable):
            list(each_record(text))


@pytest.mark.parametrize(
    "said",
    [
        {"table": None},
        {"test_table": "x", "test": "y"},
        {"test": "test/{id}.npy"},
        {"arrays": None, "array_shape": [9, 9]},
    ],
)
def test_arrays_are_columns_of_both_tables(said):
    with pytest.raises(ValueError, match="arrays"):
        ImageData(**{**BANDS, **said})


TOML = """\
slug = "bands"
seed = 7
metric = "log_loss"
[source]
path = "{raw}"
[data]
table = "train.json"
test = "test.json"
arrays = ["band_1", "band_2"]
[[targets]]
name = "is_iceberg"
[folds]
n = 2
[[models]]
name = "m"
arch = "test_resnet"
weights = "none"
resize = {{ size = 40, method = "squish" }}
size = 32
batch_size = 8
epochs = 1
tta = 0
[submission]
columns = {{ is_iceberg = "is_iceberg/1" }}
"""


def test_one_road_leads_to_a_submission_here_and_on_kaggle(tmp_path, log):
    train = [{**bands(number), "is_iceberg": number % 2} for number in range(32)]
    test = [bands(number) for number in range(32, 40)]
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "train.json").write_text(json.dumps(train))
    (raw / "test.json").write_text(json.dumps(test))
    ids = [row["id"] for row in test]
    (raw / "sample_submission.csv").write_text("id,is_iceberg\n" + "".join(f"{name},0.5\n" for name in ids))
    comp = tmp_path / "bands.toml"
    comp.write_text(TOML.format(raw=raw))
    result = pipeline("run", comp, "--root", tmp_path)
    assert result.code == 0, result.err
    assert "40 images of 2 channels (arrays, channels on the first axis)" in result.err
    (sent,) = (tmp_path / "submissions").rglob("*.csv")
    table = pd.read_csv(sent)
    assert table["id"].tolist() == ids
    assert table["is_iceberg"].between(0, 1).all()
    assert not [path for path in raw.rglob("*") if path.suffix == ".npy"], "the raw files stay as they are"
    stages = pipeline("status", comp, "--root", tmp_path, "--json").json["stages"]
    assert set(stages.values()) == {"done"}
    loaded, here = competitions.load(str(comp)), Workspace(tmp_path, "bands")
    entries = [Entry(place, "", 0, place) for place in _artifacts(loaded, here)]
    there = Workspace(tmp_path / "there", "bands")
    infer(loaded, there, tmp_path, entries, tmp_path / "sent.csv", log)
    assert (tmp_path / "sent.csv").read_text() == sent.read_text()
    _take_data(loaded, there, tmp_path, entries, log)
    images = pd.read_parquet(there.manifest)["path"]
    assert all((there.raw / path).read_bytes() == (here.raw / path).read_bytes() for path in images)
