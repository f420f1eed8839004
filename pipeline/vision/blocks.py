"""fastai DataLoaders over samples: upright images in, joint labels out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from fastai.data.block import DataBlock, TransformBlock
from fastai.data.core import DataLoaders
from fastai.data.transforms import CategoryMap
from fastai.torch_basics import L, TensorBase, Transform, dispatch, noop
from fastai.vision.augment import Resize as ResizeTransform
from fastai.vision.core import PILImage, TensorImage
from fastai.vision.data import get_grid

from pipeline.data.boxes import Cutout
from pipeline.data.channels import RGB, UNSAID, Said
from pipeline.data.levels import stretched
from pipeline.data.readers import is_array, values_of
from pipeline.data.several import is_several, read_content
from pipeline.targets import Label
from pipeline.vision.augment import FusedAugment
from pipeline.vision.config import Augment
from pipeline.vision.gather import PixelSource, read_bytes
from pipeline.vision.heads import Head, JointLabels, is_answer
from pipeline.vision.loader import pixel_block
from pipeline.vision.presize import read_pixels


@dataclass(frozen=True)
class Sample:
    """One image: its id, its file or what is cut out of it, and one label a target (None where it is to be predicted,
    or has no answer). `weight` is how much it counts in the loss, `beside` its encoded features, where there are any.
    """

    id: str
    path: Path | Cutout
    labels: tuple[Label | None, ...] | None = None
    weight: float = 1.0
    beside: np.ndarray | None = field(default=None, compare=False)  # float32 (features,)


def has_weights(samples: Sequence[Sample]) -> bool:
    """Whether they do not all count alike."""
    return any(sample.weight != 1.0 for sample in samples)


class UprightImage(PILImage):
    """An RGB image turned as its EXIF orientation says, which fastai's own PILImage ignores."""

    @classmethod
    def create(cls, source: object) -> "UprightImage":
        if not isinstance(source, (str, Path, Cutout)):
            return super().create(cast(Any, source))
        if isinstance(source, Cutout):
            return super().create(source.of(_as_picture(source.file)))
        if is_several(str(source)) or is_array(source):
            return super().create(_as_picture(source))
        return super().create(read_pixels(read_bytes(source), source))


def _as_picture(source: Path | str) -> Any:
    """Of an image of other channels what fastai can show: the first three, or the first."""
    content = read_content(source)
    try:
        parts = values_of(content, source, UNSAID).parts
    except ValueError:  # an array that does not tell its channels: the file says where they are
        parts = values_of(content, source, Said(None, "first")).parts
    pixels = stretched(parts)
    return pixels[:, :, : RGB.count] if pixels.shape[2] >= RGB.count else pixels[:, :, 0]


class TensorLabels(TensorBase):
    """Joint labels, one row an item; see `heads.JointLabels`."""


class TensorBeside(TensorBase):
    """Encoded features, one row an item; see `encoding.Features`."""


def _beside_of(sample: Sample) -> TensorBeside:
    if sample.beside is None:
        raise ValueError(f"the sample {sample.id!r} has no features")
    return TensorBeside(torch.from_numpy(sample.beside))


class ShownLabels(list):
    """An item's labels as people read them, one for each target (not a tuple: fastai would map over it)."""

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Add the labels to the title of a matplotlib axis, one line for each source of labels."""
        line = " | ".join(self)
        if ctx is None:
            print(line)
            return ctx
        above = ctx.get_title()
        ctx.set_title(f"{above}\n{line}" if above else line, color=kwargs.get("color", "black"))
        return ctx


class EncodeLabels(Transform):
    """A sample's labels to one row of joint labels, and back to something that shows itself."""

    def __init__(self, joint: JointLabels) -> None:
        super().__init__()
        self.joint = joint
        self.vocab = CategoryMap(joint.vocab, sort=False)
        self.c = len(joint.vocab)

    def encodes(self, sample: Sample) -> TensorLabels:
        if sample.labels is None:
            raise ValueError(f"the sample {sample.id!r} has no labels")
        row: list[float] = []
        for head, label, first in zip(self.joint.heads, sample.labels, self.joint.first_codes, strict=True):
            if label is None:
                row += [self.joint.no_answer] * head.label_width
                continue
            row += [first + value for value in head.spec.target_kind.encode(head.spec, label)]
        row += [sample.weight] * self.joint.weighted
        dtype = torch.int64 if self.joint.only_codes else torch.float32
        return TensorLabels(torch.tensor(row, dtype=dtype))

    def decodes(self, labels: TensorLabels) -> ShownLabels:
        parts = labels.split(self.joint.columns)[: len(self.joint.heads)]
        pairs = zip(self.joint.heads, parts, self.joint.first_codes, strict=True)
        return ShownLabels(
            head.spec.target_kind.show(head.spec, part - first if first else part) if is_answer(part[None]) else "?"
            for head, part, first in pairs
        )


@dispatch
def show_results(  # noqa: PLR0913 # pyright: ignore[reportRedeclaration] - one name, chosen by the types
    x: TensorImage,
    y: TensorLabels,
    samples: Any,
    outs: Any,
    ctxs: Any = None,
    max_n: Any = 9,
    nrows: Any = None,
    ncols: Any = None,
    figsize: Any = None,
    **kwargs: Any,
) -> Any:
    """Images with their labels and, below them, the predictions: green where all of them are right."""
    if ctxs is None:
        ctxs = get_grid(min(len(samples), max_n), nrows=nrows, ncols=ncols, figsize=figsize)
    for ctx, (image, truth), (predicted,) in zip(ctxs, samples, outs, strict=False):
        image.show(ctx=ctx, **kwargs)
        truth.show(ctx=ctx)
        predicted.show(ctx=ctx, color="green" if predicted == truth else "red")
    return ctxs


@dispatch
def plot_top_losses(  # noqa: PLR0913 # pyright: ignore[reportRedeclaration]
    x: TensorImage,
    y: TensorLabels,
    samples: Any,
    outs: Any,
    raws: Any,
    losses: Any,
    nrows: Any = None,
    ncols: Any = None,
    figsize: Any = None,
    **kwargs: Any,
) -> None:
    """Images with prediction, truth and loss, the worst first."""
    axes = get_grid(len(samples), nrows=nrows, ncols=ncols, figsize=figsize, title="Prediction / Actual / Loss")
    for ctx, (image, truth), (predicted,), loss in zip(axes, samples, outs, losses, strict=False):
        image.show(ctx=ctx, **kwargs)
        ctx.set_title(f"{' | '.join(predicted)} /\n{' | '.join(truth)} / {loss.item():.2f}")


# Where features lie beside the images: they are not shown.


@dispatch
def show_batch(x: tuple, y: TensorLabels, samples: Any, **kwargs: Any) -> Any:
    """As of images alone."""
    return show_batch(x[0], y, _images_of(samples), **kwargs)


@dispatch
def show_results(x: tuple, y: TensorLabels, samples: Any, outs: Any, **kwargs: Any) -> Any:  # noqa: F811
    """As of images alone."""
    return show_results(x[0], y, _images_of(samples), outs, **kwargs)


@dispatch
def plot_top_losses(x: tuple, y: TensorLabels, samples: Any, *rest: Any, **kwargs: Any) -> None:  # noqa: F811
    """As of images alone."""
    plot_top_losses(x[0], y, _images_of(samples), *rest, **kwargs)


def _images_of(samples: Any) -> L:
    return L((image, truth) for image, _, truth in samples)


def build_loaders(
    train: Sequence[Sample],
    valid: Sequence[Sample],
    heads: Sequence[Head],
    *,
    pixels: PixelSource,
    size: tuple[int, int],
    augment: Augment,
    batch_size: int,
    stats: tuple[Sequence[float], Sequence[float]],
) -> DataLoaders:
    """fastai DataLoaders: presized images from `pixels`, augmented and normalised by batch on the device.

    `stats` are the mean and standard deviation (channels,) (channels,) of the network. A training set smaller than a
    batch makes one batch: fastai would drop it and train on nothing.
    """
    joint = JointLabels(heads, weighted=has_weights(train))
    beside = any(sample.beside is not None for sample in (*train, *valid))
    block = DataBlock(
        blocks=[
            pixel_block(UprightImage.create, pixels),
            *([TransformBlock(type_tfms=[_beside_of])] if beside else []),
            TransformBlock(type_tfms=[EncodeLabels(joint)]),
        ],
        n_inp=1 + beside,
        get_items=list,
        get_x=[attrgetter("path"), noop] if beside else attrgetter("path"),
        splitter=lambda _: (list(range(len(train))), list(range(len(train), len(train) + len(valid)))),
        item_tfms=[ResizeTransform(pixels.resize.size, method=pixels.resize.method)],  # what `pixels` stands for
        batch_tfms=[FusedAugment(augment, size, stats)],
    )
    return block.dataloaders([*train, *valid], bs=min(batch_size, max(1, len(train))), val_bs=2 * batch_size)
