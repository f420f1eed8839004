"""Levers of training that are off unless a model names them: each does what it says, and only that."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from fastai.learner import Learner
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression

from pipeline.vision import train as training
from pipeline.vision.callbacks import seed_everything
from pipeline.vision.heads import Head
from pipeline.vision.linear import PENALTIES, fit_classes, fit_numbers, fit_tags
from pipeline.vision.train import train_fold
from pipeline.vision.trained import TrainedModel
from tests.test_heads import COLOUR, SHAPE, a_model, samples  # noqa: F401 - a fixture
from tests.test_training import Quiet, history_of, stopping_after

HEADS = [Head(COLOUR, "cross_entropy"), Head(SHAPE, "cross_entropy")]


@pytest.fixture(scope="module")
def body(tmp_path_factory) -> str:
    """A file of weights whose batch norms have statistics of their own."""
    seed_everything("weights")
    network = timm.create_model("test_resnet", num_classes=0)
    state = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in network.state_dict().items()}
    for name, tensor in state.items():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.1)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    path = tmp_path_factory.mktemp("weights") / "body.safetensors"
    save_file(state, path)
    return str(path)


def trained(samples, folder, **changes):  # noqa: F811
    """The weights and the lines of history of a fold."""
    train_fold(samples[:20], samples[20:], HEADS, a_model(**changes), (1, "m", 0), folder, Quiet(), "fold")
    return load_file(folder / "weights.safetensors"), history_of(folder)


def statistics(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if "running_" in name}


@pytest.mark.parametrize("schedule", [{"schedule": "one_cycle"}, {"schedule": "fine_tune", "freeze_epochs": 1}])
def test_frozen_batch_norms_keep_the_statistics_of_the_weights(samples, tmp_path, body, schedule):  # noqa: F811
    given = load_file(body)
    kept, _ = trained(samples, tmp_path / "kept", weights=body, epochs=1, frozen_bn=True, **schedule)
    moved, _ = trained(samples, tmp_path / "moved", weights=body, epochs=1, **schedule)
    for name, value in statistics(kept).items():
        if name.startswith("0."):
            own = name.removeprefix("0.model.")
            assert torch.equal(value, given[own])
            assert not torch.equal(moved[name], given[own])
        else:  # the heads' own, which begin at nothing
            assert not torch.equal(value, torch.zeros_like(value))
    scales = [name for name in kept if name.startswith("0.") and name.endswith("bn1.weight")]
    assert scales
    assert all(not torch.equal(kept[name], given[name.removeprefix("0.model.")]) for name in scales)


def test_without_weights_there_is_nothing_to_keep_which_is_said(samples, tmp_path):  # noqa: F811
    log = Quiet()
    warned: list[str] = []
    log.warn = warned.append  # pyright: ignore[reportAttributeAccessIssue]
    args = (samples[:20], samples[20:], HEADS)
    train_fold(*args, a_model(epochs=1, frozen_bn=True), (1, "m", 0), tmp_path / "said", log, "fold")
    assert warned == ["fold: frozen_bn: weights = 'none' has no statistics to keep; batch norms are trained"]
    plain, _ = trained(samples, tmp_path / "plain", epochs=1)
    said = load_file(tmp_path / "said/weights.safetensors")
    assert all(torch.equal(said[name], plain[name]) for name in plain)
    assert a_model(frozen_bn=True).settings() == a_model().settings()


def test_a_frozen_phase_alone_leaves_the_convolutions_as_they_were(samples, tmp_path, body):  # noqa: F811
    state, history = trained(samples, tmp_path, weights=body, epochs=0, freeze_epochs=2, frozen_bn=True)
    given = load_file(body)
    convolutions = [name for name in given if given[name].ndim == 4]
    assert convolutions
    assert all(torch.equal(state[f"0.model.{name}"], given[name]) for name in convolutions)
    assert len(history) == 3  # the header, and an epoch a line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "or 0 with freeze_epochs, or a probe"),
        ({"epochs": 0, "weights": "pretrained", "freeze_epochs": 0}, "or 0 with freeze_epochs, or a probe"),
        ({"probe": True}, "with weights = 'none' there are none"),
        ({"schedule": "probe", "weights": "pretrained", "epochs": 2}, "has no epochs; probe = true"),
        ({"probe": True, "weights": "pretrained", "head": "fastai"}, "a probe is a linear layer"),
    ],
)
def test_what_would_do_nothing_is_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        a_model(**changes)


def test_a_rate_is_looked_for_with_what_the_first_epochs_train(samples, tmp_path, body, monkeypatch):  # noqa: F811
    seen = []

    def finder(learn, *args, **kwargs):
        groups = [any(p.requires_grad for p in part.parameters()) for part in learn.model.children()]
        convolution = next(p for p in learn.model[0].parameters() if p.ndim == 4)
        seen.append((convolution.requires_grad, groups[1]))
        return SimpleNamespace(valley=1e-3)

    monkeypatch.setattr(Learner, "lr_find", finder)
    trained(samples, tmp_path / "tuned", weights=body, epochs=1, lr="auto")
    trained(samples, tmp_path / "whole", weights=body, epochs=1, lr="auto", schedule="one_cycle")
    assert seen == [(False, True), (True, True)]
    assert "rate" in a_model(weights=body, lr="auto").corrected  # folds from before are made anew
    assert "rate" not in a_model(weights=body, lr="auto", freeze_epochs=0).corrected
    assert "rate" not in a_model(weights=body).corrected


# The probe


def blobs(width: int, features: int = 6, rows: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Codes (rows,) and features that tell them apart, on scales of their own."""
    rng = np.random.default_rng(0)
    codes = np.arange(rows) % width
    centers = rng.normal(size=(width, features)) * 3
    return (centers[codes] + rng.normal(size=(rows, features))) * [1, 10, 0.1, 5, 1, 100] + 7, codes


@pytest.mark.parametrize("width", [2, 3])
def test_a_fitted_layer_tells_classes_as_scikit_learn_does(width):
    x, codes = blobs(width)
    weight, bias = fit_classes(x, codes, width, 0)
    raw = x @ weight.T + bias
    assert (raw.argmax(axis=1) == codes).mean() > 0.95
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    probabilities = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    theirs = [LogisticRegression(C=c, max_iter=200).fit(standard, codes).predict_proba(standard) for c in PENALTIES]
    assert min(np.abs(probabilities - each).max() for each in theirs) < 1e-6


def test_a_class_that_no_row_has_is_hardly_probable():
    x, codes = blobs(2)
    weight, bias = fit_classes(x, codes * 2, 4, 0)
    raw = x @ weight.T + bias
    assert raw.shape == (90, 4)
    assert set(raw.argmax(axis=1)) == {0, 2}
    alone = fit_classes(x, codes * 0 + 1, 3, 0)
    assert (alone.weight == 0).all()
    assert alone.bias.argmax() == 1


def test_tags_and_numbers_are_fitted_too():
    x, codes = blobs(3)
    tags = np.stack([codes == 0, codes != 2, codes < 9, codes > 9], axis=1).astype(float)
    layer = fit_tags(x, tags, 0)
    assert ((x @ layer.weight.T + layer.bias > 0) == tags).mean() > 0.95
    numbers = x @ np.array([0.1, 0.02, 3, 0, 0, 0.001]) - 4
    line = fit_numbers(x, numbers, 0)
    assert np.corrcoef((x @ line.weight.T + line.bias)[:, 0], numbers)[0, 1] > 0.999


def test_the_penalty_is_chosen_on_rows_that_were_held_out():
    rng = np.random.default_rng(1)
    noise, codes = rng.normal(size=(60, 200)), rng.integers(0, 2, 60)
    strict = fit_classes(noise, codes, 2, 0)  # nothing to be learnt: more features than rows fit anything
    assert np.abs(noise @ strict.weight.T).max() < 1
    twice = np.concatenate([noise, noise + 1e-6])  # another view of an image is no other image
    again = fit_classes(twice, np.tile(codes, 2), 2, 0, copies=2)
    assert np.abs(noise @ again.weight.T).max() < 1
    assert np.abs(noise @ fit_classes(twice, np.tile(codes, 2), 2, 0).weight.T).max() > 1


def test_a_probe_fits_the_heads_and_leaves_the_body(samples, tmp_path, body):  # noqa: F811
    given = load_file(body)
    state, history = trained(samples, tmp_path / "probe", weights=body, schedule="probe", pooling="avg", dropout=0)
    assert all(torch.equal(state[f"0.model.{name}"], tensor) for name, tensor in given.items())
    assert set(state) - {f"0.model.{name}" for name in given} == {
        f"1.heads.head_{target}.{part}" for target in ("colour", "shape") for part in ("weight", "bias")
    }
    names, row = (line.split(",") for line in history)
    told = dict(zip(names, map(float, row), strict=False))
    assert told["train_loss"] < 1.2
    assert told["colour_error_rate"] < 0.4

    opened = TrainedModel.open(tmp_path / "probe/weights.safetensors")
    held = samples[20:]
    preds = opened.predict([sample.id for sample in held], [sample.path for sample in held], tta=0)
    decided = np.array(COLOUR.vocab)[preds.values["colour"].argmax(axis=1)]
    wrong = np.mean([sample.labels[0] != own for sample, own in zip(held, decided, strict=True)])
    assert wrong == pytest.approx(told["colour_error_rate"], abs=1e-6)


def test_training_goes_on_from_the_probe_and_takes_up_after_a_stop(samples, tmp_path, body, monkeypatch):  # noqa: F811
    changes = {"weights": body, "schedule": "one_cycle", "probe": True, "epochs": 2, "lr": 1e-5, "pooling": "avg"}
    probed, _ = trained(samples, tmp_path / "probe", weights=body, schedule="probe", pooling="avg")
    whole, history = trained(samples, tmp_path / "whole", **changes)
    assert len(history) == 3
    for name in ("1.heads.head_colour.weight", "1.heads.head_shape.bias"):
        assert torch.allclose(whole[name], probed[name], atol=1e-3)
    assert any(not torch.equal(whole[name], probed[name]) for name in whole if name.startswith("0.model.layer"))
    with monkeypatch.context() as patched:
        patched.setattr(training, "Checkpoint", stopping_after(1))
        with pytest.raises(KeyboardInterrupt):
            trained(samples, tmp_path / "again", **changes)
    trained(samples, tmp_path / "again", **changes)
    assert (tmp_path / "again/weights.safetensors").read_bytes() == (
        tmp_path / "whole/weights.safetensors"
    ).read_bytes()


def test_an_absent_answer_takes_no_part_in_a_probe(samples, tmp_path, body):  # noqa: F811
    gaps = [replace(s, labels=(s.labels[0], None)) if n % 3 else s for n, s in enumerate(samples[:20])]
    train_fold(
        gaps,
        samples[20:],
        HEADS,
        a_model(weights=body, schedule="probe", pooling="avg"),
        (1, "m", 0),
        tmp_path / "gaps",
        Quiet(),
        "fold",
    )
    state = load_file(tmp_path / "gaps/weights.safetensors")
    full, _ = trained(samples, tmp_path / "full", weights=body, schedule="probe", pooling="avg")
    assert torch.equal(state["1.heads.head_colour.weight"], full["1.heads.head_colour.weight"])
    assert not torch.equal(state["1.heads.head_shape.weight"], full["1.heads.head_shape.weight"])
