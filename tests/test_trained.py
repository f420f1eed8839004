"""A trained fold opened from its weights alone: it predicts what the road wrote, and its header is only read."""

import json
import random
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pipeline import competitions, predictions
from pipeline.commands.infer import infer
from pipeline.commands.reopen import metadata_of, open_fold
from pipeline.config import Competition
from pipeline.data.labels import priors
from pipeline.errors import RequestError, WorkFailed
from pipeline.jobs import jobs_of
from pipeline.kaggle.manifest import Entry
from pipeline.log import Log
from pipeline.predictions import NO_FOLD, Predictions, TargetSpec
from pipeline.rows import load_rows
from pipeline.stages.presize import cache_of
from pipeline.stages.train import step
from pipeline.vision.cache import open_cache
from pipeline.vision.gather import PixelSource
from pipeline.vision.header import read_checkpoint, read_header
from pipeline.vision.heads import Head
from pipeline.vision.metadata import Metadata, read_metadata
from pipeline.vision.model import save_weights
from pipeline.vision.trained import TrainedModel
from pipeline.workspace import Workspace
from tests.command import pipeline
from tests.drawn import write_competition
from tests.test_heads import a_model

TARGETS = """targets=[
    {name="colour"}, {name="age", kind="regression", loss="l1"}, {name="tags", kind="multilabel", weight=0.5},
    {name="round", column="form", kind="binary"}
]"""
SETS = [TARGETS, "models.0.tta=2", "models.1.augment.min_scale=0.7"]
MODELS = ("resnet", "byobnet")  # squished, without a margin around the window; cropped, with one


@dataclass(frozen=True)
class Walked:
    """A competition with targets of every kind, after the whole road; one test image cannot be read."""

    comp: Competition
    workspace: Workspace
    file: Path
    unread: str

    def weights(self, model: str, fold: int = 1) -> Path:
        return self.workspace.fold(model, fold) / "weights.safetensors"

    def written(self, model: str, name: str, fold: int = 1) -> Predictions:
        return predictions.load(self.workspace.fold(model, fold) / f"{name}.parquet")

    def images(self) -> list[Path]:
        """Test images that can be read, in the order of their ids."""
        folder = self.workspace.raw / "test_images"
        return sorted(path for path in folder.iterdir() if path.name != self.unread)

    def predict_again(self) -> None:
        again = pipeline("predict", self.file, "--root", self.workspace.root, "--force", *options())
        assert again.code == 0, again.err


def options() -> list[str]:
    return [part for each in SETS for part in ("--set", each)]


@pytest.fixture(scope="module")
def walked(tmp_path_factory) -> Walked:
    file = write_competition(tmp_path_factory.mktemp("drawn"), train=40, test=11)
    table = file.parent / "raw/train.csv"
    rows = pd.read_csv(table)
    rows["age"] = rows["colour"].map({"blue": 10.1, "green": 40.0, "red": 90.7}) + np.arange(len(rows)) / 7
    rows["tags"] = rows["colour"].where(rows["colour"] != "green", "") + " " + rows["form"]
    rows.to_csv(table, index=False)
    unread = "1004.png"
    (file.parent / "raw/test_images" / unread).write_bytes(b"no image")
    root = tmp_path_factory.mktemp("walked")
    result = pipeline("run", file, "--root", root, *options())
    assert result.code == 0, result.err
    return Walked(competitions.load(str(file), SETS), Workspace(root, "tiny"), file, unread)


@pytest.fixture
def alone(walked, tmp_path, monkeypatch):
    """Copy a fold's weights, and nothing else, into an empty folder."""
    monkeypatch.chdir(tmp_path)

    def copy(model: str, fold: int = 1) -> Path:
        return Path(shutil.copy(walked.weights(model, fold), tmp_path / f"{model}-{fold}.safetensors"))

    return copy


def assert_same(ours: Predictions, theirs: Predictions) -> None:
    assert len(ours)
    assert ours.specs == theirs.specs
    for name, values in theirs.take(ours.ids).items():
        assert np.array_equal(ours.values[name], values), name


def ids_of(images: list[Path]) -> list[str]:
    return [path.name for path in images]


# Predictions


@pytest.mark.parametrize("model", MODELS)
def test_a_fold_predicts_images_from_its_path_alone(walked, alone, model):
    trained = TrainedModel.open(alone(model))
    images = walked.images()
    decoded = [np.asarray(Image.open(path).convert("RGB")) for path in images]
    for given in (images, [str(path) for path in images], decoded):
        assert_same(trained.predict(ids_of(images), given), walked.written(model, "test"))
        assert_same(trained.predict(ids_of(images), given, tta=0), walked.written(model, "plain/test"))
    assert not np.array_equal(
        walked.written(model, "test").values["colour"], walked.written(model, "plain/test").values["colour"]
    )


@pytest.mark.parametrize("model", MODELS)
def test_a_fold_predicts_batches_of_presized_windows(walked, alone, model):
    trained = TrainedModel.open(str(alone(model)))
    images = walked.images()
    windows = PixelSource(trained.presize, exact=True).start(images, [None] * len(images)).result().permute(0, 3, 1, 2)
    assert_same(trained.predict(ids_of(images), windows, tta=0), walked.written(model, "plain/test"))
    if model == "resnet":
        assert_same(trained.predict(ids_of(images), windows), walked.written(model, "test"))
    for wrong in (windows.float(), windows[:, :, :-1], windows[0], windows.permute(0, 2, 3, 1)):
        with pytest.raises(RequestError, match="not one of presized windows"):
            trained.predict(ids_of(images), wrong)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("cached", [True, False])
def test_a_fold_predicts_rows_of_the_manifest(walked, alone, model, cached):
    trained, raw = TrainedModel.open(alone(model)), walked.workspace.raw
    folder = cache_of(walked.comp, walked.workspace, trained.settings) if cached else None
    cache = open_cache(folder, walked.workspace.raw, Log())
    manifest = pd.read_parquet(walked.workspace.manifest).sort_values("id")
    test = manifest[(manifest["split"] == "test") & (manifest["id"] != walked.unread)]
    both = trained.predict_rows(test, raw, cache)
    assert_same(both.tta, walked.written(model, "test"))
    assert_same(both.plain, walked.written(model, "plain/test"))
    assert set(both.tta.folds) == {NO_FOLD}
    rows, _, fold_of = load_rows(walked.comp, walked.workspace)
    both = trained.predict_rows(rows[fold_of == 1], raw, cache, fold=1)
    for ours, name in ((both.tta, "oof"), (both.plain, "plain/oof")):
        assert_same(ours, walked.written(model, name))
        assert np.array_equal(ours.ids, walked.written(model, name).ids)
        assert set(ours.folds) == {1}


def test_a_test_image_that_cannot_be_read_gets_what_is_known_without_it(walked):
    rows, specs, _ = load_rows(walked.comp, walked.workspace)
    for name in ("test", "plain/test"):
        got = walked.written("byobnet", name, 0).take([walked.unread])
        for spec in specs:
            assert np.array_equal(got[spec.name][0], priors(spec, rows[spec.name]).astype(np.float32))


def test_predicting_needs_an_id_for_each_image_and_images_in_colour(walked, alone):
    trained = TrainedModel.open(alone("resnet"))
    with pytest.raises(RequestError, match="2 ids for 1 images"):
        trained.predict(["a", "b"], walked.images()[:1])
    for wrong in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.float32)):
        with pytest.raises(RequestError, match="expected uint8"):
            trained.predict(["a"], [wrong])
    nothing = trained.predict([], [])
    assert {name: values.shape for name, values in nothing.values.items()} == {
        "colour": (0, 3), "age": (0, 1), "tags": (0, 4), "round": (0, 2)
    }  # fmt: skip


def test_predicting_leaves_the_callers_generators_alone(walked, alone):
    trained = TrainedModel.open(alone("byobnet"))
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    trained.predict(ids_of(walked.images()), walked.images())
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="there fp16 computes otherwise")
def test_what_was_trained_in_fp16_opens_where_there_is_no_gpu(walked, alone):
    path, images = alone("resnet"), walked.images()
    metadata = read_metadata(path)
    model = metadata.model.model_copy(update={"precision": "fp16"})
    save_file(load_file(path), path, metadata=metadata.model_copy(update={"model": model}).header())
    assert_same(TrainedModel.open(path).predict(ids_of(images), images), walked.written("resnet", "test"))


# What the header says


def test_the_header_says_all_that_the_fold_is(walked, alone):
    trained = TrainedModel.open(alone("byobnet", 0))
    rows, specs, fold_of = load_rows(walked.comp, walked.workspace)
    model = walked.comp.models[1]
    assert trained.specs == specs
    assert (trained.arch, trained.size, trained.presize) == (model.arch, model.size, model.presize)
    assert trained.settings == model
    assert trained.metadata.seed == (7, "byobnet", 0)
    assert set(trained.metadata.versions) == {"pipeline", "torch", "fastai", "timm"}
    assert trained.metadata.versions["torch"] == version("torch")
    assert [(head.loss, head.weight) for head in trained.heads] == [
        ("cross_entropy", 1.0), ("l1", 1.0), ("cross_entropy", 0.5), ("cross_entropy", 1.0)
    ]  # fmt: skip
    ages = torch.tensor(rows["age"][fold_of != 0].to_numpy(), dtype=torch.float64)
    assert (trained.heads[1].center, trained.heads[1].scale) == (ages.mean().item(), ages.std().item())
    config = trained.network[0].model.default_cfg
    assert trained.stats == (config["mean"], config["std"])
    assert not trained.network.training


def test_heads_of_every_kind_survive_the_header_to_the_bit():
    heads = (
        Head(TargetSpec("a", "category", ("é", 'quo"te', "back\\slash", "\u2028")), "label_smoothing", 0.1),
        Head(TargetSpec("b", "regression"), "mse", 1 / 3, 0.1 + 0.2, 5e-324),
        Head(TargetSpec("c", "regression"), "l1", 3, -1.7976931348623157e308, 1e-6),
        Head(TargetSpec("d", "multilabel", ("x",)), "cross_entropy"),
        Head(TargetSpec("e", "binary", ("0", "1")), "cross_entropy"),
    )
    written = Metadata.of(a_model(lr=[1e-5, 0.1]), heads, (42, "m", 3)).header()["metadata"]
    read = Metadata.model_validate_json(written)
    assert tuple(head.head() for head in read.heads) == heads
    assert (read.seed, read.model.lr) == ((42, "m", 3), [1e-5, 0.1])
    assert json.loads(written)["format"] == 1


def test_the_same_weights_are_written_as_the_same_bytes(tmp_path):
    header = Metadata.of(a_model(), [Head(TargetSpec("ü", "regression"), "mse")], (1, "m", 0)).header()
    layer = torch.nn.Linear(3, 2)
    for number in range(8):
        save_weights(tmp_path / f"{number}.safetensors", layer, header)
    assert read_header(tmp_path / "0.safetensors") == header
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert torch.equal(load_file(tmp_path / "0.safetensors")["weight"], layer.weight)


# Files of an earlier version, of a later one, and others


def made_old(path: Path) -> None:
    """Leave of the header what an earlier version wrote."""
    save_file(load_file(path), path, metadata={"arch": read_header(path)["arch"]})


def test_an_old_fold_is_opened_with_what_its_competition_says(walked, alone):
    path, images = alone("byobnet"), walked.images()
    made_old(path)
    with pytest.raises(WorkFailed, match=r"does not say what model it is.*Project.*or train it again"):
        TrainedModel.open(path)
    (job,) = jobs_of(walked.comp, "byobnet", 1)
    metadata = metadata_of(walked.comp, walked.workspace, job, path)
    assert metadata == read_metadata(walked.weights("byobnet")).model_copy(update={"stats": None, "versions": {}})
    trained = TrainedModel.open(path, metadata)
    assert trained.stats == TrainedModel.open(walked.weights("byobnet")).stats
    for opened in (trained, open_fold(walked.comp, walked.workspace, job, path)):
        assert_same(opened.predict(ids_of(images), images), walked.written("byobnet", "test"))


def test_the_road_predicts_old_folds_to_the_same_bytes(walked, tmp_path):
    root = Path(shutil.copytree(walked.workspace.root, tmp_path / "root"))
    old = Walked(walked.comp, Workspace(root, "tiny"), walked.file, walked.unread)
    for job in jobs_of(walked.comp):
        made_old(old.weights(job.model.name, job.fold))
        step(walked.comp, old.workspace, job).record()
        for file in job.folder(old.workspace).rglob("*.parquet"):
            file.unlink()
    old.predict_again()
    for path in walked.workspace.runs.rglob("*.parquet"):
        assert path.read_bytes() == (root / path.relative_to(walked.workspace.root)).read_bytes(), path


@pytest.mark.parametrize("old", [False, True])
def test_a_session_infers_from_bundled_folds_new_and_old(walked, tmp_path, log, old):
    bundle, mounted = Path(shutil.copytree(walked.workspace.root, tmp_path / "bundle")), tmp_path / "mounted"
    raw = Path(shutil.copytree(walked.file.parent / "raw", tmp_path / "raw"))
    shutil.rmtree(raw / "train_images")
    (raw / "train_images").mkdir()
    comp = competitions.load(str(walked.file), [*SETS, f"source.path={raw}"])
    workspace, packed = Workspace(mounted, "tiny"), Workspace(bundle, "tiny")
    weights = [packed.fold(model, fold) / "weights.safetensors" for model in MODELS for fold in (0, 1)]
    for path in weights if old else ():
        made_old(path)
    files = [*weights, packed.manifest, packed.facts, packed.folds, packed.ensemble / "weights.json"]
    places = [path.relative_to(bundle).as_posix() for path in files]
    infer(comp, workspace, bundle, [Entry(place, "", 0, place) for place in places], tmp_path / "sent.csv", log)
    (local,) = walked.workspace.submissions.glob("ensemble-*.csv")
    assert (tmp_path / "sent.csv").read_bytes() == local.read_bytes()


def test_the_header_wins_over_what_is_said_from_outside(walked, alone):
    other = Metadata.of(a_model(arch="test_vit"), [Head(TargetSpec("age", "regression"), "mse")], (1, "m", 0))
    trained = TrainedModel.open(alone("resnet"), other)
    assert trained.metadata == read_metadata(walked.weights("resnet"))


PICKLED = "cos\nmkdir\n(S'executed'\ntR."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda about: PICKLED, "in a way that this pipeline does not know"),
        (lambda about: "[]", "in a way that this pipeline does not know"),
        (lambda about: json.dumps(about | {"format": 2}), "format: .*written by pipeline"),
        (lambda about: json.dumps(about | {"heads": PICKLED}), "heads: "),
        (lambda about: json.dumps(about | {"seed": [{"__reduce__": "os.system"}]}), "seed.0"),
        (lambda about: json.dumps({key: about[key] for key in about if key != "presize"}), "presize: Field required"),
        (lambda about: json.dumps(about | {"model": about["model"] | {"new": 1}}), "model.new"),
    ],
)
def test_a_header_of_another_form_is_refused_and_never_executed(alone, tmp_path, change, said):
    path = alone("resnet")
    about = json.loads(read_header(path)["metadata"])
    save_file(load_file(path), path, metadata={"arch": "test_resnet", "metadata": change(about)})
    with pytest.raises(WorkFailed, match=said):
        TrainedModel.open(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("arch", ["hf-hub:somebody/model", "local-dir:/tmp/model", "os.system"])
def test_a_header_cannot_name_a_model_from_elsewhere(alone, arch):
    path = alone("resnet")
    about = json.loads(read_header(path)["metadata"])
    save_file(load_file(path), path, metadata={"metadata": json.dumps(about | {"arch": arch})})
    with pytest.raises(RequestError, match="knows no architecture"):
        TrainedModel.open(path)


def test_weights_that_are_not_there_or_torn_or_of_another_model_are_refused(alone, tmp_path):
    path = alone("resnet")
    (tmp_path / "torn.safetensors").write_bytes(path.read_bytes()[:100])
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors", metadata=read_header(path))
    for name in ("none", "torn", "other"):
        with pytest.raises(WorkFailed, match=f"{name}.safetensors does not hold .* weights .*; train again"):
            TrainedModel.open(tmp_path / f"{name}.safetensors")


@pytest.mark.parametrize(
    ("about", "read"),
    [('{"epoch": 1, "rows": []}', {"epoch": 1, "rows": []}), ("[]", None), ("no JSON", None), ("{}", {})],
)
def test_a_checkpoint_that_is_torn_counts_as_none(tmp_path, about, read):
    path = tmp_path / "epoch.safetensors"
    save_file({"weight": torch.zeros(1)}, path, metadata={"about": about})
    assert read_checkpoint(path) == read
    path.write_bytes(path.read_bytes()[:20])
    assert read_checkpoint(path) is read_checkpoint(tmp_path / "none") is None
