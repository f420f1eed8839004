"""A fastai Learner for one fold: loaders, network, loss, metrics, precision. A simple call on composable parts."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.mixup import MixUp
from fastai.learner import AvgMetric, Learner
from fastai.vision.learner import default_split

from pipeline.data.channels import Channels
from pipeline.data.levels import Levels
from pipeline.errors import RequestError
from pipeline.vision.augmentations import read_augmentation
from pipeline.vision.blocks import Sample, build_loaders, has_weights
from pipeline.vision.cache import Cache
from pipeline.vision.callbacks import Accumulate, FrozenStatistics
from pipeline.vision.config import ImageModel
from pipeline.vision.embedding import MixUpBeside
from pipeline.vision.encoding import Features
from pipeline.vision.gather import PixelSource
from pipeline.vision.heads import Head, JointLabels, JointLoss, is_answer
from pipeline.vision.memory import keep_freed_memory
from pipeline.vision.model import BodyAndHeads, build_network
from pipeline.vision.optimizer import FusedAdam
from pipeline.vision.scored import Scored


def build_learner(  # noqa: PLR0913
    model: ImageModel,
    heads: Sequence[Head],
    train: Sequence[Sample],
    valid: Sequence[Sample],
    *,
    weights: str | None = None,
    features: Features | None = None,
    pixels: PixelSource | None = None,
    scored: Scored | None = None,
    tell: Callable[[str], None] | None = None,
) -> Learner:
    """A Learner on which fastai's own methods work: get_preds, tta, predict, show_batch, show_results, lr_find.

    `weights` replaces the model's own ('none' when trained ones will be loaded). `features` say how the samples' own
    were encoded, which the network takes beside the image. Images come from `pixels`; without
    it from their files, decoded anew for each batch. With `scored`, the leaderboard's metric of `valid` is told beside
    the heads' errors. `tell` is told what a file of weights gave to the network.
    """
    keep_freed_memory()
    repeat_exactly()
    specs = [head.spec for head in heads]
    pixels = pixels or pixels_of(model)
    start, form = weights or model.weights, (model.dropout, model.pooling, model.head_name)
    channels = pixels.channels.count
    network = build_network(model.arch, start, specs, model.size, *form, channels=channels, features=features)
    if tell is not None and network.start:
        tell(network.start)
    loaders = build_loaders(
        train,
        valid,
        heads,
        pixels=pixels,
        size=model.size,
        augment=model.augment,
        batch_size=model.batch_size // model.accumulate,
        stats=network.stats,
    )
    if autocast_dtype(model.precision, loaders.device) == torch.bfloat16:
        network.model.compute_in_bfloat16()
    items = (*train, *valid)
    partial = [
        k for k in range(len(heads)) if any(item.labels is not None and item.labels[k] is None for item in items)
    ]
    joint = JointLabels(heads, partial, has_weights(train))
    learn = Learner(
        loaders,
        network.model.to(loaders.device),
        loss_func=JointLoss(joint),
        opt_func=FusedAdam,  # pyright: ignore[reportArgumentType] - fastai's hint names what it makes
        splitter=default_split,
        metrics=[*(_metric(joint, number) for number in range(len(heads))), *(scored.metrics(joint) if scored else ())],
        wd=model.weight_decay,
        cbs=_callbacks(model, loaders.device),
    )
    for callback in list(learn.cbs):
        if callback.name == "progress":  # there if somebody imported fastai.vision.all; our lines replace it
            learn.remove_cb(callback)
    return learn


def network_of(learn: Learner) -> BodyAndHeads:
    """A learner's model, which fastai takes for any function."""
    return cast(BodyAndHeads, learn.model)


def pixels_of(
    model: ImageModel,
    cache: Cache | None = None,
    exact: bool = False,
    levels: Levels | None = None,
    channels: Channels | None = None,
) -> PixelSource:
    """Where a model's images come from: presized as it says, with the augmentations of its own."""
    own = [read_augmentation(said) for said in model.augment.own]
    return PixelSource(model.presize, cache, exact=exact, augmentations=own, levels=levels, channels=channels)


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """What autocast computes in: fp16 on CUDA, bfloat16 on CPUs that multiply it natively, else nothing.

    Raises RequestError where fp16 was asked for and cannot be had.
    """
    if precision == "fp16" and device.type != "cuda":
        raise RequestError("precision = 'fp16' needs a CUDA device; 'auto' uses it where there is one")
    if precision == "fp32":
        return None
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if device.type == "cpu" and multiplies_bfloat16() else None


def repeat_exactly() -> None:
    """Have CUDA compute the same bytes from the same seed: cuDNN's and torch's deterministic ways, process-wide.

    cuBLAS wants CUBLAS_WORKSPACE_CONFIG besides, which the command line sets. Where torch knows no such way it warns.
    """
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
        torch.use_deterministic_algorithms(True, warn_only=True)
        # The module is given this property when it is loaded.
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for it; without them bfloat16 is slower than fp32."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags.split())


def _callbacks(model: ImageModel, device: torch.device) -> list:
    callbacks: list = []
    if model.accumulate > 1:
        callbacks.append(Accumulate(model.accumulate))
    if autocast_dtype(model.precision, device) == torch.float16:
        callbacks.append(MixedPrecision())
    if model.keeps_statistics:
        callbacks.append(FrozenStatistics())
    if model.mixup:
        callbacks.append(MixUpBeside(model.mixup) if model.features else MixUp(model.mixup))
    return callbacks


def _metric(joint: JointLabels, number: int) -> AvgMetric:
    """The error of one head, averaged over the items, for the line of each epoch."""
    head = joint.heads[number]
    kind = head.spec.target_kind

    def error(preds: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        own = preds.as_subclass(torch.Tensor).split(joint.widths, dim=1)[number]
        truth = joint.labels_of(number, labels.as_subclass(torch.Tensor))
        if number in joint.partial:
            known = is_answer(truth)
            own, truth = own[known], truth[known]
        return kind.error(head.decide(head.activate(own)), truth)

    error.__name__ = f"{head.spec.name}_{kind.error_name}"
    return AnsweredMetric(error, joint, number) if number in joint.partial else AvgMetric(error)


class AnsweredMetric(AvgMetric):
    """The mean over those items of each batch that answer a target."""

    def __init__(self, func: Callable[..., torch.Tensor], joint: JointLabels, number: int) -> None:
        super().__init__(func)
        self.joint, self.number = joint, number

    def accumulate(self, learn: Learner) -> None:
        (labels,) = cast("tuple[torch.Tensor]", learn.yb)
        count = int(is_answer(self.joint.labels_of(self.number, labels.as_subclass(torch.Tensor))).sum())
        if count:
            self.total += self.func(learn.pred, labels).detach().cpu() * count
            self.count += count

    @property
    def value(self) -> torch.Tensor | float:
        return self.total / self.count if self.count else math.nan
