"""Weights from a file: what is taken from it, what is said, what is refused, and that its content counts."""

import json
import shutil
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from pipeline import Project
from pipeline.errors import RequestError, WorkFailed
from pipeline.predictions import TargetSpec
from pipeline.vision import fitting
from pipeline.vision.config import ImageModel
from pipeline.vision.fitting import fit_of
from pipeline.vision.heads import Head
from pipeline.vision.metadata import Metadata
from pipeline.vision.model import build_network, check_start, save_weights
from tests.command import pipeline
from tests.drawn import write_competition

ARCH = "test_efficientnet"
SIZE = (32, 32)
COLOUR = TargetSpec("colour", "category", ("blue", "green", "red"))
SHAPE = TargetSpec("shape", "category", ("bar", "dot"))
LITE0 = Path(__file__).parents[2] / "shared" / "data" / "tf_efficientnet_lite0.safetensors"
Tensors = dict[str, torch.Tensor]


def drawn(arch: str = ARCH, **options) -> Tensors:
    """The state of a network with its classifier, every number its own."""
    torch.manual_seed(5)
    state = timm.create_model(arch, **options).state_dict()
    return {k: torch.randn(v.shape).abs() if v.is_floating_point() else v for k, v in state.items()}


@pytest.fixture(scope="module")
def state() -> Tensors:
    return drawn()


def write(path: Path, held) -> Path:
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in held.items()}, path)
    else:
        torch.save(held, path)
    return path


def body_of(path: Path, arch: str = ARCH, size=SIZE) -> Tensors:
    return build_network(arch, str(path), [COLOUR], size).model[0].model.state_dict()


def counted(arch: str = ARCH) -> int:
    """Weights and statistics of a body."""
    return len([k for k in timm.create_model(arch, num_classes=0).state_dict() if "num_batches" not in k])


def assert_same(body: Tensors, state: Tensors) -> None:
    assert body
    assert all(torch.equal(tensor, state[name]) for name, tensor in body.items())


# What is taken off


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "backbone.", "model.", "encoder.", "net.", "model.net.", "module.model.backbone.", "0.model."],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_prefixes_are_taken_off_and_said(state, tmp_path, prefix, suffix):
    path = write(tmp_path / f"body{suffix}", {prefix + name: tensor for name, tensor in state.items()})
    assert_same(body_of(path), state)
    number = counted()
    where = f" (under {prefix!r})" if prefix else ""
    left = f"{prefix}classifier.weight, {prefix}classifier.bias"
    words = f"weights: {number} of {number} tensors of body{suffix} loaded{where}, the classifier left out ({left})"
    assert fit_of(ARCH, path, SIZE).told() == words


@pytest.mark.parametrize(
    "keys", ["state_dict", "model", "model_state_dict", "state_dict_ema", "model_ema", "ema", "ema.module", "custom"]
)
def test_wrappers_are_taken_off_and_said(state, tmp_path, keys):
    held = {f"module.{name}": tensor for name, tensor in state.items()}
    for key in reversed(keys.split(".")):
        held = {"epoch": 3, "optimizer": {"state": {0: {"step": torch.zeros(1)}}}, "arch": "x", key: held}
    path = write(tmp_path / "checkpoint.pt", held)
    assert_same(body_of(path), state)
    assert f"loaded (in its {keys}, under 'module.')" in fit_of(ARCH, path, SIZE).told()


def test_an_average_over_steps_comes_first(state, tmp_path):
    averaged = {name: tensor + 1 for name, tensor in state.items()}
    path = write(tmp_path / "a.pth", {"state_dict": state, "state_dict_ema": averaged})
    assert_same(body_of(path), averaged)
    both = {f"model.{k}": v for k, v in state.items()} | {f"model_ema.{k}": v for k, v in averaged.items()}
    path = write(tmp_path / "b.safetensors", both)
    assert_same(body_of(path), averaged)
    assert "under 'model_ema.', as under 'model.'" in fit_of(ARCH, path, SIZE).told()


def test_torchs_older_format_is_read(state, tmp_path):
    torch.save({"state_dict": state}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_same(body_of(tmp_path / "old.pth"), state)


def test_numbers_are_those_that_timm_loads(state, tmp_path):
    path = write(tmp_path / "body.safetensors", state)
    theirs = timm.create_model(ARCH, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, num_classes=0)
    assert_same(body_of(path), theirs.state_dict())


def test_timms_conversions_are_kept(tmp_path):
    """A transformer's positions are brought to another size, and the tensors keep out of what is exported."""
    path = write(tmp_path / "vit.safetensors", drawn("test_vit"))
    options = {"num_classes": 0, "img_size": (96, 64)}
    theirs = timm.create_model("test_vit", pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **options)
    body = build_network("test_vit", str(path), [COLOUR], (96, 64)).model[0].model
    assert_same(body.state_dict(), theirs.state_dict())
    assert not body.pretrained_cfg.get("state_dict")
    number = counted("test_vit")
    assert f"{number} of {number}" in fit_of("test_vit", path, (96, 64)).told()


def test_heads_are_drawn_alike_whether_or_not_the_file_is_known(state, tmp_path):
    path = write(tmp_path / "body.safetensors", state)
    made = []
    for _ in range(2):
        fitting._fit_of.cache_clear() if not made else None
        torch.manual_seed(1)
        made.append(build_network(ARCH, str(path), [COLOUR], SIZE).model[1].state_dict())
    torch.manual_seed(1)
    made.append(build_network(ARCH, "none", [COLOUR], SIZE).model[1].state_dict())
    assert_same(made[0], made[1])
    assert_same(made[0], made[2])


# What is left new, and what is refused


def test_what_a_file_lacks_is_named(state, tmp_path):
    number = counted()
    held = {name: tensor for name, tensor in state.items() if name != "conv_head.weight"}
    path = write(
        tmp_path / "one.safetensors", {**held, "conv_stem.weight": torch.zeros(3, 3, 3, 3), "aux.x": torch.ones(2)}
    )
    told = fit_of(ARCH, path, SIZE).told()
    assert told.startswith(
        f"weights: {number - 2} of {number} tensors of one.safetensors loaded, the classifier left out"
    )
    assert told.endswith(
        "left out besides: aux.x; new, for the file lacks them in that shape: conv_stem.weight, conv_head.weight"
    )
    body = body_of(path)
    assert torch.equal(body["blocks.0.0.conv.weight"], state["blocks.0.0.conv.weight"])
    assert body["conv_stem.weight"].shape == state["conv_stem.weight"].shape


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {k: v for k, v in s.items() if not k.startswith("blocks.3")}, ["missing there: blocks.3.0."]),
        (lambda s: {f"x{k}": v for k, v in s.items()}, ["only 0 of", "nearest there: xconv_stem.weight"]),
        (lambda s: {"features.0.weight": torch.zeros(4)}, ["only 0 of", "found there: features.0.weight"]),
        (lambda s: drawn("test_resnet"), ["missing there: ", "nearest there: "]),
        (
            lambda s: {k: torch.zeros(*v.shape, 2) if v.is_floating_point() else v for k, v in s.items()},
            ["only 0 of", "of another shape: conv_stem.weight (24, 3, 3, 3, 2) for (24, 3, 3, 3) and"],
        ),
    ],
)
def test_under_nine_of_ten_tensors_are_refused_with_names(state, tmp_path, change, words):
    path = write(tmp_path / "body.safetensors", change(state))
    with pytest.raises(RequestError) as refused:
        check_start(ImageModel(name="m", arch=ARCH, weights=str(path), size=SIZE))
    said = str(refused.value)
    assert said.startswith("model 'm': only ")
    assert f"tensors of {ARCH} are in {path}" in said
    assert all(word in said for word in words), said
    with pytest.raises(RequestError):
        build_network(ARCH, str(path), [COLOUR], SIZE)


@pytest.mark.parametrize(
    ("name", "held", "error", "words"),
    [
        ("a.npz", {}, RequestError, "is a file of NumPy"),
        (
            "a.pth",
            {"epoch": 3, "log": {"loss": 1.0}},
            RequestError,
            "which holds epoch, log; save the model's state_dict",
        ),
        ("a.pth", [torch.zeros(2)], RequestError, "which holds list"),
        ("a.pth", timm.create_model("test_resnet"), WorkFailed, "holds more than tensors (timm."),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, name, held, error, words):
    torch.save(held, tmp_path / name)
    with pytest.raises(error) as refused:
        fit_of(ARCH, tmp_path / name, SIZE)
    assert words in str(refused.value)


def original(state: Tensors, arch: str) -> Tensors:
    """The state in the names of the original EfficientNet for PyTorch, whose blocks are numbered through."""
    outer = [("_conv_stem", "conv_stem"), ("_bn0", "bn1"), ("_conv_head", "conv_head"), ("_bn1", "bn2")]
    pairs = [*outer, ("_fc", "classifier")]
    number = 0
    for stage, blocks in enumerate(timm.create_model(arch).blocks):
        for place, block in enumerate(blocks):
            here, there = f"_blocks.{number}", f"blocks.{stage}.{place}"
            inner = [("_depthwise_conv", "conv_dw"), ("_se_reduce", "se.conv_reduce"), ("_se_expand", "se.conv_expand")]
            if hasattr(block, "conv_pwl"):
                inner += [("_expand_conv", "conv_pw"), ("_bn0", "bn1"), ("_bn1", "bn2"), ("_bn2", "bn3")]
                inner += [("_project_conv", "conv_pwl")]
            else:
                inner += [("_bn1", "bn1"), ("_bn2", "bn2"), ("_project_conv", "conv_pw")]
            pairs += [(f"{here}.{theirs}", f"{there}.{timms}") for theirs, timms in inner]
            number += 1
    renamed = {
        theirs + name.removeprefix(timms): tensor
        for theirs, timms in pairs
        for name, tensor in state.items()
        if name.startswith(f"{timms}.")
    }
    assert len(renamed) == len(state)
    return renamed


@pytest.mark.parametrize("prefix", ["", "module.", "encoder."])
def test_the_original_efficientnet_is_read_by_its_own_names(tmp_path, prefix):
    state = drawn("tf_efficientnet_b0")
    held = {prefix + name: tensor for name, tensor in original(state, "tf_efficientnet_b0").items()}
    path = write(tmp_path / "b0.pth", held)
    assert_same(body_of(path, "tf_efficientnet_b0"), state)
    told = fit_of("tf_efficientnet_b0", path, SIZE).told()
    assert "by the names of the original EfficientNet" in told
    assert f"the classifier left out ({prefix}_fc.weight, {prefix}_fc.bias)" in told
    with pytest.raises(RequestError, match=r"padding and batch norm.*such as tf_efficientnet_b0"):
        fit_of("efficientnet_b0", path, SIZE)
    lacking = {name: tensor for name, tensor in held.items() if "_blocks.7." not in name and "_blocks.8." not in name}
    lacking = {name: tensor for name, tensor in lacking.items() if "_blocks.9." not in name}
    with pytest.raises(RequestError, match=r"missing there: blocks\.3\.2\."):
        fit_of("tf_efficientnet_b0", write(tmp_path / "lacking.pth", lacking), SIZE)


# On the road


@pytest.fixture(scope="module")
def comp(tmp_path_factory) -> Path:
    return write_competition(tmp_path_factory.mktemp("tiny"), train=24, test=6)


def test_a_file_that_does_not_fit_is_refused_before_anything_is_done(comp, tmp_path):
    path = write(tmp_path / "body.pth", {"state_dict": {"features.0.weight": torch.zeros(4)}})
    result = pipeline("run", comp, "--root", tmp_path / "root", "--set", f"models.1.weights={path}")
    assert result.code == 2
    assert "model 'byobnet': only 0 of the" in result.err
    assert not (tmp_path / "root/data").exists()
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.fixture(scope="module")
def started(comp, tmp_path_factory) -> tuple[Path, Path, str]:
    """A root in which one fold was trained from a file, the file, and what was said."""
    folder = tmp_path_factory.mktemp("started")
    path = write(folder / "body.safetensors", {f"backbone.{k}": v for k, v in drawn("test_resnet").items()})
    options = ["--root", folder, "--set", f"models.0.weights={path}", "--set", "models.0.epochs=1"]
    for stage in ("data", "check", "folds", "presize"):
        assert pipeline(stage, comp, *options).code == 0
    result = pipeline("train", comp, *options, "--model", "resnet", "--fold", 0)
    assert result.code == 0, result.err
    return folder, path, result.err


def test_what_was_loaded_is_said_where_a_fold_starts(started):
    number = counted("test_resnet")
    assert f"train resnet fold 1/2  weights: {number} of {number} tensors of body.safetensors loaded" in started[2]


def why_of(comp: Path, root: Path, path: Path) -> tuple[int, str]:
    sets = [f"models.0.weights={path}", "models.0.epochs=1"]
    status = Project(comp, root, sets=sets).status()
    return status["models"][0]["folds_done"], "".join(status.get("why", {}).get("train", []))


def test_another_content_makes_the_fold_stale(comp, started, tmp_path):
    root, path, _ = started
    stamp = root / "runs/tiny/resnet/fold-0/trained.json"
    kept, said = path.read_bytes(), stamp.read_text()
    try:
        assert why_of(comp, root, path)[0] == 1
        other = {name: tensor + 1 for name, tensor in load_file(path).items()}
        write(path, other)
        done, why = why_of(comp, root, path)
        assert done == 0
        assert "the file behind model.weights changed" in why
        recorded = json.loads(said)
        del recorded["inputs"]["model"]["weights_file"]  # as an earlier version recorded it
        stamp.write_text(json.dumps(recorded))
        assert why_of(comp, root, path)[0] == 1
        stamp.write_text(said)
        path.unlink()  # what was trained needs it no more
        assert why_of(comp, root, path)[0] == 1
        path.write_bytes(kept)
        assert why_of(comp, root, path)[0] == 1
        assert why_of(comp, root, Path(shutil.copy(path, tmp_path / "elsewhere.safetensors")))[0] == 0
    finally:
        path.write_bytes(kept)
        stamp.write_text(said)


def test_models_without_a_file_record_nothing_of_one():
    for weights in ("none", "pretrained"):
        assert "weights_file" not in ImageModel(name="m", arch=ARCH, weights=weights).settings()


# From a fold that was trained here


def fold_of(path: Path, specs: list[TargetSpec], arch: str = ARCH, pooling: str = "concat") -> Tensors:
    model = ImageModel(name="first", arch=arch, weights="none", size=SIZE, pooling=pooling)
    torch.manual_seed(9)
    network = build_network(arch, "none", specs, SIZE, pooling=pooling).model
    heads = [Head(spec, "cross_entropy") for spec in specs]
    save_weights(path, network, Metadata.of(model, heads, (1, "first", 0)).header())
    return network.state_dict()


@pytest.mark.parametrize(
    ("specs", "words", "taken"),
    [
        ([COLOUR, SHAPE], "heads taken: colour, shape", {"colour", "shape"}),
        ([SHAPE], "heads taken: shape, left out: colour", {"shape"}),
        (
            [TargetSpec("colour", "category", ("blue", "green", "pink")), SHAPE],
            "heads taken: shape, new: colour",
            {"shape"},
        ),
        ([TargetSpec("colour", "multilabel", COLOUR.vocab)], "heads new: colour, left out: shape", set()),
        ([TargetSpec("size", "regression", ())], "heads new: size, left out: colour, shape", set()),
    ],
)
def test_a_folds_heads_are_taken_where_they_answer_the_same(tmp_path, specs, words, taken):
    theirs = fold_of(tmp_path / "weights.safetensors", [COLOUR, SHAPE])
    torch.manual_seed(1)
    network = build_network(ARCH, str(tmp_path / "weights.safetensors"), specs, SIZE)
    number = counted()
    assert (
        network.start
        == f"weights: {number} of {number} tensors of weights.safetensors loaded (under '0.model.'); {words}"
    )
    ours = network.model.state_dict()
    assert_same({k: v for k, v in ours.items() if k.startswith("0.")}, theirs)
    for spec in specs:
        name = f"1.heads.head_{spec.name}.weight"
        assert (name in theirs and torch.equal(ours[name], theirs[name])) is (spec.name in taken)
    trunk = next(name for name in ours if name.startswith("1.trunk.") and ours[name].ndim == 2)
    assert torch.equal(ours[trunk], theirs[trunk]) is bool(taken)


def test_heads_behind_another_pooling_stay_new(tmp_path):
    theirs = fold_of(tmp_path / "weights.safetensors", [COLOUR], pooling="avg")
    network = build_network(ARCH, str(tmp_path / "weights.safetensors"), [COLOUR], SIZE, pooling="gem")
    assert network.start.endswith("; heads new: colour")
    name = "1.heads.head_colour.weight"
    assert not torch.equal(network.model.state_dict()[name], theirs[name])


def test_heads_behind_the_same_pooling_are_taken_and_the_file_says_which_it_was(tmp_path):
    """Where pooling has no numbers of its own, nothing but the header tells average from maximum."""
    theirs = fold_of(tmp_path / "weights.safetensors", [COLOUR], pooling="max")
    name = "1.heads.head_colour.weight"
    for pooling, words in (("max", "heads taken: colour"), ("avg", "heads new: colour"), ("gem", "heads new: colour")):
        network = build_network(ARCH, str(tmp_path / "weights.safetensors"), [COLOUR], SIZE, pooling=pooling)
        assert network.start.endswith(words)
        assert torch.equal(network.model.state_dict()[name], theirs[name]) is (pooling == "max")


def test_a_fold_of_another_architecture_is_refused(tmp_path):
    fold_of(tmp_path / "weights.safetensors", [COLOUR], arch="test_resnet")
    with pytest.raises(RequestError, match="tensors of test_efficientnet are in"):
        build_network(ARCH, str(tmp_path / "weights.safetensors"), [COLOUR], SIZE)


def test_a_fold_of_an_earlier_version_gives_its_body(tmp_path):
    theirs = fold_of(tmp_path / "weights.safetensors", [COLOUR])
    write(tmp_path / "old.safetensors", theirs)  # without a header
    network = build_network(ARCH, str(tmp_path / "old.safetensors"), [COLOUR], SIZE)
    assert_same({f"0.model.{k}": v for k, v in network.model[0].model.state_dict().items()}, theirs)
    assert "left out besides: 1.heads.head_colour.weight" in network.start


def test_a_start_from_a_fold_that_saw_the_held_out_rows_is_warned_of(comp, started):
    root = started[0]
    fold = root / "runs/tiny/resnet/fold-0/weights.safetensors"
    more = {
        "name": "again",
        "arch": "test_resnet",
        "weights": str(fold),
        "resize": {"size": [40, 40], "method": "squish"},
    }
    said = ", ".join(
        f"{key} = {{ size = 40, method = 'squish' }}" if key == "resize" else f"{key} = {json.dumps(value)}"
        for key, value in more.items()
    )
    options = ["--root", root, "--set", f"models.1={{ {said}, size = 32, epochs = 1, batch_size = 16 }}"]
    result = pipeline("train", comp, *options, "--model", "again")
    assert result.code == 0, result.err
    assert "heads taken: colour, shape" in result.err
    warned = [line for line in result.err.splitlines() if "trained on the rows that this fold holds out" in line]
    assert len(warned) == 1
    assert "again fold 2/2 starts from" in warned[0]


# The file of the real network


@pytest.mark.realdata
@pytest.mark.skipif(not LITE0.is_file(), reason="needs ../shared/data")
def test_the_real_lite0(tmp_path):
    state, arch = load_file(LITE0), "tf_efficientnet_lite0"
    told = fit_of(arch, LITE0, (128, 128)).told()
    left = "classifier.weight, classifier.bias"
    assert told == f"weights: 245 of 245 tensors of {LITE0.name} loaded, the classifier left out ({left})"
    assert_same(body_of(LITE0, arch, (128, 128)), state)
    path = write(tmp_path / "original.pth", {"state_dict": original(state, arch)})
    assert_same(body_of(path, arch, (128, 128)), state)
    wrapped = write(
        tmp_path / "b.safetensors", {f"backbone.{k}": v for k, v in state.items() if k != "conv_head.weight"}
    )
    assert "244 of 245 tensors of b.safetensors" in fit_of(arch, wrapped, (128, 128)).told()
    lacking = write(tmp_path / "c.safetensors", {k: v for k, v in state.items() if not k.startswith("blocks.3")})
    with pytest.raises(RequestError, match="only 200 of the 245 tensors"):
        fit_of(arch, lacking, (128, 128))
