"""fastai's loader fed from a PixelSource: no worker processes, batches of uint8, all of fastai's methods."""

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from fastai.callback.data import WeightedDL
from fastai.data.block import TransformBlock
from fastai.data.core import Datasets, TfmdDL, TfmdLists
from fastai.data.load import DataLoader, fa_collate
from fastai.vision.core import TensorImage

from pipeline.data.boxes import Cutout
from pipeline.vision.gather import Pending, PixelSource, ahead, windows
from pipeline.vision.memory import sent
from pipeline.vision.presize import Picture

Host = DataLoader if TYPE_CHECKING else object  # what PixelLoading is mixed into


class PixelLoading(Host):
    """A mixin for fastai's loaders: `pixels` gives the images of a batch, the dataset all else.

    It takes the place of the image's type transforms and of `Resize`: where the dataset's split_idx is 0 windows are
    random, as there, and changed by the augmentations of `pixels`; elsewhere they are central. Labels go through the
    dataset's own transforms, once each.
    """

    def __init__(self, dataset: Any, *, pixels: PixelSource, **kwargs: Any) -> None:
        self.pixels = pixels
        self._labels: dict[int, tuple] = {}
        super().__init__(dataset, **{**kwargs, "num_workers": 0})

    def new(self, dataset: Any = None, cls: type | None = None, **kwargs: Any) -> DataLoader:
        return super().new(dataset, cls, **{"pixels": self.pixels, **kwargs})

    def do_item(self, index: int | None) -> int:
        return index or 0

    def do_batch(self, indices: Iterable[int]) -> tuple:
        indices = list(indices)
        return self._complete(indices, self._start(indices).result())

    def create_batches(self, indices: Iterable[int]) -> Iterator[tuple]:
        for chosen, pixels in ahead(self._start, map(list, self.chunkify(iter(indices)))):
            yield self._complete(chosen, pixels)

    def _start(self, indices: Sequence[int]) -> Pending:
        random_windows = getattr(self.dataset, "split_idx", 1) == 0
        rng = random.Random(self.rng.random()) if random_windows else None
        at = list(windows(len(indices), rng))
        # Drawn last, and only where they are used: windows are the same with augmentations and without.
        seeds = [rng.getrandbits(64) for _ in indices] if rng and self.pixels.augmentations else None
        return self.pixels.start([self._image(i) for i in indices], at, self._target.type == "cuda", seeds)

    @property
    def _target(self) -> torch.device:
        """Where batches go: to the CPU for a loader that was given no device."""
        return torch.device("cpu" if self.device is None else self.device)

    def _image(self, index: int) -> Picture:
        """The image's file; or its pixels, where an item is no file but an image already."""
        images = self.dataset.tls[0]
        item = images.items[index]
        path = getattr(item, "path", item)
        return path if isinstance(path, (str, Path, Cutout)) else np.asarray(images[index])

    def _complete(self, indices: Sequence[int], pixels: torch.Tensor) -> tuple:
        labels = [self._labels_of(index) for index in indices]
        columns = [_stacked(column) for column in zip(*labels, strict=True)]
        batch = (TensorImage(pixels.permute(0, 3, 1, 2)), *columns)
        return tuple(sent(part, self._target) if isinstance(part, torch.Tensor) else part for part in batch)

    def _labels_of(self, index: int) -> tuple:
        if index not in self._labels:
            self._labels[index] = tuple(labels[index] for labels in self.dataset.tls[1:])
        return self._labels[index]


class PixelDL(PixelLoading, TfmdDL):
    """fastai's TfmdDL with images from a PixelSource."""


class WeightedPixelDL(PixelLoading, WeightedDL):
    """fastai's WeightedDL with images from a PixelSource: `dl_type=WeightedPixelDL, dl_kwargs=({"wgts": w}, {})`."""


class ImageDL(PixelLoading, DataLoader):
    """fastai's bare DataLoader with images from a PixelSource: batches (images,) of uint8 without labels, or
    (images, features)."""


def image_loader(
    images: Sequence[Picture],
    pixels: PixelSource,
    batch_size: int,
    device: Any,
    beside: torch.Tensor | None = None,
) -> ImageDL:
    """A loader of images alone, files or pixels (height, width, channels), in their order, or with a row of `beside`
    each."""
    parts = [list(images), *([] if beside is None else [list(beside)])]
    items = [TfmdLists(part, [], split_idx=1, do_setup=False) for part in parts]
    dataset = Datasets(tls=items)  # pyright: ignore[reportArgumentType] - fastai's hint names one of them
    return ImageDL(dataset, pixels=pixels, bs=batch_size, device=device)


def pixel_block(type_tfms: Any, pixels: PixelSource) -> TransformBlock:
    """The image block of a DataBlock: its loaders take their images from `pixels`."""
    return TransformBlock(
        type_tfms=type_tfms,
        dl_type=PixelDL,  # pyright: ignore[reportArgumentType] - fastai's hint names an object of the class
        dls_kwargs={"pixels": pixels},
    )


def _stacked(labels: Sequence[Any]) -> Any:
    """Labels of one kind as a batch, of their own tensor type."""
    first = labels[0]
    if not isinstance(first, torch.Tensor):
        return fa_collate(list(labels))
    stacked = torch.stack([label.as_subclass(torch.Tensor) for label in labels])
    return stacked.as_subclass(type(first))
