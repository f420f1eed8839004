"""Exact training semantics: accumulation, the optimizer, the schedules, and resuming."""

from pathlib import Path

import pytest
import torch
from fastai.callback.schedule import SchedCos  # noqa: F401 - patches fit_one_cycle and fine_tune into Learner
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import Adam
from torch import nn

from pipeline.errors import RequestError, WorkFailed
from pipeline.log import Log
from pipeline.predictions import TargetSpec
from pipeline.vision import train as training
from pipeline.vision.callbacks import (
    Accumulate,
    Checkpoint,
    RestoreScaler,
    SeedEpochs,
    seed_everything,
)
from pipeline.vision.header import read_checkpoint
from pipeline.vision.heads import Head
from pipeline.vision.model import build_network
from pipeline.vision.optimizer import FusedAdam
from pipeline.vision.train import phases_of, train_fold
from tests.test_heads import COLOUR, SHAPE, a_model, samples  # noqa: F401 - a fixture

HEADS = [Head(COLOUR, "cross_entropy"), Head(SHAPE, "cross_entropy")]


class Quiet(Log):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def regression_learner(batch: int, items: int, optimizer, *callbacks, seed: int = 0) -> Learner:
    """A two-layer network without batch norm, on which big batches and accumulated small ones are the same."""
    torch.manual_seed(seed)
    xs = torch.randn(items, 5)
    rows = [(x, x.sum(0, keepdim=True)) for x in xs]
    loaders = DataLoaders(DataLoader(rows, bs=batch, shuffle=False), DataLoader(rows, bs=batch))
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    split = lambda m: [list(m[:2].parameters()), list(m[2:].parameters())]  # noqa: E731
    return Learner(loaders, model, loss_func=nn.MSELoss(), opt_func=optimizer, splitter=split, cbs=list(callbacks))


def weights_after(learn: Learner, fit) -> torch.Tensor:
    with learn.no_logging(), learn.no_mbar():
        fit(learn)
    return torch.cat([p.detach().flatten() for p in learn.model.parameters()])


@pytest.mark.parametrize("items", [48, 40])
def test_accumulated_small_batches_step_as_big_ones(items):
    """Also when the last group of an epoch is short: its gradient is its own mean and stays in its epoch."""
    fit = lambda learn: learn.fit(3, 0.05)  # noqa: E731
    big = weights_after(regression_learner(16, items, Adam), fit)
    small = weights_after(regression_learner(4, items, Adam, Accumulate(4)), fit)
    assert torch.allclose(big, small, atol=1e-6)


def test_fused_adam_steps_as_fastais_adam():
    fits = [lambda learn: learn.fit_one_cycle(3, 0.05, wd=0.3), lambda learn: learn.fit_one_cycle(3, slice(1e-3, 0.05))]
    for fit in fits:
        theirs = weights_after(regression_learner(8, 40, Adam), fit)
        ours = weights_after(regression_learner(8, 40, FusedAdam), fit)
        assert torch.allclose(theirs, ours, atol=2e-6)
        assert not torch.allclose(theirs, weights_after(regression_learner(8, 40, FusedAdam), lambda _: None))


def test_what_is_frozen_after_a_step_does_not_decay():
    learn = regression_learner(8, 40, FusedAdam)
    weights_after(learn, lambda learn: learn.fit_one_cycle(1, 0.05))
    learn.freeze()
    learn.opt.set_hypers(wd=0.5)
    body = learn.model[0].weight.detach().clone()
    head = learn.model[2].weight.detach().clone()
    weights_after(learn, lambda learn: learn.fit_one_cycle(1, 0.05))
    assert torch.equal(learn.model[0].weight, body)
    assert not torch.equal(learn.model[2].weight, head)


def test_the_scale_of_fp16s_losses_is_kept_with_a_checkpoint(tmp_path):
    learn = regression_learner(8, 40, FusedAdam)
    learn.create_opt()
    learn.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    learn.scaler.scale(torch.zeros(1))  # fills it
    rows = [{"epoch": 0}]
    keep = Checkpoint(tmp_path / "epoch.safetensors", rows, {"identity": "own"})
    keep.learn, learn.epoch = learn, 0
    keep.after_trained_epoch()
    learn.scaler = torch.amp.GradScaler("cpu")
    restore = RestoreScaler(read_checkpoint(tmp_path / "epoch.safetensors")["scaler"])
    restore.learn = learn
    restore.before_fit()
    assert learn.scaler.get_scale() == 8.0


def test_norms_and_biases_do_not_decay():
    learn = regression_learner(8, 40, FusedAdam)
    learn.create_opt()
    for p in learn.model.parameters():
        p.grad = torch.zeros_like(p)
    learn.opt.set_hypers(wd=0.5, lr=0.1)
    before = [p.detach().clone() for p in learn.model.parameters()]
    learn.opt.state[learn.model[2].weight]["do_wd"] = False
    learn.opt.step()
    after = list(learn.model.parameters())
    assert torch.allclose(after[0], before[0] * 0.95)
    assert torch.equal(after[2], before[2])


def test_phases_are_fastais_fine_tune():
    fit = lambda learn: learn.fine_tune(3, 0.02, freeze_epochs=2)  # noqa: E731
    model = a_model(weights="pretrained", epochs=3, freeze_epochs=2, lr=0.02)

    def in_phases(learn: Learner) -> None:
        for phase in phases_of(model, model.lr):
            training._fit(learn, phase, [])

    theirs, ours = regression_learner(8, 40, Adam), regression_learner(8, 40, Adam)
    assert torch.allclose(weights_after(theirs, fit), weights_after(ours, in_phases))


def history_of(folder: Path) -> list[str]:
    """The rows of history.csv without their seconds."""
    return [line.rsplit(",", 1)[0] for line in (folder / "history.csv").read_text().splitlines()]


@pytest.mark.parametrize("changes", [{"epochs": 3}, {"epochs": 2, "lr": "auto", "mixup": 0.4}])
def test_a_fold_goes_on_after_any_epoch_to_the_same_bytes(samples, tmp_path, monkeypatch, changes):  # noqa: F811
    model = a_model(**changes)
    args = (samples[:20], samples[20:], HEADS, model, (1, "m", 0))
    train_fold(*args, tmp_path / "whole", Quiet(), "fold")
    for stop in range(1, model.epochs):
        folder = tmp_path / f"stopped-{stop}"
        with monkeypatch.context() as patched:
            patched.setattr(training, "Checkpoint", stopping_after(stop))
            with pytest.raises(KeyboardInterrupt):
                train_fold(*args, folder, Quiet(), "fold")
        assert not (folder / "weights.safetensors").exists()
        log = Quiet()
        train_fold(*args, folder, log, "fold")
        assert f"goes on after epoch {stop}" in log.lines[0]
        assert len([line for line in log.lines if " epoch " in line and "train_loss" in line]) == model.epochs - stop
        assert (folder / "weights.safetensors").read_bytes() == (tmp_path / "whole/weights.safetensors").read_bytes()
        assert history_of(folder) == history_of(tmp_path / "whole")
        assert not (folder / "checkpoint").exists()


def stopping_after(epochs: int) -> type:
    class Stopping(training_checkpoint):
        def after_trained_epoch(self) -> None:
            super().after_trained_epoch()
            if len(self.rows) == epochs:
                raise KeyboardInterrupt

    return Stopping


training_checkpoint = training.Checkpoint


@pytest.mark.parametrize("lr", [0.002, "auto"])
def test_a_frozen_phase_resumes_too(samples, tmp_path, monkeypatch, lr):  # noqa: F811
    """fine_tune, from weights in a file: stopped in the frozen phase, and between the phases."""
    seed_everything("weights")
    body = build_network("test_resnet", "none", [COLOUR], (32, 32)).model[0].model
    from safetensors.torch import save_file

    state = {**body.state_dict(), "fc.weight": torch.zeros(1000, body.num_features), "fc.bias": torch.zeros(1000)}
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "body.safetensors")
    model = a_model(weights=str(tmp_path / "body.safetensors"), epochs=1, freeze_epochs=2, lr=lr)
    args = (samples[:20], samples[20:], HEADS, model, (1, "m", 0))
    train_fold(*args, tmp_path / "whole", Quiet(), "fold")
    for stop in (1, 2):
        folder = tmp_path / f"stopped-{stop}"
        with monkeypatch.context() as patched:
            patched.setattr(training, "Checkpoint", stopping_after(stop))
            with pytest.raises(KeyboardInterrupt):
                train_fold(*args, folder, Quiet(), "fold")
        train_fold(*args, folder, Quiet(), "fold")
        assert (folder / "weights.safetensors").read_bytes() == (tmp_path / "whole/weights.safetensors").read_bytes()


def test_a_checkpoint_of_other_settings_is_not_taken_up(samples, tmp_path, monkeypatch):  # noqa: F811
    with monkeypatch.context() as patched:
        patched.setattr(training, "Checkpoint", stopping_after(1))
        with pytest.raises(KeyboardInterrupt):
            train_fold(samples[:20], samples[20:], HEADS, a_model(epochs=2), (1, "m", 0), tmp_path, Quiet(), "fold")
    log = Quiet()
    train_fold(samples[:20], samples[20:], HEADS, a_model(epochs=2, lr=0.5), (1, "m", 0), tmp_path, log, "fold")
    assert not any("goes on" in line for line in log.lines)


def test_a_training_set_smaller_than_a_batch_is_trained_on(samples, tmp_path):  # noqa: F811
    torch.manual_seed(0)
    train_fold(samples[:5], samples[20:], HEADS, a_model(batch_size=64, epochs=1), (1,), tmp_path, Quiet(), "fold")
    loss = float((tmp_path / "history.csv").read_text().splitlines()[1].split(",")[1])
    assert loss > 0


def test_a_loss_that_explodes_is_said_and_leaves_no_weights(samples, tmp_path):  # noqa: F811
    heads = [Head(COLOUR, "cross_entropy", weight=float("inf")), HEADS[1]]
    with pytest.raises(WorkFailed, match="lower the model's lr"):
        train_fold(samples[:20], samples[20:], heads, a_model(epochs=1), (1,), tmp_path, Quiet(), "fold")
    assert not (tmp_path / "weights.safetensors").exists()


def test_epoch_seeds_depend_on_the_epoch_alone():
    learn = regression_learner(8, 40, Adam)
    learn.add_cb(SeedEpochs("a", 1))
    drawn = []
    for epoch in (0, 1, 0):
        learn.epoch = epoch
        learn("before_epoch")
        drawn.append(torch.rand(1).item())
    assert drawn[0] == drawn[2] != drawn[1]


def test_an_unknown_architecture_is_refused_with_the_nearest():
    with pytest.raises(RequestError, match="resnet26d"):
        build_network("resnet26dd", "none", [COLOUR], (32, 32))


def test_weights_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(RequestError, match="no file of weights"):
        build_network("test_resnet", str(tmp_path / "none.safetensors"), [COLOUR], (32, 32))
    (tmp_path / "bad.safetensors").write_bytes(b"not weights")
    with pytest.raises(WorkFailed, match="do not fit"):
        build_network("test_resnet", str(tmp_path / "bad.safetensors"), [COLOUR], (32, 32))


def test_a_pickle_in_place_of_weights_runs_nothing(tmp_path):
    """A .pth is read as tensors only: code in it is never executed."""
    import os
    import pickle

    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    (tmp_path / "weights.pth").write_bytes(pickle.dumps(Attack()))
    torch.save({"fc.weight": Attack()}, tmp_path / "zipped.pth")
    for name in ("weights.pth", "zipped.pth"):
        with pytest.raises(WorkFailed):
            build_network("test_resnet", str(tmp_path / name), [COLOUR], (32, 32))
    assert not (tmp_path / "owned").exists()


def test_bfloat16_on_a_cpu_changes_the_forward_pass_alone():
    torch.manual_seed(0)
    model = build_network("test_efficientnet", "none", [TargetSpec("x", "category", ("a", "b"))], (32, 32)).model.eval()
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        wide = model(images)
        model.compute_in_bfloat16()
        narrow = model(images)
    assert narrow.dtype == torch.float32
    assert not torch.equal(wide, narrow)
    assert torch.allclose(wide, narrow, atol=0.05)
    seen = set()

    def note(kind):
        return lambda _module, _inputs, out: seen.add((kind, out.dtype))

    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(note("depthwise" if module.groups > 1 else "convolution"))
        elif isinstance(module, torch.nn.Linear):
            module.register_forward_hook(note("head"))
    model(images).sum().backward()
    assert seen == {("depthwise", torch.float32), ("convolution", torch.bfloat16), ("head", torch.float32)}
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}
    assert not torch.is_autocast_enabled("cpu")


def test_an_error_in_a_forward_pass_leaves_no_autocast_behind():
    model = build_network("test_efficientnet", "none", [TargetSpec("x", "category", ("a", "b"))], (32, 32)).model
    model.compute_in_bfloat16()
    with pytest.raises(RuntimeError):
        model(torch.randn(4, 5, 32, 32))
    assert not torch.is_autocast_enabled("cpu")


def test_a_part_alone_leaves_autocast_as_it_was():
    """A body alone, as for features or an export: with depthwise convolutions, in eval and in training."""
    model = build_network("test_efficientnet", "none", [TargetSpec("x", "category", ("a", "b"))], (32, 32)).model
    model.compute_in_bfloat16()
    model.compute_in_bfloat16()  # a second time changes nothing
    images = torch.randn(4, 3, 32, 32)
    depthwise = next(m for m in model.modules() if isinstance(m, nn.Conv2d) and 1 < m.groups == m.in_channels)
    narrow = torch.randn(2, depthwise.in_channels, 8, 8)
    for mode in (True, False):
        model.train(mode)
        assert model[0](images).dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")
        depthwise(narrow)
        assert not torch.is_autocast_enabled("cpu")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert depthwise(narrow.bfloat16()).dtype == torch.float32
            assert torch.is_autocast_enabled("cpu")
            with pytest.raises(RuntimeError):
                depthwise(torch.randn(2, depthwise.in_channels + 1, 8, 8))
            assert torch.is_autocast_enabled("cpu")
    with pytest.raises(RuntimeError):
        model[0](torch.randn(4, 5, 32, 32))
    assert not torch.is_autocast_enabled("cpu")


def test_a_network_in_bfloat16_is_pickled_and_computes_the_same():
    import copy
    import pickle

    model = build_network("test_efficientnet", "none", [TargetSpec("x", "category", ("a", "b"))], (32, 32)).model.eval()
    model.compute_in_bfloat16()
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(again(images), model(images))
            again[0](images)
            assert not torch.is_autocast_enabled("cpu")
