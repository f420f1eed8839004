"""Every loss of the registry: a gradient of its own, options that count, and the sums of the papers."""

import math
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.losses import LOSSES, Loss
from pipeline.settings import Section
from pipeline.targets import KINDS, TargetSpec, losses_of
from pipeline.targets.said import Target
from pipeline.vision.heads import Head, JointLabels, JointLoss
from tests.plugged import plugged

VOCAB = {"category": ("a", "b", "c"), "binary": ("no", "yes"), "multilabel": ("x", "y", "z"), "regression": ()}
PAIRS = [(kind, name) for kind in KINDS for name in losses_of(kind)]


def batch(kind: str, n: int = 64) -> tuple[TargetSpec, Tensor, Tensor]:
    """Random raw predictions and labels of a kind, the same at every call."""
    generator = torch.Generator().manual_seed(4)
    spec = TargetSpec("t", kind, VOCAB[kind])
    shape = (n, spec.target_kind.label_width(spec))
    top = len(spec.vocab) if spec.exclusive else 2
    labels = torch.randint(0, top, shape, generator=generator)
    if not spec.vocab:
        labels = 20 + 5 * torch.randn(shape, generator=generator)
    return spec, 2 * torch.randn(n, spec.width, generator=generator), labels


def gradient(kind: str, name: str, options: Section | None = None) -> Tensor:
    spec, preds, labels = batch(kind)
    head = Head(spec, name, center=20.0, scale=5.0, options=options)
    preds.requires_grad_()
    loss = JointLoss(JointLabels([head]))(preds, labels if spec.exclusive else labels.float())
    assert loss.shape == ()
    return torch.autograd.grad(loss, preds)[0]


def test_every_loss_serves_a_kind_and_every_kind_has_losses():
    assert {name for _, name in PAIRS} == set(LOSSES)
    for kind in KINDS:
        assert losses_of(kind)[0] == KINDS[kind].default_loss == Target(name="t", kind=kind).loss_name
        assert {name for name, loss in LOSSES.items() if kind in loss.kinds} == set(losses_of(kind))


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_the_gradient_is_finite_and_not_nothing(kind, name):
    found = gradient(kind, name)
    assert found.isfinite().all()
    assert (found != 0).any(dim=1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_losses_of_a_kind_are_the_same(kind):
    for one, other in combinations(losses_of(kind), 2):
        assert not torch.allclose(gradient(kind, one), gradient(kind, other), rtol=1e-3, atol=1e-6), (one, other)


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_every_option_changes_the_gradient(kind, name):
    options = LOSSES[name].options
    for option, field in options.model_fields.items():
        halved = options(**{option: field.default / 2})
        assert not torch.allclose(gradient(kind, name), gradient(kind, name, halved), rtol=1e-3, atol=1e-6), option
    assert torch.equal(gradient(kind, name), gradient(kind, name, options()))


@pytest.mark.parametrize("kind", ["category", "binary", "multilabel"])
def test_focal_is_the_papers_sum_and_cross_entropy_without_focus(kind):
    spec, preds, labels = batch(kind)
    head = Head(spec, "focal", options=LOSSES["focal"].read_options({"gamma": 3.0}))
    if spec.exclusive:
        p = preds.softmax(dim=1).gather(1, labels)[:, 0]
        expected = -((1 - p) ** 3) * p.log()
    else:
        p = torch.where(labels.bool(), preds.sigmoid(), 1 - preds.sigmoid())
        expected = (-((1 - p) ** 3) * p.log()).mean(dim=1)
    assert torch.allclose(head.term(preds, labels), expected, atol=1e-5)
    plain = LOSSES["focal"].read_options({"gamma": 0})
    assert torch.allclose(gradient(kind, "focal", plain), gradient(kind, "cross_entropy"), atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize(("kind", "label"), [("category", [[0]]), ("multilabel", [[1, 0, 0]])])
def test_focal_of_what_is_wholly_right_or_wrong_is_finite(gamma, kind, label):
    head = Head(TargetSpec("t", kind, VOCAB[kind]), "focal", options=LOSSES["focal"].read_options({"gamma": gamma}))
    for sure in (200.0, -200.0):
        preds = torch.tensor([[sure, -sure, -sure]], requires_grad=True)
        loss = head.term(preds, torch.tensor(label)).sum()
        (found,) = torch.autograd.grad(loss, preds)
        assert loss.isfinite()
        assert found.isfinite().all()


def test_huber_is_half_the_square_and_then_straight_on_the_scale_of_the_head():
    head = Head(TargetSpec("t", "regression"), "huber", center=10.0, scale=2.0, options=None)
    found = head.term(torch.tensor([[0.5], [3.0]]), torch.tensor([[10.0], [10.0]]))
    assert found.tolist() == [0.5 * 0.5**2, 3.0 - 0.5]
    wide = Head(TargetSpec("t", "regression"), "huber", options=LOSSES["huber"].read_options({"delta": 4.0}))
    assert wide.term(torch.tensor([[3.0]]), torch.tensor([[0.0]])).item() == pytest.approx(4.5)


def test_label_smoothing_spreads_as_much_as_is_said():
    spec, preds, labels = batch("category")
    head = Head(spec, "label_smoothing", options=LOSSES["label_smoothing"].read_options({"amount": 0.3}))
    expected = 0.7 * F.cross_entropy(preds, labels[:, 0], reduction="none") - 0.3 * preds.log_softmax(1).mean(1)
    assert torch.allclose(head.term(preds, labels), expected, atol=1e-5)


class Power(Section):
    """The option of a loss of one's own."""

    power: float = 4.0


def distance_to_a_power(preds: Tensor, labels: Tensor, options: Power) -> Tensor:
    return (preds[:, 0] - labels[:, 0]).abs() ** options.power


def test_a_plug_ins_loss_is_accepted_by_the_file_and_trains_the_head():
    with plugged():
        LOSSES.add("steep", Loss({"regression": distance_to_a_power}, Power))
        target = Target(name="age", kind="regression", loss={"name": "steep", "power": 3.0})
        assert target.loss_settings == {"name": "steep", "power": 3.0}
        _, preds, labels = batch("regression")
        found = gradient("regression", "steep", target.loss_options)
        apart = preds - (labels - 20) / 5
        assert torch.allclose(found, 3 * apart.abs() ** 2 * apart.sign() / len(preds), atol=1e-5)
        with pytest.raises(ValueError, match="loss 'steep' is not one of cross_entropy"):
            Target(name="t", loss="steep")
    with pytest.raises(ValueError, match="loss 'steep' is not one of mse, l1, huber for kind 'regression'"):
        Target(name="age", kind="regression", loss="steep")


def test_every_option_is_written_out():
    assert Target(name="t", loss="focal").loss_settings == {"name": "focal", "gamma": 2.0}
    assert Target(name="t", loss={"name": "focal"}).loss_settings == {"name": "focal", "gamma": 2.0}
    assert Target(name="t").loss_settings == {"name": "cross_entropy"}
    smooth = Target(name="t", loss={"name": "label_smoothing", "amount": 0.25})
    assert smooth.loss_settings == {"name": "label_smoothing", "amount": 0.25}
    assert math.isclose(smooth.loss_options.amount, 0.25)
