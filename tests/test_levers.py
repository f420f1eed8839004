"""Levers of training that are off unless a model names them: each does what it says, and only that."""

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from pipeline.vision.callbacks import seed_everything
from pipeline.vision.heads import Head
from pipeline.vision.model import build_network
from pipeline.vision.train import train_fold
from tests.test_heads import COLOUR, SHAPE, a_model, samples  # noqa: F401 - a fixture
from tests.test_training import Quiet, history_of

HEADS = [Head(COLOUR, "cross_entropy"), Head(SHAPE, "cross_entropy")]


@pytest.fixture(scope="module")
def body(tmp_path_factory) -> str:
    """A file of weights whose batch norms have statistics of their own."""
    seed_everything("weights")
    network = build_network("test_resnet", "none", [COLOUR], (32, 32)).model[0].model
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
    assert scales and all(not torch.equal(kept[name], given[name.removeprefix("0.model.")]) for name in scales)


def test_a_frozen_phase_alone_leaves_the_convolutions_as_they_were(samples, tmp_path, body):  # noqa: F811
    state, history = trained(samples, tmp_path, weights=body, epochs=0, freeze_epochs=2, frozen_bn=True)
    given = load_file(body)
    convolutions = [name for name in given if given[name].ndim == 4]
    assert convolutions and all(torch.equal(state[f"0.model.{name}"], given[name]) for name in convolutions)
    assert len(history) == 3  # the header, and an epoch a line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs = 0 trains nothing"),
        ({"epochs": 0, "weights": "pretrained", "freeze_epochs": 0}, "epochs = 0 trains nothing"),
        ({"frozen_bn": True}, "weights = 'none' has none"),
    ],
)
def test_what_would_do_nothing_is_refused(changes, words):
    with pytest.raises(ValidationError, match=words):
        a_model(**changes)
