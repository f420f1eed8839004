"""A box for each row: read, cut before all else, and the same to the last bit as files that hold the cut alone."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import predictions
from pipeline.data.audit import inspect_images
from pipeline.data.boxes import CUT, EMPTY, SIDES, Cutout, cut_of, pictures, size_of
from pipeline.data.duplicates import near_duplicate_groups
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.targets.said import Target
from pipeline.vision.boxes import refuse_empty
from pipeline.vision.build import Source, build_cache
from pipeline.vision.cache import Cache
from pipeline.vision.config import Resize
from pipeline.vision.data_config import ImageData
from pipeline.vision.gather import PixelSource
from pipeline.vision.manifest import build_manifest, find_test_rows
from pipeline.vision.presize import cut_window
from pipeline.vision.trained import TrainedModel
from pipeline.workspace import INDEX
from tests.command import pipeline
from tests.drawn import write_competition
from tests.test_presize import photo

BOX = ["x", "y", "w", "h"]
WHOLE = (float("nan"),) * 5


@pytest.mark.parametrize(
    ("sides", "cut"),
    [
        ((10, 5, 30, 25, 0), "10,5,30,25"),
        ((10, 5, 30, 25, 2), "8,3,32,27"),
        ((10.2, 5.5, 29.5, 24.0000000001, 0), "10,5,30,24"),
        ((0, 0, 40, 30, 4), "0,0,40,30"),  # a margin beyond the image
        ((-5, 20, 12, 99, 0), "0,20,12,30"),  # a box beyond it
        ((39.5, 0, 60, 10, 0), "39,0,40,10"),
        ((40, 0, 60, 10, 8), EMPTY),  # in the margin alone
        ((-9, 0, 0, 10, 0), EMPTY),
        (WHOLE, ""),
    ],
)
def test_a_box_ends_where_its_image_ends(sides, cut):
    assert cut_of(sides, 40, 30) == cut


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


TABLE = "id,image,kind,x,y,w,h\n1,a.png,u,1,2,10,20\n2,a.png,v,5,5,4,4\n3,b.png,v,,,,\n"


def data_of(**more: object) -> ImageData:
    return ImageData(**{"table": "t.csv", "images": "im/{image}", "box": BOX, **more})


def manifest_of(folder: Path, table: str = TABLE, log: Log | None = None, **more: object) -> pd.DataFrame:
    files(folder, "im/a.png", "im/b.png")
    (folder / "t.csv").write_text(table)
    return build_manifest(folder, data_of(**more), [Target(name="kind")], None, log)


def test_rows_of_one_image_have_boxes_of_their_own(tmp_path, capsys):
    found = manifest_of(tmp_path, log=Log())
    assert found["path"].tolist() == ["im/a.png", "im/a.png", "im/b.png"]
    assert found[list(SIDES)].iloc[:2].to_numpy().tolist() == [[1, 2, 11, 22, 2], [5, 5, 9, 9, 0.4]]
    assert found[list(SIDES)].iloc[2].isna().all()
    assert "1 of 3 rows of t.csv have no box: the whole image is taken" in capsys.readouterr().err
    assert manifest_of(tmp_path, box_margin=0.0)["_margin"].tolist()[:2] == [0, 0]
    assert SIDES[0] not in manifest_of(tmp_path, box=None)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            TABLE.replace(",5,5,4,4", ",5,5,0,4"),
            r"1 rows of t.csv hold no box in x, y, w, h: \(5, 5, 0, 4\) in line 3;",
        ),
        (TABLE.replace(",5,5,4,4", ",5,,4,4"), r"\(5, blank, 4, 4\) in line 3; expected left, top, width and height"),
        (TABLE.replace(",5,5,4,4", ",5,a,4,-4").replace("10,20", "inf,20"), "2 rows .* line 2, .* in line 3;"),
        (TABLE.replace("w,h", "width,h"), "data.box: t.csv has no column 'w'"),
    ],
)
def test_what_is_no_box_is_refused_with_its_lines(tmp_path, table, words):
    with pytest.raises(RequestError, match=words):
        manifest_of(tmp_path, table)


@pytest.mark.parametrize(
    ("said", "words"), [({"table": None}, "there is none"), ({"box": ["x", "y", "w", "x"]}, "twice")]
)
def test_a_box_needs_a_table_and_four_columns(said, words):
    with pytest.raises(ValueError, match=words):
        data_of(**said)


def test_boxes_of_test_images(tmp_path):
    files(tmp_path, "im/a.png", "im/b.png", "te/8", "te/9")
    (tmp_path / "t.csv").write_text(TABLE)
    (tmp_path / "s.csv").write_text("id\n9\n8\n")
    (tmp_path / "u.csv").write_text("id,x,y,w,h\n8,1,1,2,2\n9,0,0,5,5\n")
    sample = tmp_path / "s.csv"
    with pytest.raises(RequestError, match=r"need 'x', 'y', 'w', 'h' too; s\.csv does not have that, nor has t\.csv"):
        find_test_rows(tmp_path, data_of(test="te/{id}"), sample)
    own = find_test_rows(tmp_path, data_of(test="te/{id}", test_table="u.csv"), sample)
    assert own.set_index("id")["_right"].to_dict() == {"8": 3, "9": 5}
    (tmp_path / "b.csv").write_text("id,x,y,w,h\n1,0,0,1,1\n8,1,1,2,2\n9,0,0,7,5\n")
    (tmp_path / "k.csv").write_text("id,image,kind\n1,a.png,u\n")
    beside = find_test_rows(tmp_path, data_of(test="te/{id}", table="k.csv", tables=["b.csv"]), sample)
    assert beside.set_index("id")["_right"].to_dict() == {"8": 3, "9": 7}
    (tmp_path / "train.csv").write_text(TABLE)
    (tmp_path / "test.csv").write_text("id,x,y,w,h\n8,1,1,2,2\n9,0,0,6,5\n")
    usual = find_test_rows(tmp_path, data_of(test="te/{id}", table="train.csv"), sample)
    assert usual.set_index("id")["_right"].to_dict() == {"8": 3, "9": 6}
    (tmp_path / "t.csv").write_text(TABLE + "8,,,1,1,2,2\n9,,,0,0,5,5\n")  # a table of both
    joined = find_test_rows(tmp_path, data_of(test="te/{id}"), sample)
    assert joined.set_index("id")["_right"].to_dict() == {"8": 3, "9": 5}


def test_a_box_outside_of_its_image_is_refused_with_its_id():
    rows = pd.DataFrame({"id": ["a", "b"], "path": ["im/a", "im/b"], **dict(zip(SIDES, ([1, 50],) * 5, strict=True))})
    cuts, side = pd.Series(["", EMPTY]), pd.Series([40, 40])
    with pytest.raises(RequestError, match=r"1 boxes lie outside of their image: b; .*im/b is 40 x 40 pixels"):
        refuse_empty(rows, cuts, side, side)


def write_pair(folder: Path, left: int, right: int, name: str) -> Path:
    """Two photos side by side in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.concatenate([photo(60, 50, left), photo(60, 50, right)], axis=1)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


LEFT, RIGHT = (0, 0, 60, 50, 0), (60, 0, 120, 50, 0)


def test_fingerprints_are_of_what_is_cut(tmp_path):
    one, two = write_pair(tmp_path, 1, 2, "one.png"), write_pair(tmp_path, 2, 3, "two.png")
    Image.fromarray(photo(60, 50, 2)).save(tmp_path / "alone.png")
    paths = [one, one, two, tmp_path / "alone.png", tmp_path / "gone.png", two]
    found = inspect_images(paths, 2, boxes=np.array([LEFT, RIGHT, LEFT, WHOLE, LEFT, (130, 0, 150, 50, 0)]))
    assert found[CUT].tolist() == ["0,0,60,50", "60,0,120,50", "0,0,60,50", "", "", EMPTY]
    assert found["readable"].tolist() == [True, True, True, True, False, True]
    assert found["path"].tolist() == list(map(str, paths))
    assert found["width"].tolist()[:4] == [120, 120, 120, 60]
    looks = found.iloc[:4].assign(sha256=found["sha256"] + found[CUT])
    assert near_duplicate_groups(looks) == [[1, 2, 3]]
    plain = inspect_images(paths, 2)
    assert CUT not in plain
    assert plain["phash"][3] == found["phash"][3]


@pytest.mark.parametrize("form", ["raw", "jpeg"])
def test_a_cache_holds_what_is_cut(tmp_path, form):
    raw, resize = tmp_path / "raw", Resize(size=(32, 32))
    sha = hashlib.sha256(write_pair(raw, 1, 2, "one.png").read_bytes()).hexdigest()
    whole = Source("one.png", sha, 120, 50)
    sources = [whole, *(replace(whole, cut=cut) for cut in ("0,0,60,50", "60,0,120,50"))]
    assert sources[1].size == size_of("0,0,60,50", 120, 50) == (60, 50)
    build_cache(tmp_path / "c", raw, sources, resize, form, 2, lambda *_: None)
    cache = Cache(tmp_path / "c", raw)
    images = [raw / "one.png", Cutout(raw / "one.png", "0,0,60,50"), Cutout(raw / "one.png", "60,0,120,50")]
    assert [cache.row(image) for image in images] == [0, 1, 2]
    assert cache.row(Cutout(raw / "one.png", "0,0,9,9")) == -1
    pixels = np.asarray(Image.open(raw / "one.png"))
    expected = [pixels, photo(60, 50, 1), photo(60, 50, 2)]
    for image, source in zip(images, expected, strict=True):
        assert (PixelSource(resize)._decoded(image) == source).all()
        ours, theirs = np.empty((32, 32, 3), np.uint8), np.empty((32, 32, 3), np.uint8)
        cache.read(cache.row(image), (0.3, 0.6), ours)
        cut_window(source, resize, (0.3, 0.6), theirs)
        assert np.abs(ours.astype(int) - theirs).mean() <= (0 if form == "raw" else 8)


def test_a_cache_of_whole_images_is_as_it_was(tmp_path):
    sha = hashlib.sha256(write_pair(tmp_path / "raw", 1, 2, "one.png").read_bytes()).hexdigest()
    source = Source("one.png", sha, 120, 50)
    for name, cut in (("whole", ""), ("part", "0,0,60,50")):
        folder = tmp_path / name
        build_cache(
            folder, tmp_path / "raw", [replace(source, cut=cut)], Resize(size=(32, 32)), "raw", 1, lambda *_: None
        )
        assert ("cut" in pq.read_schema(folder / INDEX).names) == bool(cut)


def test_a_damaged_cut_is_made_anew(tmp_path):
    raw, resize, told = tmp_path / "raw", Resize(size=(32, 32)), []
    sha = hashlib.sha256(write_pair(raw, 1, 2, "one.png").read_bytes()).hexdigest()
    build_cache(
        tmp_path / "c", raw, [Source("one.png", sha, 120, 50, cut="60,0,120,50")], resize, "raw", 1, lambda *_: None
    )
    with open(tmp_path / "c" / "pixels.bin", "r+b") as file:
        file.write(b"\x00" * 300)
    ours, theirs = np.empty((32, 32, 3), np.uint8), np.empty((32, 32, 3), np.uint8)
    Cache(tmp_path / "c", raw, told.append).read(0, None, ours)
    cut_window(photo(60, 50, 2), resize, None, theirs)
    assert (ours == theirs).all()
    assert len(told) == 1


def framed(folder: Path, margin: int = 9) -> Path:
    """The tiny competition with each picture inside of a larger one, and boxes around it."""
    path = write_competition(folder)
    raw = folder / "raw"
    for number, file in enumerate(sorted(raw.glob("*_images/**/*.png"))):
        pixels = np.asarray(Image.open(file))
        height, width = pixels.shape[:2]
        around = photo(width + 4 * margin, height + 2 * margin, 500 + number).copy()
        around[margin : margin + height, margin : margin + width] = pixels
        Image.fromarray(around).save(file)
    for name in ("train.csv", "sample_submission.csv"):
        head, *lines = (raw / name).read_text().splitlines()
        rows = [f"{line},{margin},{margin},{width},{height}" for line in lines]
        (raw / name.replace("sample_submission", "test")).write_text(
            "\n".join([f"{head},{','.join(BOX)}", *rows]) + "\n"
        )
    said = f'test = "test_images"\ntest_table = "test.csv"\nbox = {json.dumps(BOX)}\nbox_margin = 0.0'
    path.write_text(path.read_text().replace('test = "test_images"', said))
    return path


def test_boxes_are_as_files_that_hold_the_cut_alone(tmp_path):
    """Manifest, folds, cache, training, TTA and test rows: all see what is cut, and nothing besides."""
    found = []
    for name, path in (("boxes", framed(tmp_path / "boxes")), ("files", write_competition(tmp_path / "files"))):
        done = pipeline("run", path, "--root", tmp_path / name)
        assert done.code == 0, done.err
        found.append([predictions.load(file) for file in sorted((tmp_path / name / "runs").rglob("*.parquet"))])
        assert ("boxes: 60 cut out (0 end where" in done.err) == (name == "boxes")
    assert len(found[0]) == len(found[1]) > 4
    for ours, theirs in zip(*found, strict=True):
        ours.check_matches(theirs)
        for target, values in ours.values.items():
            assert (values == theirs.values[target]).all()


def test_boxes_of_one_image_stay_together_and_outside_is_refused(tmp_path):
    path = framed(tmp_path)
    table = tmp_path / "raw" / "train.csv"
    head, *lines = table.read_text().splitlines()
    path.write_text(path.read_text().replace("{colour}/{image_id}", "{file}"))
    places = {
        file.name: file.relative_to(tmp_path / "raw/train_images") for file in tmp_path.rglob("train_images/*/*.png")
    }
    shown = [places[f"{number // 4:04}.png"] for number in range(len(lines))]  # four rows an image
    rows = [f"{line},{file}" for line, file in zip(lines, shown, strict=True)]
    moved = [row.replace(",9,9,44,36,", f",{9 + number % 4},9,44,36,") for number, row in enumerate(rows)]
    table.write_text("\n".join([f"{head},file", *moved]) + "\n")
    for stage in ("data", "check", "folds"):
        done = pipeline(stage, path, "--root", tmp_path)
        assert done.code == 0, done.err
    folds = pd.read_csv(next(tmp_path.rglob("folds.csv")))["fold"]
    assert folds.groupby(np.arange(48) // 4).nunique().max() == 1
    table.write_text("\n".join([f"{head},file", moved[0].replace(",9,9,44", ",900,9,44"), *moved[1:]]) + "\n")
    assert pipeline("data", path, "--root", tmp_path).code == 0
    refused = pipeline("check", path, "--root", tmp_path)
    assert refused.code == 2
    assert "1 boxes lie outside of their image: 0000.png" in refused.err


def test_loose_files_are_predicted_whole_and_that_is_said(tmp_path, capsys):
    path = framed(tmp_path)
    for stage in ("data", "check", "folds", "train"):
        assert pipeline(stage, path, "--root", tmp_path).code == 0
    trained = TrainedModel.open(next(tmp_path.rglob("fold-0/weights.safetensors")))
    capsys.readouterr()
    images = [write_pair(tmp_path, 1, 2, "loose.png")]
    trained.predict(["x"], images, tta=0)
    assert "trained on boxes" in capsys.readouterr().err
    trained.predict(["x"], [photo(60, 50, 1)], tta=0)
    assert "trained on boxes" not in capsys.readouterr().err


def test_pictures_are_files_where_nothing_is_cut(tmp_path):
    rows = pd.DataFrame({"path": ["a", "a"], CUT: ["", "0,0,1,1"]})
    assert pictures(rows, tmp_path) == [tmp_path / "a", Cutout(tmp_path / "a", "0,0,1,1")]
    assert pictures(rows[["path"]], tmp_path) == [tmp_path / "a", tmp_path / "a"]
