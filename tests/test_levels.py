"""Images of more than 8 bits: the range of their set becomes 0 to 255, wherever they are read."""

import io
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.data.audit import audit, inspect_images
from pipeline.data.levels import BYTE, levels_of, range_of, to_rgb
from pipeline.data.readers import decode
from pipeline.vision.cache import Cache
from pipeline.vision.config import ImageModel, Resize
from pipeline.vision.gather import PixelSource
from pipeline.vision.kind import DEEP
from pipeline.vision.metadata import Metadata, read_metadata
from pipeline.vision.trained import TrainedModel
from pipeline.workspace import read_json
from tests.command import pipeline

RANGES = {
    "16 bits": ("I", 0, 65_535, (0, 65_535)),
    "16 bits, hardly used": ("I", 3, 40_000, (0, 65_535)),
    "12 bits in 16": ("I", 0, 3_100, (0, 4_095)),
    "8 bits in 16": ("I", 0, 200, (0, 255)),
    "32 bits": ("I", 0, 2**31 - 1, (0, 2**31 - 1)),
    "Hounsfield units": ("I", -1_024, 3_071, (-1_024, 3_071)),
    "share": ("F", 0.0, 0.93, (0, 1)),
    "byte as float": ("F", 0.0, 254.5, (0, 255)),
    "overshoot": ("F", -0.02, 1.03, (-0.02, 1.03)),
    "kelvin": ("F", 270.5, 310.25, (270.5, 310.25)),
    "few": ("F", 0.0, 7.5, (0, 7.5)),
}


@pytest.mark.parametrize("name", RANGES)
def test_the_range_of_a_set_follows_from_its_least_and_greatest_value(name):
    sort, low, high, expected = RANGES[name]
    assert range_of(sort, low, high) == expected


def of_values(values: list[float], dtype: type) -> Image.Image:
    return Image.fromarray(np.array([values], dtype))


@pytest.mark.parametrize(
    ("values", "dtype", "levels", "expected"),
    [
        ([0, 257, 32_896, 65_535], np.uint16, (0, 65_535), [0, 1, 128, 255]),
        ([0, 2_048, 4_095, 5_000], np.uint16, (0, 4_095), [0, 128, 255, 255]),
        ([0, 100, 255, 256], np.uint16, BYTE, [0, 100, 255, 255]),
        ([-2_000, -1_024, 3_071], np.int32, (-1_024, 3_071), [0, 0, 255]),
        ([0, 2**30, 2**31 - 1], np.int32, (0, 2**31 - 1), [0, 128, 255]),
        ([0.0, 0.5, 1.0, np.nan, np.inf, -np.inf], np.float32, (0, 1), [0, 128, 255, 0, 255, 0]),
        ([0.0, 100.7, 255.0], np.float32, BYTE, [0, 100, 255]),
        ([5.0, 5.0], np.float32, (5, 5), [0, 0]),
    ],
)
def test_values_are_scaled_to_bytes(values, dtype, levels, expected):
    image = of_values(values, dtype)
    rgb = to_rgb(image, {image.mode[0]: levels})
    assert rgb.mode == "RGB"
    assert np.asarray(rgb)[0].tolist() == [[value] * 3 for value in expected]


def test_an_image_of_no_set_is_one_of_its_own():
    for dtype, greatest, half in ((np.uint16, 65_535, 128), (np.uint16, 4_095, 128), (np.float32, 1.0, 128)):
        file = io.BytesIO()
        of_values([0, greatest / 2, greatest], dtype).save(file, "TIFF")
        assert decode(file.getvalue(), "a.tif")[0, :, 0].tolist()[::2] == [0, 255]
        assert abs(int(decode(file.getvalue(), "a.tif")[0, 1, 0]) - half) <= 1


def test_an_8_bit_image_is_read_as_ever_whatever_the_levels():
    file = io.BytesIO()
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(file, "PNG")
    pixels = decode(file.getvalue(), "a.png", {"I": (0, 4_095), "F": (0, 1)})
    assert np.array_equal(pixels[..., 0], np.arange(256).reshape(16, 16))


def facts_of(rows: list[tuple[str, float, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["mode", "low", "high"])
    return table.assign(readable=True)


def test_a_range_is_that_of_the_training_images():
    facts = facts_of([("RGB", np.nan, np.nan), ("I;16", 0, 3_000), ("I;16", 9, 4_000), ("I;16", 0, 60_000)])
    assert levels_of(facts, np.array([True, True, True, False])) == {"I": (0, 4_095)}
    assert levels_of(facts, np.array([True, False, False, False])) == {"I": (0, 65_535)}, "there are no others"
    assert levels_of(facts[:1], np.array([True])) == {}
    both = facts_of([("I", 0, 200), ("F", 0, 0.5)])
    assert levels_of(both, np.array([True, True])) == {"I": (0, 255), "F": (0, 1)}


def save(values: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def test_the_audit_finds_the_range_and_what_lies_beyond(tmp_path):
    ramp = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    whites = {"a.png": 4_000, "b.png": 9_000}
    paths = [save((ramp * white).astype(np.uint16), tmp_path / name) for name, white in whites.items()]
    paths += [save((ramp * 255).astype(np.uint8), tmp_path / "c.png")]
    facts = inspect_images(paths, workers=2)
    assert facts[["low", "high"]].fillna(-1).to_numpy().tolist() == [[0, 4_000], [0, 9_000], [-1, -1]]
    manifest = pd.DataFrame({"id": list("abc"), "split": ["train", "test", "train"], "y": "x"})
    manifest["path"] = manifest["id"] + ".png"
    found = audit(manifest, facts, [], ["y"])
    assert found["levels"] == {"I": [0, 4_095]}
    assert found["beyond_levels"] == [{"id": "b", "split": "test", "path": "b.png", "low": 0, "high": 9_000}]
    json.dumps(found)
    plain = audit(manifest[2:], inspect_images(paths[2:], workers=1), [], ["y"])
    assert not {"levels", "beyond_levels"} & plain.keys()


def test_floats_without_a_number_are_unreadable(tmp_path):
    path = save(np.full((64, 64), np.nan, np.float32), tmp_path / "nan.tif")
    row = inspect_images([path], workers=1).iloc[0]
    assert (row.readable, row.error) == (False, "holds no finite number")


TOML = """\
slug = "deep"
seed = 1
[source]
path = "{raw}"
[data]
table = "train.csv"
id = "id"
images = "train"
test = "test"
[[targets]]
name = "label"
[folds]
n = 2
[[models]]
name = "m"
arch = "test_resnet"
weights = "none"
resize = {{ size = [40, 32], method = "squish" }}
size = [32, 24]
batch_size = 8
epochs = 1
tta = 1
augment = {{ min_scale = 0.8, flip = false, flip_vert = true }}
[submission]
columns = {{ label = "label" }}
"""


def write(folder: Path, white: int, dtype: type = np.uint16, ending: str = "png") -> Path:
    """Bright or dark noise; no value reaches more than `white`."""
    generator, lines = np.random.default_rng(0), []
    for number in range(30):
        bright, place = number % 2, "train" if number < 24 else "test"
        shade = generator.uniform(0.5, 1, (44, 36)) if bright else generator.uniform(0, 0.4, (44, 36))
        save((shade * white).astype(dtype), folder / "raw" / place / f"{number:02}.{ending}")
        lines.append((place, f"{number:02}.{ending},{'ab'[bright]}"))
    for name, place in (("train.csv", "train"), ("sample_submission.csv", "test")):
        text = "\n".join(["id,label", *(line for where, line in lines if where == place)])
        (folder / "raw" / name).write_text(text + "\n")
    path = folder / "deep.toml"
    path.write_text(TOML.format(raw=folder / "raw"))
    return path


@pytest.fixture(scope="module")
def walked(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("deep")
    result = pipeline("run", write(folder, 4_000), "--root", folder)
    assert result.code == 0, result.err
    assert "30 of them with more than 8 bits (whole numbers from 0 to 4,095 become 0 to 255)" in result.err
    return folder


def test_cache_and_files_give_the_scaled_pixels(walked):
    (place,) = (path.parent for path in (walked / "data/deep").rglob("pixels*") if path.is_file())
    raw = walked / "data/deep"
    cache = Cache(place, raw)
    assert cache.levels == {"I": (0, 4_095)}
    paths = sorted(raw.rglob("train/*.png"))
    kept = PixelSource(cache.resize, cache).start(paths, [None] * 24).result().float()
    assert kept[1::2].mean() == pytest.approx(0.75 * 255 * 4_000 / 4_095, rel=0.02)
    assert kept[::2].mean() == pytest.approx(0.2 * 255 * 4_000 / 4_095, rel=0.03)
    read = PixelSource(cache.resize, levels=cache.levels, exact=True).start(paths, [None] * 24).result().float()
    assert (read - kept).abs().max() == 0


def test_a_fold_knows_its_levels_when_it_is_opened_alone(walked):
    weights = sorted((walked / "runs/deep/m").glob("fold-0/weights*"))[0]
    assert read_metadata(weights).levels == {"I": (0, 4_095)}
    held = pd.read_parquet(walked / "runs/deep/m/fold-0/plain/oof.parquet").set_index("id")
    trained = TrainedModel.open(weights)
    raw = next((walked / "data/deep").rglob("train"))
    found = trained.predict(list(held.index), [raw / name for name in held.index], tta=0)
    expected = held[[column for column in held if column.startswith("label/")]].to_numpy()
    assert np.abs(found.values["label"] - expected).max() < 1e-4


CORRECTED = ("random crop of a rectangle", "vertical flips without flip")


def standing_of(comp: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The state of each stage, and why some are stale."""
    found = pipeline("status", comp, "--root", comp.parent, "--json").json
    return found["stages"], found.get("why", {})


def take_out(stamp: Path, *keys: str) -> None:
    """As an earlier version left it."""
    said = json.loads(stamp.read_text())
    for key in keys:
        del said["inputs"][key]
    stamp.write_text(json.dumps(said))


def test_weights_of_a_set_of_8_bits_say_nothing_of_levels():
    model = ImageModel(name="m", arch="test_resnet")
    assert "levels" not in Metadata.of(model, [], (1, "m", 0), levels={}).header()["metadata"]
    assert '"levels":{"F":[0.0,1.0]}' in Metadata.of(model, [], (1, "m", 0), levels={"F": (0, 1)}).header()["metadata"]


def test_what_earlier_versions_made_of_such_images_is_stale_with_a_reason_and_made_anew(walked):
    comp, stamps = walked / "deep.toml", [*walked.rglob("trained.json")]
    states, _ = standing_of(comp)
    assert set(states.values()) == {"done"}
    for stamp in stamps:
        take_out(stamp, DEEP, *CORRECTED)
    _, why = standing_of(comp)
    assert why["train"][0].endswith(
        f'{DEEP} changed from null to {{"whole numbers": "0 to 4,095"}}; '
        'random crop of a rectangle changed from null to "keeps its shape"; '
        'vertical flips without flip changed from null to "half of the images"'
    )
    checked, audited = walked / "data/deep/.pipeline/check.json", walked / "data/deep/.pipeline/audit.json"
    take_out(checked, DEEP)
    said = json.loads(audited.read_text())
    audited.write_text(json.dumps({key: value for key, value in said.items() if key != "levels"}))
    states, why = standing_of(comp)
    assert states["check"] == "stale"
    assert why["check"][0].startswith(DEEP)
    result = pipeline("run", comp, "--root", walked)
    assert result.code == 0, result.err
    assert "train m fold 2/2" in result.err
    assert "folds: done" not in result.err, "what is in them is the same"
    states, _ = standing_of(comp)
    assert set(states.values()) == {"done"}


def test_bytes_in_16_bits_stay_as_they_were(tmp_path):
    comp = write(tmp_path, 250)
    comp.write_text(comp.read_text().replace("flip = false, flip_vert = true", "").replace("min_scale = 0.8,", ""))
    for stage in ("data", "check", "folds", "presize", "train"):
        result = pipeline(stage, comp, "--root", tmp_path)
        assert result.code == 0, result.err
    said = read_json(next(tmp_path.rglob("trained.json")))["inputs"]
    assert said.keys() == {"version", "model", "targets", "seed", "manifest", "folds", "images"}


def test_floats_up_to_one_fill_the_range(tmp_path):
    result = pipeline("run", write(tmp_path, 1, np.float32, "tif"), "--root", tmp_path)
    assert result.code == 0, result.err
    assert "floats from 0 to 1 become 0 to 255" in result.err
    (pixels,) = (path for path in (tmp_path / "data/deep").rglob("pixels*") if path.is_file())
    assert np.fromfile(pixels, np.uint8).std() > 60


def test_a_photo_between_pillows_warning_and_its_limit_is_read_without_a_word(tmp_path):
    path = tmp_path / "map.png"
    Image.new("L", (10_000, 9_000), 200).save(path, compress_level=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert inspect_images([path], workers=1)["readable"].all()
        pixels = PixelSource(Resize(size=(8, 8))).start([path], [None]).result()
    assert pixels.unique().tolist() == [200]


def test_the_reason_is_said_of_a_test_image_that_gets_class_priors(tmp_path):
    comp = write(tmp_path, 4_000)
    (tmp_path / "raw/test/25.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    pipeline("data", comp, "--root", tmp_path)
    result = pipeline("check", comp, "--root", tmp_path)
    assert "1 unreadable test image(s) get a row of class priors: 25.png (test/25.png is not an image)" in result.err
