"""The probe: heads fitted to the features of a frozen body, the floor that no training should fall below."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from fastai.learner import Learner
from torch import Tensor

from pipeline.targets import label_kinds
from pipeline.vision.augment import FusedAugment
from pipeline.vision.blocks import EncodeLabels, Sample
from pipeline.vision.callbacks import seed_everything, seeded
from pipeline.vision.config import PROBED, ImageModel
from pipeline.vision.gather import PixelSource
from pipeline.vision.heads import Head, JointLoss, is_answer
from pipeline.vision.learner import network_of
from pipeline.vision.linear import Linear, Weights, fit_classes, fit_numbers, fit_tags
from pipeline.vision.loader import image_loader
from pipeline.vision.model import BodyAndHeads, statistics_of
from pipeline.vision.predict import VALID


def fit_probe(
    learn: Learner,
    heads: Sequence[Head],
    train: Sequence[Sample],
    model: ImageModel,
    pixels: PixelSource,
    seed: tuple[int | str, ...],
) -> dict[str, Any]:
    """Put into a learner's heads what fits the training images best while the body stays as it is.

    Each image is seen once, in its central window, and once more mirrored where `augment.flip` allows it. Returns a row
    of history. What is drawn afterwards is as it would have been without.
    """
    began, joint = time.monotonic(), cast(JointLoss, learn.loss_func).joint
    weights = np.array([sample.weight for sample in train]) if joint.weighted else None
    encode = EncodeLabels(joint)
    labels = torch.stack([encode.encodes(sample).as_subclass(Tensor) for sample in train])
    network = network_of(learn)
    with seeded(*seed, "probe"):
        features = _features(network, train, model, pixels)
        copies = len(features) // len(train)
        for number, head in enumerate(heads):
            own = joint.labels_of(number, labels).repeat(copies, 1)
            counts = None if weights is None else np.tile(weights, copies)
            layer = _fitted(head, features, own, counts, seed_everything(*seed, "probe", number), copies)
            _put(network, head, layer)
        raw = _raw(network, features[: len(train)])
        loss = float(JointLoss(joint)(raw, labels))
        with learn.no_logging(), learn.no_mbar():
            valid = learn.validate()
    names = ["valid_loss", *(metric.name for metric in learn.metrics)]
    row = {"epoch": 0, "train_loss": loss} | {
        name: float(value) for name, value in zip(names, valid or (), strict=True)
    }
    return {**row, "seconds": round(time.monotonic() - began, 2)}


@torch.no_grad()
def _features(network: BodyAndHeads, train: Sequence[Sample], model: ImageModel, pixels: PixelSource) -> np.ndarray:
    """What the last layers see (n, features), plainly, then mirrored."""
    images, columns = [sample.path for sample in train], [s.beside for s in train if s.beside is not None]
    encoded = torch.from_numpy(np.stack(columns)) if columns else None
    device = next(network.parameters()).device
    augment = FusedAugment(model.augment, model.size, statistics_of(network))
    loader = image_loader(images, pixels, 2 * (model.batch_size // model.accumulate), device, encoded)
    plain, mirrored = [], []
    was_training = network.training
    network.eval()
    for images_of_batch, *beside in loader:
        batch = augment(images_of_batch, split_idx=VALID).as_subclass(Tensor)
        plain.append(_pooled(network, batch, beside))
        if model.augment.flip:
            mirrored.append(_pooled(network, batch.flip(-1), beside))
    network.train(was_training)
    return torch.cat(plain + mirrored).numpy().astype(np.float64)


def _pooled(network: BodyAndHeads, batch: Tensor, beside: Sequence[Tensor]) -> Tensor:
    return network.heads.shared(network.features(batch), *beside).cpu()


def _fitted(head: Head, features: np.ndarray, labels: Tensor, weights: Weights, seed: int, copies: int) -> Linear:
    """The layer of one head, from the rows that answer its target, as much as they weigh."""
    known = is_answer(labels)
    x, y, w = features[known.numpy()], labels[known], None if weights is None else weights[known.numpy()]
    kind = next(kind for kind in label_kinds(head.spec.kind) if kind in PROBED)
    return FITS[kind](head, x, y, w, seed, copies)


def _classes(head: Head, x: np.ndarray, labels: Tensor, weights: Weights, seed: int, copies: int) -> Linear:
    return fit_classes(x, labels[:, 0].numpy().astype(int), head.spec.width, seed, copies, weights)


def _tags(head: Head, x: np.ndarray, labels: Tensor, weights: Weights, seed: int, copies: int) -> Linear:
    return fit_tags(x, labels.numpy(), seed, copies, weights)


def _numbers(head: Head, x: np.ndarray, labels: Tensor, weights: Weights, seed: int, copies: int) -> Linear:
    numbers = labels.double()
    scaled = head.spec.target_kind.scaled(numbers, numbers, head.center, head.scale)
    return fit_numbers(x, scaled[:, 0].numpy(), seed, copies, weights)


# By the kind of the labels' form.
FITS: Mapping[str, Callable[[Head, np.ndarray, Tensor, Weights, int, int], Linear]] = {
    "category": _classes,
    "binary": _classes,
    "multilabel": _tags,
    "regression": _numbers,
}


@torch.no_grad()
def _put(network: BodyAndHeads, head: Head, layer: Linear) -> None:
    last = network.heads.last_of(head.spec.name)
    last.weight.copy_(torch.from_numpy(layer.weight))
    last.bias.copy_(torch.from_numpy(layer.bias))


@torch.no_grad()
def _raw(network: BodyAndHeads, features: np.ndarray) -> Tensor:
    """Raw outputs (n, sum of widths) of pooled features."""
    device = next(network.parameters()).device
    return network.heads.outputs(torch.from_numpy(features).float().to(device)).cpu()
