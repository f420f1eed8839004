"""Images of other channels than RGB: several files, arrays, grey; from the file to the submission."""

import gzip
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pipeline import competitions
from pipeline.commands.bundle import _artifacts
from pipeline.commands.infer import infer
from pipeline.data.audit import audit, inspect_images
from pipeline.data.channels import RGB, Channels, Said, channels_of
from pipeline.data.duplicates import near_duplicate_groups
from pipeline.data.levels import levels_of, to_bytes
from pipeline.data.readers import READERS, Reader, decode
from pipeline.data.several import digest_of, files_of, joined, read_content
from pipeline.errors import RequestError, WorkFailed
from pipeline.kaggle.manifest import Entry
from pipeline.targets import TargetSpec
from pipeline.vision.augment import FusedAugment, resize_as_fastai, warp_by_torch
from pipeline.vision.build import Source, build_cache
from pipeline.vision.cache import Cache
from pipeline.vision.config import Augment, Resize
from pipeline.vision.data_config import ImageData
from pipeline.vision.fitting import fit_of
from pipeline.vision.gather import PixelSource
from pipeline.vision.layout import Form
from pipeline.vision.metadata import read_metadata
from pipeline.vision.model import build_network, save_weights
from pipeline.vision.presize import frame_of, presize
from pipeline.vision.trained import TrainedModel
from pipeline.workspace import Workspace
from tests.command import pipeline
from tests.plugged import plugged

COLOURS = ("red", "green", "blue", "yellow")
SPEC = TargetSpec("label", "category", ("a", "b", "c"))


def noise(channels: int, seed: int = 0, height: int = 44, width: int = 36) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# Several files


def test_several_files_are_one_path_wherever_they_lie(tmp_path):
    path = joined(["train/red/1.png", "train/red/1_b.png", "masks/1.png"])
    assert path == "train/red/1.png|1_b.png|../../masks/1.png"
    assert files_of(tmp_path / path) == [
        str(tmp_path / name) for name in ("train/red/1.png", "train/red/1_b.png", "masks/1.png")
    ]
    with pytest.raises(ValueError, match="a bar"):
        joined(["a|b.png", "c.png"])


def test_a_file_with_a_bar_in_its_name_is_one(tmp_path):
    path = put(tmp_path / "a|b.png", png(noise(3)))
    assert files_of(path) == [str(path)]
    assert inspect_images([path], workers=1)["readable"].all()


def test_the_digest_is_of_all_files(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        put(tmp_path / f"{name}.png", png(noise(1, seed)[:, :, 0]))
    path = tmp_path / joined(["a.png", "b.png"])
    before = digest_of(read_content(path))
    assert inspect_images([path], workers=1)["sha256"][0] == before
    put(tmp_path / "b.png", png(noise(1, 3)[:, :, 0]))
    assert digest_of(read_content(path)) != before


def test_files_become_channels_in_their_order():
    pixels = noise(4)
    contents = [png(pixels[:, :, k]) for k in range(4)]
    assert np.array_equal(decode(contents, "a|b|c|d", channels=Channels(4)), pixels)
    assert np.array_equal(decode(contents[::-1], "a|b|c|d", channels=Channels(4)), pixels[:, :, ::-1])


def test_a_file_in_colour_is_three_channels_or_grey_where_that_is_said(tmp_path):
    colour, grey = noise(3), noise(1, 1)
    paths = [put(tmp_path / "a.png", png(colour)), put(tmp_path / "b.png", png(grey[:, :, 0]))]
    contents, both = [path.read_bytes() for path in paths], tmp_path / "a.png|b.png"
    assert np.array_equal(decode(contents, both, channels=Channels(4)), np.concatenate([colour, grey], axis=2))
    as_grey = np.asarray(Image.fromarray(colour).convert("L"))[:, :, None]
    assert np.array_equal(decode(contents, both, channels=Channels(2)), np.concatenate([as_grey, grey], axis=2))
    assert inspect_images([both], workers=1)["channels"].tolist() == [4]
    assert inspect_images([both], workers=1, said=Said(2))["channels"].tolist() == [2]


def test_files_of_several_formats_are_no_lie(tmp_path):
    Image.fromarray(noise(3)).save(tmp_path / "a.jpg")
    put(tmp_path / "b.png", png(noise(1)[:, :, 0]))
    facts = inspect_images([tmp_path / "a.jpg|b.png"], workers=1)
    manifest = pd.DataFrame({"id": ["1"], "split": ["train"], "path": ["a.jpg|b.png"]})
    found = audit(manifest, facts, [], [], channels_of(facts, Said()))
    assert found["mislabelled"] == []
    assert found["channels"] == {"count": 4}


def test_files_of_different_sizes_are_unreadable(tmp_path):
    put(tmp_path / "a.png", png(noise(3)[:, :, 0]))
    put(tmp_path / "b.png", png(noise(3, 0, 20, 30)[:, :, 0]))
    row = inspect_images([tmp_path / "a.png|b.png", tmp_path / "a.png|c.png"], workers=1)
    assert row["error"].tolist() == ["has files of different sizes: a.png is 36x44, b.png 30x20", "file is missing"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"images": []}, "expected patterns"),
        ({"images": ["a|b.png", "c.png"]}, "expected patterns"),
        ({"images": ["r", "g"], "table": None}, "goes with table"),
        ({"images": ["r", "g"], "test": ["t"]}, "same number of files"),
    ],
)
def test_several_files_are_said_in_full(said, words):
    with pytest.raises(ValueError, match=words):
        ImageData(**{"table": "t.csv", **said})


# Arrays


@pytest.mark.parametrize("how", ["npy", "npz", "gz", "fortran", "first", "big"])
def test_an_array_is_read_as_it_is_written(how):
    pixels = noise(3)
    values = np.moveaxis(pixels, 2, 0) if how == "first" else np.asfortranarray(pixels) if how == "fortran" else pixels
    content, name = npy(values), "a.npy"
    if how == "npz":
        file = io.BytesIO()
        np.savez_compressed(file, values)
        content, name = file.getvalue(), "a.npz"
    if how == "gz":
        content, name = gzip.compress(content), "a.npy.gz"
    if how == "big":
        content = npy(values.astype(">i4") * 257)
        assert np.array_equal(decode(content, name, {"I": (0, 65_535)}), pixels)
        return
    assert np.array_equal(decode(content, name), pixels), "the very pixels of a PNG"
    assert np.array_equal(decode(content, name), decode(png(pixels), "a.png"))


def test_channels_are_on_the_smaller_end_or_where_it_is_said():
    values = np.zeros((6, 40, 30), np.uint8)
    values[2] = 9
    assert decode(npy(values), "a.npy", channels=Channels(6))[..., 2].min() == 9
    assert decode(npy(values), "a.npy", channels=Channels(30, "last")).shape == (6, 40, 30)
    assert decode(npy(values[0]), "a.npy", channels=Channels(1)).shape == (40, 30, 1)
    assert decode(npy(noise(1)[:, :, 0]), "a.npy").shape == (44, 36, 3), "grey where RGB is wanted"


BAD = {
    "an array of objects": (npy, np.array([{"a": 1}], dtype=object)),
    "expected numbers": (npy, np.zeros((4, 4), "U3")),
    "expected height and width": (npy, np.zeros((1, 4, 5, 3))),
    "say data.channel_axis": (npy, np.zeros((5, 4, 5))),
    "is an empty array": (npy, np.zeros((0, 4))),
    "is no array of NumPy": (bytes, b"something else"),
    "ends too early": (lambda values: npy(values)[:-9], np.zeros((4, 5))),
    "holds no finite number": (npy, np.full((4, 5), np.nan)),
    "channels on its first axis": (npy, np.zeros((600, 700, 800), np.uint8)),
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_no_image_is_unreadable_with_a_reason(words, tmp_path):
    write, values = BAD[words]
    path = put(tmp_path / "a.npy", write(values))
    facts = inspect_images([path], workers=1)
    assert not facts["readable"][0]
    assert words in facts["error"][0]


RAN: list[int] = []


class Evil:
    def __reduce__(self) -> tuple:
        return RAN.append, (1,)


def test_no_pickle_is_run(tmp_path):
    path = put(tmp_path / "a.npy", npy(np.array([Evil()], dtype=object)))
    assert not inspect_images([path], workers=1)["readable"][0]
    assert not RAN


def test_several_arrays_in_a_file_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 4)), y=np.zeros((4, 4)))
    assert "holds 2 arrays (x.npy, y.npy)" in inspect_images([tmp_path / "a.npz"], workers=1)["error"][0]


def facts_of(folder: Path, arrays: Sequence[np.ndarray]) -> pd.DataFrame:
    paths = [put(folder / f"{number}.npy", npy(values)) for number, values in enumerate(arrays)]
    return inspect_images(paths, workers=1)


def test_floats_are_scaled_by_the_range_of_the_training_images(tmp_path):
    ramp = np.linspace(0, 1, 40 * 40 * 2).reshape(40, 40, 2).transpose(2, 0, 1).astype(np.float16)
    facts = facts_of(tmp_path, [ramp * 4 - 1, ramp - 0.5, ramp * 9])
    levels = levels_of(facts, np.array([True, True, False]))
    assert levels == {"F": (-1.0, 3.0)}
    pixels = decode(read_content(tmp_path / "1.npy"), "1.npy", levels, Channels(2))
    assert pixels[0, 0, 0] == round(0.5 / 4 * 255)
    assert pixels[-1, -1, 1] == round(1.5 / 4 * 255)


def test_a_channel_whose_range_is_narrow_gives_each_its_own(tmp_path):
    values = np.stack([np.linspace(0, 50, 1600), np.linspace(-1, 1, 1600)]).reshape(2, 40, 40)
    facts = facts_of(tmp_path, [values])
    levels = levels_of(facts, np.array([True]))
    assert levels == {"F:0": (0, 50), "F:1": (-1, 1)}
    pixels = decode(read_content(tmp_path / "0.npy"), "0.npy", levels, Channels(2))
    assert (pixels.min(axis=(0, 1)).tolist(), pixels.max(axis=(0, 1)).tolist()) == ([0, 0], [255, 255])


def test_sorts_of_values_may_differ_between_files():
    parts = [noise(1), np.linspace(0, 4_095, 44 * 36).reshape(44, 36, 1).astype(np.uint16), np.ones((44, 36, 1), bool)]
    pixels = to_bytes(parts, None)
    assert np.array_equal(pixels[:, :, :1], parts[0])
    assert (pixels[:, :, 1].min(), pixels[:, :, 1].max(), pixels[:, :, 2].min()) == (0, 255, 255)


def test_near_duplicates_of_other_channels_are_found(tmp_path):
    first, other = (np.kron(noise(6, seed, 6, 6), np.ones((8, 8, 1), np.uint8)) for seed in (1, 2))
    facts = facts_of(tmp_path, [first, other, (first * 0.99).astype(np.uint8)])
    assert near_duplicate_groups(facts) == [[0, 2]]


def test_images_of_different_channels_are_refused_with_the_first_of_each(tmp_path):
    facts = facts_of(tmp_path, [noise(2), noise(2), noise(5)])
    with pytest.raises(RequestError, match=r"2 have 2, such as .*0\.npy; 1 have 5, such as .*2\.npy"):
        channels_of(facts, Said())
    with pytest.raises(RequestError, match=r"data\.channels = 2: 1 of 3 images have another number.*2\.npy \(5\)"):
        channels_of(facts, Said(2))
    mixed = facts_of(tmp_path, [np.zeros((4, 20, 20), np.uint8), np.zeros((20, 20, 4), np.uint8)])
    with pytest.raises(RequestError, match=r"say data\.channel_axis"):
        channels_of(mixed, Said())
    assert channels_of(facts[:2], Said()) == Channels(2, "last")


def test_pictures_are_rgb_unless_it_is_said(tmp_path):
    paths = [put(tmp_path / "a.png", png(noise(1)[:, :, 0])), put(tmp_path / "b.png", png(noise(4)))]
    plain = inspect_images(paths, workers=1)
    assert "channels" not in plain
    assert channels_of(plain, Said()) == RGB
    for count in (1, 3, 4):
        found = channels_of(inspect_images(paths, workers=1, said=Said(count)), Said(count))
        assert found.count == count
        assert decode(paths[0].read_bytes(), paths[0], channels=found).shape == (44, 36, count)
    assert np.array_equal(decode(paths[0].read_bytes(), "a.png", channels=Channels(1)), noise(1))
    assert np.array_equal(decode(paths[1].read_bytes(), "b.png", channels=Channels(4)), noise(4))
    with pytest.raises(RequestError, match=r"data\.channels = 6"):
        channels_of(inspect_images(paths, workers=1, said=Said(6)).assign(channels=3, axis=""), Said(6))


def test_a_plug_in_may_read_other_channels(tmp_path):
    pixels = noise(5)
    with plugged():
        READERS.add("five", Reader((".five",), lambda content: pixels, channels=5))
        path = put(tmp_path / "a.five", b"x")
        facts = inspect_images([path], workers=1)
        assert channels_of(facts, Said()) == Channels(5)
        assert np.array_equal(decode(b"x", path, channels=Channels(5)), pixels)


# The input path


CROP = Resize(size=(20, 24))


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
@pytest.mark.parametrize("size", [(44, 36), (20, 90)])
def test_each_channel_is_presized_as_a_grey_picture(channels, size):
    pixels = noise(channels, 0, *size)
    whole = presize(pixels, CROP)
    for number in range(channels):
        rgb = np.repeat(pixels[:, :, number : number + 1], 3, axis=2)
        assert np.array_equal(whole[:, :, number], presize(rgb, CROP)[:, :, 0])


def build(folder: Path, arrays: Sequence[np.ndarray], form: Form) -> tuple[Cache, list[Path]]:
    sources = []
    for number, values in enumerate(arrays):
        path = put(folder / "raw" / f"{number}.npy", npy(values))
        height, width, count = values.shape
        sources.append(Source(path.name, digest_of(path.read_bytes()), width, height, None, Channels(count, "last")))
    build_cache(folder / "kept", folder / "raw", sources, CROP, form, 1, lambda *_: None)
    return Cache(folder / "kept", folder / "raw"), [folder / "raw" / source.path for source in sources]


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_cache_gives_the_windows_of_the_files(channels, tmp_path):
    arrays = [noise(channels, number, *size) for number, size in enumerate([(44, 36), (30, 90), (90, 30)])]
    cache, paths = build(tmp_path, arrays, "raw")
    assert cache.channels == Channels(channels, "last")
    kept, read = PixelSource(CROP, cache), PixelSource(CROP, exact=True, channels=cache.channels)
    for at in (None, (0.0, 0.0), (0.99, 0.3), (0.2, 0.99)):
        windows = [source.start(paths, [at] * 3).result() for source in (kept, kept, read)]  # the second by views
        assert windows[0].shape == (3, 20, 24, channels)
        assert torch.equal(windows[0], windows[1])
        assert torch.equal(windows[0], windows[2])


def test_a_changed_file_of_several_is_refused(tmp_path):
    raw, path = tmp_path / "raw", "a.png|b.png"
    for name in ("a", "b"):
        put(raw / f"{name}.png", png(noise(1)[:, :, 0]))
    source = Source(path, digest_of(read_content(raw / path)), 36, 44, None, Channels(2))
    build_cache(tmp_path / "kept", raw, [source], CROP, "raw", 1, lambda *_: None)
    assert not Cache(tmp_path / "kept", raw).faults(lambda *_: None)
    put(raw / "b.png", png(noise(1, 9)[:, :, 0]))
    assert Cache(tmp_path / "kept", raw).faults(lambda *_: None) == [path]
    with pytest.raises(WorkFailed, match="was changed after the audit"):
        PixelSource(CROP, Cache(tmp_path / "kept", raw)).start([raw / path], [None]).result()
    with pytest.raises(WorkFailed, match="was changed after the audit"):
        build_cache(tmp_path / "again", raw, [source], CROP, "raw", 1, lambda *_: None)


@pytest.mark.parametrize("channels", [1, 6])
def test_a_cache_of_jpegs_is_near(channels, tmp_path):
    smooth = [np.kron(noise(channels, 3, 3, 3), np.ones((14, 14, 1), np.uint8))]
    cache, paths = build(tmp_path, smooth, "jpeg")
    found = PixelSource(CROP, cache).start(paths, [None]).result()[0].float()
    frame = frame_of(42, 42, CROP)
    wanted = presize(smooth[0], CROP)[frame.down.centre :, frame.across.centre :][:20, :24]
    assert (found - torch.from_numpy(wanted.astype(np.float32))).abs().mean() < 4


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("training", [True, False])
def test_augmentation_does_the_same_to_every_channel(channels, training):
    grey = torch.from_numpy(np.kron(noise(1, 5, 10, 10), np.ones((6, 6, 1), np.uint8))).permute(2, 0, 1)[None]
    stats = (0.5,) * channels, (0.25,) * channels
    augment = FusedAugment(Augment(), (32, 32), stats)
    from fastai.vision.core import TensorImage

    batch = TensorImage(grey.repeat(2, channels, 1, 1))
    out = augment(batch, split_idx=0 if training else 1).as_subclass(torch.Tensor)
    assert out.shape == (2, channels, 32, 32)
    assert torch.allclose(out, out[:, :1].expand_as(out), atol=1e-5)
    if training:
        slow = warp_by_torch(augment, batch.as_subclass(torch.Tensor), augment.homographies(batch.shape))
        assert (out - slow).abs().max() < 0.1
    else:
        stock = augment.normalized(resize_as_fastai(batch.as_subclass(torch.Tensor).float() / 255, (32, 32)))
        assert torch.allclose(out, stock, atol=1e-4)
    shown = augment.decodes(TensorImage(out))
    assert shown.shape[1] == (3 if channels >= 3 else 1)


# Networks


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_weights_for_rgb_are_adapted_as_timm_does_it(channels, tmp_path):
    import timm

    model = timm.create_model("test_resnet", num_classes=0)
    path = tmp_path / "rgb.safetensors"
    save_weights(path, model, {})
    network = build_network("test_resnet", str(path), [SPEC], (32, 32), channels=channels)
    first = network.model[0].model.conv1[0].weight
    assert first.shape[1] == channels
    rgb = model.conv1[0].weight.float()
    repeated = rgb.repeat(1, -(-channels // 3), 1, 1)[:, :channels] * 3 / channels
    assert torch.allclose(first, rgb.sum(dim=1, keepdim=True) if channels == 1 else repeated, atol=1e-6)
    assert f"conv1.0.weight from 3 channels to {channels}" in network.start
    total = network.start.split(" tensors")[0].split()[-3::2]
    assert total[0] == total[1], "the adapted layer counts"
    mean, std = network.stats
    assert mean == pytest.approx([sum((0.5, 0.5, 0.5)) / 3] * channels)
    assert len(std) == channels


def test_weights_of_such_images_start_another_model_whole(tmp_path):
    network = build_network("test_resnet", "none", [SPEC], (32, 32), channels=6)
    save_weights(tmp_path / "six.safetensors", network.model[0].model, {})
    again = build_network("test_resnet", str(tmp_path / "six.safetensors"), [SPEC], (32, 32), channels=6)
    own, other = (one.model[0].model.state_dict() for one in (network, again))
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert "from" not in fit_of("test_resnet", tmp_path / "six.safetensors", (32, 32), 6).told()


# The road


TOML = """\
slug = "tiny"
seed = 7
[source]
path = "{raw}"
[data]
table = "train.csv"
images = {images}
test = {test}
{more}
[[targets]]
name = "label"
[folds]
n = 2
[[models]]
name = "m"
arch = "test_resnet"
weights = "none"
resize = {{ size = 40, method = "crop" }}
size = 32
batch_size = 16
epochs = 1
lr = 0.01
tta = 1
augment = {{ own = ["cutout"] }}
"""


def patterns(folder: str, colours: Sequence[str] = COLOURS) -> str:
    return json.dumps([f"{folder}/{{id}}_{colour}.*" for colour in colours])


def write(folder: Path, how: str, more: str = "") -> Path:
    """60 pictures with a bright square in one of the channels: its number is the class."""
    lines: dict[str, list[str]] = {"train": ["id,label"], "test": ["id,label"]}
    for number in range(60):
        place, label = "train" if number < 48 else "test", number % 3
        count = {"files": 4, "arrays": 6}.get(how, 3)
        pixels = (60 + noise(count, number) // 4).astype(np.uint8)
        pixels[8:30, 8:30, label] = 230
        name = folder / "raw" / place / f"i{number:02}"
        if how == "files":
            for k, colour in enumerate(COLOURS):
                put(name.with_name(f"{name.name}_{colour}.png"), png(pixels[:, :, k]))
        elif how == "arrays":
            put(name.with_suffix(".npy"), npy((np.moveaxis(pixels, 2, 0) / 64 - 1).astype(np.float16)))
        else:
            put(name.with_suffix(f".{how}"), npy(pixels) if how == "npy" else png(pixels))
        lines[place].append(f"{name.name},{'abc'[label]}")
    put(folder / "raw/train.csv", "\n".join(lines["train"]).encode())
    put(folder / "raw/sample_submission.csv", "\n".join(lines["test"]).encode())
    images, test = (patterns("train"), patterns("test")) if how == "files" else ('"train"', '"test/{id}.*"')
    comp = folder / "tiny.toml"
    comp.write_text(TOML.format(raw=folder / "raw", images=images, test=test, more=more))
    return comp


@pytest.fixture(scope="module", params=["files", "arrays"])
def walked(request, tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp(request.param)
    comp = write(folder, request.param)
    result = pipeline("run", comp, "--root", folder)
    assert result.code == 0, result.err
    words = {
        "files": "60 images of 4 channels (4 files each)",
        "arrays": "60 images of 6 channels (arrays, channels on the first axis, the smaller end",
    }
    assert words[request.param] in result.err
    return folder, request.param


def test_one_road_leads_to_a_submission(walked):
    folder, _ = walked
    (sent,) = (folder / "submissions").rglob("*.csv")
    table = pd.read_csv(sent)
    assert table["id"].tolist() == [f"i{number}" for number in range(48, 60)]
    assert set(table["label"]) <= set("abc")
    stages = pipeline("status", folder / "tiny.toml", "--root", folder, "--json").json["stages"]
    assert set(stages.values()) == {"done"}
    result = pipeline("presize", folder / "tiny.toml", "--root", folder, "--verify")
    assert result.code == 0, result.err


def test_a_fold_opened_alone_predicts_files_and_pixels(walked):
    folder, how = walked
    held = pd.read_parquet(folder / "runs/tiny/m/fold-0/plain/oof.parquet").set_index("id")
    trained = TrainedModel.open(folder / "runs/tiny/m/fold-0/weights.safetensors")
    assert read_metadata(folder / "runs/tiny/m/fold-0/weights.safetensors").image_channels == trained.channels
    place, ids = folder / "data/tiny/train", list(held.index)
    if how == "files":
        images = [[place / f"{name}_{colour}.png" for colour in COLOURS] for name in ids]
        contents = [[file.read_bytes() for file in files] for files in images]
    else:
        images = [place / f"{name}.npy" for name in ids]
        contents = [path.read_bytes() for path in images]
    found = trained.predict(ids, images, tta=0)
    expected = held[[column for column in held if column.startswith("label/")]].to_numpy()
    assert np.abs(found.values["label"] - expected).max() < 1e-4
    names = ["a|b|c|d" if how == "files" else "a.npy"] * len(ids)
    pixels = [decode(*one, trained.metadata.levels, trained.channels) for one in zip(contents, names, strict=True)]
    assert np.abs(trained.predict(ids, pixels, tta=0).values["label"] - expected).max() < 1e-4
    with pytest.raises(RequestError, match=rf"expected uint8 \(height, width, {trained.channels.count}\)$"):
        trained.predict(["x"], [noise(3)])


def test_a_session_on_kaggle_predicts_the_mounted_images(walked, tmp_path, log):
    folder, how = walked
    comp, here = competitions.load(str(folder / "tiny.toml")), Workspace(folder, "tiny")
    entries = [Entry(place, "", 0, place) for place in _artifacts(comp, here)]
    infer(comp, Workspace(tmp_path / "mounted", "tiny"), folder, entries, tmp_path / "sent.csv", log)
    (sent,) = (folder / "submissions").rglob("*.csv")
    assert (tmp_path / "sent.csv").read_text() == sent.read_text()
    swapped = tmp_path / "swapped"
    shutil.copytree(folder / "raw", swapped)
    if how == "files":
        put(swapped / "test/i50_red.png", png(noise(3)))
    else:
        put(swapped / "test/i50.npy", npy(noise(7)))
    other = comp.model_copy(update={"source": comp.source.model_copy(update={"path": str(swapped)})})
    infer(other, Workspace(tmp_path / "other", "tiny"), folder, entries, tmp_path / "other.csv", log)
    if how == "files":
        assert not log.warnings, "as many files as channels: each is read as grey"
    else:
        assert "has 44 channels, and the models take 6" in log.warnings[0]
    assert len(pd.read_csv(tmp_path / "other.csv")) == 12


def test_arrays_of_three_channels_are_pngs(tmp_path):
    """The same pixels in the cache, the same predictions."""
    found = {}
    for how in ("png", "npy"):
        folder = tmp_path / how
        result = pipeline("run", write(folder, how), "--root", folder)
        assert result.code == 0, result.err
        (pixels,) = folder.rglob("pixels.bin")
        table = pd.read_parquet(folder / "runs/tiny/m/oof.parquet")
        found[how] = pixels.read_bytes(), table.drop(columns=["id"]).to_numpy().tolist()
    assert found["png"] == found["npy"]


def test_grey_pictures_are_one_channel_where_it_is_said(tmp_path):
    comp = write(tmp_path, "png", "channels = 1")
    result = pipeline("run", comp, "--root", tmp_path)
    assert result.code == 0, result.err
    assert "60 images of 1 channel (read as L)" in result.err
    assert read_metadata(tmp_path / "runs/tiny/m/fold-0/weights.safetensors").channels == 1
    comp.write_text(comp.read_text().replace("channels = 1\n", ""))
    status = pipeline("status", comp, "--root", tmp_path, "--json").json
    assert status["stages"]["data"] == "stale"
    assert status["stages"]["train"] == "stale"


def test_a_range_that_is_said_is_taken(tmp_path):
    comp = write(tmp_path, "arrays", "levels = [-0.5, 0.5]")
    for stage in ("data", "check"):
        result = pipeline(stage, comp, "--root", tmp_path)
        assert result.code == 0, result.err
    assert "(floats from -0.5 to 0.5 become 0 to 255)" in result.err
    assert "60 of these with values beyond (clipped)" in result.err
    assert json.loads((tmp_path / "data/tiny/.pipeline/audit.json").read_text())["levels"] == {"F": [-0.5, 0.5]}
    assert pipeline("status", comp, "--root", tmp_path, "--json").json["stages"]["check"] == "done"
    comp.write_text(comp.read_text().replace("-0.5", "-1"))
    assert pipeline("data", comp, "--root", tmp_path).code == 0
    assert pipeline("status", comp, "--root", tmp_path, "--json").json["stages"]["check"] == "stale"


def test_a_missing_file_of_several_is_named_with_its_pattern(tmp_path):
    comp = write(tmp_path, "files")
    (tmp_path / "raw/train/i03_blue.png").unlink()
    result = pipeline("data", comp, "--root", tmp_path)
    assert result.code == 2
    assert "data.images.2" in result.err
    assert "i03_blue" in result.err


def test_a_letter_of_the_id_may_be_a_folder(tmp_path):
    comp = write(tmp_path, "arrays")
    for name in ("train", "test"):
        (tmp_path / "raw" / name).rename(tmp_path / "raw" / f"{name}_")
        (tmp_path / "raw" / name).mkdir()
        (tmp_path / "raw" / f"{name}_").rename(tmp_path / "raw" / name / "i")
    text = comp.read_text().replace('"train"', '"train/{id[0]}/{id}.npy"').replace("test/{id}.*", "test/{id[0]}/{id}.*")
    comp.write_text(text)
    result = pipeline("data", comp, "--root", tmp_path)
    assert result.code == 0, result.err
    assert "48 training and 12 test images" in result.err


def test_arrays_beside_pictures_are_passed_over(tmp_path):
    comp = write(tmp_path, "png")
    for number in range(5):
        put(tmp_path / f"raw/train/i{number:02}.npy", npy(noise(5)))
    result = (
        pipeline("check", comp, "--root", tmp_path) if not pipeline("data", comp, "--root", tmp_path).code else None
    )
    assert result is not None
    assert result.code == 0, result.err
    assert "channels" not in result.err
