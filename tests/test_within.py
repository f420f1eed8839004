"""Archives in the download, unpacked where they are needed; formats of pictures that are not read, refused by name."""

import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.commands.session import _take_data
from pipeline.data import within
from pipeline.data.readers import READERS, Reader
from pipeline.data.tables import read_table
from pipeline.data.within import unpack_for
from pipeline.errors import RequestError, WorkFailed
from pipeline.kaggle.manifest import Entry
from pipeline.stages.check import check
from pipeline.stages.data import data, step
from pipeline.stages.folds import folds
from pipeline.workspace import Workspace
from tests.plugged import plugged
from tests.seven import write_seven


def assert_complete(tiny) -> None:
    manifest = pd.read_parquet(tiny.workspace.manifest)
    assert manifest["split"].value_counts().to_dict() == {"train": 24, "test": 6}
    assert all((tiny.workspace.raw / path).is_file() for path in manifest["path"])
    assert manifest["path"].iloc[0] == "train_images/blast/100.png"


def pack(folder: Path, path: Path, above: str = "") -> Path:
    """An archive of a folder's files under names below `above`; the folder goes."""
    files = {f"{above}{p.relative_to(folder).as_posix()}": p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    if path.suffix == ".7z":
        write_seven(path, files)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    shutil.rmtree(folder)
    return path


@pytest.mark.parametrize("ending", [".zip", ".7z", ".tgz", ".tar.gz"])
@pytest.mark.parametrize("above", ["", "folder/"])
@pytest.mark.parametrize("whole", [True, False])
def test_archives_in_the_download_are_unpacked_where_their_folders_are_named(tiny, log, ending, above, whole):
    for name in ("train_images", "test_images"):
        pack(tiny.raw / name, tiny.raw / f"{name}{ending}", above.replace("folder", name))
    source = tiny.raw if not whole else pack(tiny.raw, tiny.root / "all.zip")
    comp = tiny.load(f"source.path={source}")
    data(comp, tiny.workspace, log)
    assert_complete(tiny)
    assert f"data: unpacking train_images{ending} to train_images/" in log.lines
    assert not data(comp, tiny.workspace, log), "and then it is done"
    shutil.rmtree(tiny.workspace.raw / "test_images")
    assert data(comp, tiny.workspace, log)
    assert_complete(tiny)


def test_a_walked_folder_of_classes_comes_out_of_its_archive(tiny, log):
    pack(tiny.raw / "train_images", tiny.raw / "photos.zip")
    said = "data={images='photos', test='test_images', id='image_id'}"
    data(tiny.load(said, "targets=[{name='disease', folder=true}]"), tiny.workspace, log)
    manifest = pd.read_parquet(tiny.workspace.manifest)
    assert manifest["path"].iloc[0] == "photos/blast/100.png"
    assert sorted(manifest["disease"].dropna().unique()) == ["blast", "hispa", "normal"]


def test_archives_in_archives_and_tables_in_them(tmp_path, log):
    (tmp_path / "in/deep/images").mkdir(parents=True)
    (tmp_path / "in/deep/images/a.jpg").write_text("x")
    (tmp_path / "in/deep/train.csv").write_text("id\na\n")
    pack(tmp_path / "in/deep/images", tmp_path / "in/deep/images.7z")
    pack(tmp_path / "in/deep", tmp_path / "in/deep.zip", "deep/")
    raw = tmp_path / "raw"
    raw.mkdir()
    pack(tmp_path / "in", raw / "outer.tgz")
    unpack_for(raw, ["outer/deep/train.csv", "outer/deep/images/a.jpg"], log)
    assert (raw / "outer/deep/train.csv").read_text() == "id\na\n"
    assert os.listdir(raw / "outer/deep/images") == ["a.jpg"]
    unpack_for(raw, ["../x/a.jpg", "/etc/x", "nowhere/a.jpg", "a.jpg"], log)
    assert sorted(os.listdir(raw)) == ["outer", "outer.tgz"]


def test_a_folder_in_its_archive_may_be_called_as_it_is_twice(tmp_path):
    for paths in (["train/a.jpg"], ["train/train/a.jpg"]):
        raw = tmp_path / str(len(paths[0]))
        (raw / "here").mkdir(parents=True)
        (raw / "here/a.jpg").write_text("x")
        (raw / "here/__MACOSX").mkdir()
        pack(raw / "here", raw / "train.zip", "train/")
        unpack_for(raw, paths)
        assert (raw / paths[0]).is_file()


def test_missing_folders_name_the_archives_there(tiny, log):
    pack(tiny.raw / "train_images", tiny.raw / "photos.zip")
    with pytest.raises(RequestError, match=r"where the file names their folders: photos/ for photos\.zip"):
        data(tiny.load(), tiny.workspace, log)


def test_an_archive_with_another_folder_in_it_names_that(tiny, log):
    pack(tiny.raw / "test_images", tiny.raw / "test.zip", "photos/")
    words = r"data\.test: 6 of 30 image files are missing .*; test holds folders alone: photos"
    with pytest.raises(RequestError, match=words):
        data(tiny.load("data.test='test/{image_id}'"), tiny.workspace, log)


def test_what_is_unsafe_is_refused_and_leaves_nothing(tiny, log):
    with zipfile.ZipFile(tiny.raw / "photos.zip", "w") as archive:
        archive.writestr("good.png", "x")
        archive.writestr("../bad.png", "x")
    with pytest.raises(WorkFailed, match=r"photos.zip: member '../bad.png' leads out"):
        data(tiny.load("data.images='photos/{image_id}'"), tiny.workspace, log)
    names = os.listdir(tiny.workspace.raw)
    assert not [name for name in names if "photos" in name and name != "photos.zip"]
    assert not (tiny.workspace.raw / "bad.png").exists()


def test_a_kill_in_between_leaves_no_half_folder(tiny, log, monkeypatch):
    pack(tiny.raw / "test_images", tiny.raw / "test_images.zip", "test_images/")

    def die(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(within.os, "rename", die)
        with pytest.raises(KeyboardInterrupt):
            unpack_for(tiny.raw, ["test_images/900.png"])
    assert "test_images" not in os.listdir(tiny.raw)
    for left in (".test_images.unpacked", "..test_images.unpacked.extracting"):  # as a kill -9 leaves it
        (tiny.raw / left).mkdir()
        (tiny.raw / left / "half.png").write_text("half")
    unpack_for(tiny.raw, ["test_images/900.png"])
    assert sorted(os.listdir(tiny.raw / "test_images")) == tiny.test_ids
    assert not [name for name in os.listdir(tiny.raw) if name.startswith(".")]


def test_a_folder_that_is_used_where_it_is_stays_untouched(tiny, log):
    (tiny.raw / "stage").mkdir()
    shutil.move(tiny.raw / "test_images", tiny.raw / "stage/test")
    pack(tiny.raw / "stage/test", tiny.raw / "stage/test.zip")
    with pytest.raises(RequestError, match=r"stage/test.zip lies in a folder that is used where it is .* as test/"):
        data(tiny.load("data.test=stage/test"), tiny.workspace, log)
    assert os.listdir(tiny.raw / "stage") == ["test.zip"]


def test_what_is_unpacked_is_part_of_what_data_was_made_from(tiny, log):
    pack(tiny.raw / "test_images", tiny.raw / "test_images.zip")
    data(tiny.load(), tiny.workspace, log)
    (tiny.workspace.raw / "test_images/900.png").write_bytes(b"another")
    assert step(tiny.load(), tiny.workspace).reason() == "files changed"


def test_tables_are_read_out_of_7z(tmp_path):
    write_seven(tmp_path / "t.csv.7z", {"t.csv": b"id,label\n1,a\n"})
    assert read_table(tmp_path / "t.csv.7z", "t")["label"].tolist() == ["a"]
    write_seven(tmp_path / "t.json.7z", {"t.json": b'[{"id": 1, "label": "a"}]'})
    assert read_table(tmp_path / "t.json.7z", "t")["label"].tolist() == ["a"]
    write_seven(tmp_path / "two.7z", {"a.csv": b"id\n", "b.csv": b"id\n"})
    with pytest.raises(RequestError, match=r"holds one file, and this one 2: a\.csv, b\.csv"):
        read_table(tmp_path / "two.7z", "t")
    content = (tmp_path / "t.csv.7z").read_bytes()
    (tmp_path / "half.7z").write_bytes(content[:-9])
    with pytest.raises(RequestError, match="compressed, and broken"):
        read_table(tmp_path / "half.7z", "t")


def test_a_session_on_kaggle_unpacks_what_was_unpacked_here(tiny, log, tmp_path, monkeypatch):
    for name in ("train_images", "test_images"):
        pack(tiny.raw / name, tiny.raw / f"{name}.zip", f"{name}/")
    monkeypatch.setenv("PIPELINE_KAGGLE_INPUT", str(tmp_path / "input"))
    shutil.copytree(tiny.raw, tmp_path / "input/competitions/tiny-comp")
    comp = tiny.load("source.kaggle=tiny-comp")
    for stage in (data, check, folds):
        stage(comp, tiny.workspace, log)
    bundle, there = tmp_path / "bundle", Workspace(tmp_path / "there", "tiny")
    bundle.mkdir()
    for path in tiny.workspace.meta.iterdir():
        if path.name != "fetched.json":
            shutil.copy(path, bundle)
    entries = [Entry(path.name, "", 0, f"data/tiny/.pipeline/{path.name}") for path in bundle.iterdir()]
    _take_data(comp, there, bundle, entries, log)
    assert sorted(os.listdir(there.raw / "test_images")) == tiny.test_ids


# Formats that are not read


@pytest.mark.parametrize(
    ("ending", "name"),
    [(".dcm", "DICOM"), (".h5", "HDF5"), (".BSON", "BSON"), (".tfrec", "TFRecord"), (".nii.gz", "NIfTI")],
)
def test_formats_that_are_not_read_are_refused_by_name(tiny, log, ending, name):
    train = [tiny.raw / "train_images" / disease / name for name, (disease, _) in tiny.labels.items()]
    for path in train:
        path.rename(path.with_suffix(ending))
    words = rf"data\.images: 24 files.* are {name} \({ending.lower()}\), which is not read yet; convert .*--plugin"
    table = (tiny.raw / "train.csv").read_text().replace(".png", "")
    (tiny.raw / "train.csv").write_text(table)
    for images in (f"train_images/{{label}}/{{image_id}}{ending}", "train_images/{label}/{image_id}.*"):
        with pytest.raises(RequestError, match=words if ending in images else f"files in .* are {name}"):
            data(tiny.load(f"data.images='{images}'"), tiny.workspace, log)
    walked = "data={images='train_images', test='test_images', id='image_id'}"
    with pytest.raises(RequestError, match=words):
        data(tiny.load(walked, "targets=[{name='disease', folder=true}]"), tiny.workspace, log)


def test_a_reader_of_ones_own_makes_a_format_known(tiny, log):
    for name, (disease, _) in tiny.labels.items():
        path = tiny.raw / "train_images" / disease / name
        path.rename(path.with_suffix(".dcm"))
    text = (tiny.raw / "train.csv").read_text().replace(".png", ".dcm")
    (tiny.raw / "train.csv").write_text(text)
    with plugged():
        READERS.add("dicom", Reader((".dcm",), lambda content: np.zeros((2, 2, 3), np.uint8)))
        data(tiny.load(), tiny.workspace, log)
    assert pd.read_parquet(tiny.workspace.manifest)["path"].str.endswith(".dcm").sum() == 24


def test_archives_are_unpacked_for_every_folder_that_is_called_so(tmp_path):
    """As Planet's test set: tars in 7z archives, of which the file names two at once."""
    for name in ("test", "test-more", "train"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_text(name)
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            archive.add(tmp_path / name, name)
        shutil.rmtree(tmp_path / name)
        write_seven(tmp_path / f"{name}.tar.7z", {f"{name}.tar": (tmp_path / f"{name}.tar").read_bytes()})
        (tmp_path / f"{name}.tar").unlink()
    unpack_for(tmp_path, ["test*.tar/test*/1.jpg"])
    assert (tmp_path / "test.tar" / "test" / "1.jpg").read_text() == "test"
    assert (tmp_path / "test-more.tar" / "test-more" / "1.jpg").read_text() == "test-more"
    assert not (tmp_path / "train.tar").exists()


@pytest.mark.parametrize("names", [("a[1]", "a1"), ("b?", "bc")])
def test_other_marks_of_a_glob_are_letters(tmp_path, names):
    for name in names:
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr("x.txt", name)
    unpack_for(tmp_path, [f"{names[0]}*/x.txt"])
    assert (tmp_path / names[0] / "x.txt").read_text() == names[0]
    assert not (tmp_path / names[1]).exists()


def test_a_table_that_is_packed_is_found_by_its_own_name(tiny, log):
    shutil.make_archive(str(tiny.raw / "train.csv"), "zip", tiny.raw, "train.csv")
    (tiny.raw / "train.csv").unlink()
    data(tiny.load(), tiny.workspace, log)
    assert_complete(tiny)
