"""A trained fold, opened from its weights alone: the network, and its predictions of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fastai.torch_core import default_device
from torch import Tensor

from pipeline.data.boxes import pictures
from pipeline.data.channels import RGB
from pipeline.data.several import joined
from pipeline.errors import RequestError, WorkFailed
from pipeline.log import Log
from pipeline.predictions import NO_FOLD, Predictions, TargetSpec
from pipeline.targets.classes import some
from pipeline.vision.augment import FusedAugment
from pipeline.vision.cache import Cache
from pipeline.vision.callbacks import seeded
from pipeline.vision.config import ImageModel, Resize
from pipeline.vision.features import PREFIX
from pipeline.vision.gather import PixelSource
from pipeline.vision.heads import Head, JointLabels, JointLoss
from pipeline.vision.learner import autocast_dtype, pixels_of, repeat_exactly
from pipeline.vision.loader import image_loader
from pipeline.vision.memory import keep_freed_memory
from pipeline.vision.metadata import Metadata, Statistics, read_metadata
from pipeline.vision.model import Network, build_network, load_weights
from pipeline.vision.predict import predict_passes
from pipeline.vision.presize import Picture, Pixels

Images = Sequence[Path | str | Sequence[Path | str] | Pixels] | Tensor


@dataclass(frozen=True)
class Predicted:
    """The same images predicted plainly, and with the plain prediction and augmented ones averaged."""

    plain: Predictions
    tta: Predictions


class TrainedModel:
    """A trained fold. `network` is in eval mode on the device, with its weights: normalised images (n, channels, *size)
    in, raw outputs (n, sum of widths) out, the heads side by side; `metadata` is what its weights say of themselves.
    """

    def __init__(self, network: Network, metadata: Metadata) -> None:
        self.metadata, self.stats = metadata, network.stats
        self.heads: tuple[Head, ...] = tuple(head.head() for head in metadata.heads)
        self.device = default_device()
        precision = metadata.model.precision
        if precision == "fp16" and self.device.type != "cuda":
            precision = "auto"  # what was trained on a GPU opens anywhere
        dtype = autocast_dtype(precision, self.device)
        if dtype == torch.bfloat16:
            network.model.compute_in_bfloat16()
        self.network = network.model.to(self.device).eval()
        self._half = dtype == torch.float16
        self.channels = metadata.image_channels
        self._pixels = pixels_of(metadata.model, exact=True, levels=metadata.levels, channels=self.channels)

    @classmethod
    def open(cls, path: Path | str, metadata: Metadata | None = None) -> "TrainedModel":
        """A fold out of its weights.safetensors. `metadata` stands for what an old file does not say of itself.

        Raises WorkFailed for a file that does not hold such weights, or does not describe them.
        """
        path = Path(path)
        metadata = read_metadata(path) or metadata
        if metadata is None:
            raise WorkFailed(
                f"{path} does not say what model it is: an earlier version of the pipeline trained it; open it "
                "through its competition, by Project(COMP).trained(MODEL, FOLD), or train it again"
            )
        keep_freed_memory()
        repeat_exactly()
        specs = [head.head().spec for head in metadata.heads]
        settings = metadata.model
        form = (settings.dropout, settings.pooling, settings.head_name)
        channels, features = metadata.image_channels.count, metadata.features
        sizes = metadata.size, *form
        built = build_network(metadata.arch, "none", specs, *sizes, channels=channels, features=features)
        load_weights(path, built.model)
        stats = metadata.stats
        if stats is None:
            stats = Statistics.of(built.stats)
            metadata = metadata.model_copy(update={"stats": stats})
        return cls(Network(built.model, (stats.mean, stats.std)), metadata)

    @property
    def specs(self) -> tuple[TargetSpec, ...]:
        """Its targets, in the order of its outputs."""
        return tuple(head.spec for head in self.heads)

    @property
    def settings(self) -> ImageModel:
        """The model's table of the competition file, as it was trained."""
        return self.metadata.model

    @property
    def arch(self) -> str:
        return self.metadata.arch

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.metadata.size

    @property
    def presize(self) -> Resize:
        """What an image is resized to first; its window is then sampled down to `size`."""
        return self.metadata.presize

    def predict(self, ids: Sequence[str], images: Images, tta: int | None = None, fold: int = NO_FOLD) -> Predictions:
        """Predict images: files (a sequence of them where an image is several), uint8 pixels (height, width, channels)
        of any size, RGB where there are three, or a uint8 tensor (n, channels, *presize.size).

        The mean over `tta` augmented passes and a plain one; 0 for the plain one alone, by default as many as the
        settings say. What is drawn follows from the images' order. Raises RequestError for another shape, and for a
        model that takes features beside the images.

        Of a model that was trained on boxes, files are predicted as a whole, with a warning: pixels may be cut before.
        """
        features = self.metadata.features
        if features is not None:
            raise RequestError(
                f"{self.settings.name!r} reads features beside the image ({some(features.names)}): predict_rows takes "
                f"rows with a column {PREFIX + features.names[0]!r} and so on"
            )
        if self.metadata.cut and len(images) and not isinstance(images[0], (np.ndarray, Tensor)):
            Log().warn("this model was trained on boxes cut out of images (data.box); whole files are predicted here")
        return self._predict(ids, self._listed(images), self._pixels, tta, fold).tta

    def predict_rows(
        self, rows: pd.DataFrame, raw: Path, cache: Cache | None = None, tta: int | None = None, fold: int = NO_FOLD
    ) -> Predicted:
        """Predict rows of a manifest in their order, plainly and with TTA.

        Of each its `id`, `path` below `raw`, what is cut out of it, and features where the model reads them. Images
        come from `cache` where it holds them; the others become the pixels that it would hold.
        """
        levels, channels = self.metadata.levels, self.channels
        pixels = self._pixels
        if cache is not None:
            pixels = pixels_of(self.settings, cache, exact=True, levels=levels, channels=channels)
        features = self.metadata.features
        beside = None if features is None else torch.from_numpy(features.encode(rows))
        return self._predict(rows["id"].tolist(), pictures(rows, raw), pixels, tta, fold, beside)

    def _predict(
        self,
        ids: Sequence[str],
        images: Sequence[Picture],
        pixels: PixelSource,
        tta: int | None,
        fold: int,
        beside: Tensor | None = None,
    ) -> Predicted:
        if len(ids) != len(images):
            raise RequestError(f"{len(ids)} ids for {len(images)} images")
        passes = self.settings.tta if tta is None else tta
        plain = blended = torch.zeros(0, sum(spec.width for spec in self.specs))
        if len(images):
            size = 2 * (self.settings.batch_size // self.settings.accumulate)  # of a validation batch in training
            augment = FusedAugment(self.settings.augment, self.size, self.stats)
            activation = JointLoss(JointLabels(self.heads)).activation
            # What is drawn for these images does not depend on any predicted before; a loader draws already.
            with seeded(*self.metadata.seed, "tta"):
                loader = image_loader(images, pixels, size, self.device, beside)
                plain, blended = predict_passes(self.network, loader, augment, activation, self._half, passes)
        return Predicted(self._keyed(ids, plain, fold), self._keyed(ids, blended, fold))

    def _keyed(self, ids: Sequence[str], outputs: Tensor, fold: int) -> Predictions:
        parts = outputs.split([spec.width for spec in self.specs], dim=1)
        values = {spec.name: part.numpy() for spec, part in zip(self.specs, parts, strict=True)}
        return Predictions(np.asarray(ids, dtype=str), np.full(len(ids), fold), self.specs, values)

    def _listed(self, images: Images) -> list[Path | Pixels]:
        if isinstance(images, Tensor):
            wanted = (self.channels.count, *self.presize.size)
            if images.dtype != torch.uint8 or tuple(images.shape[1:]) != wanted:
                raise RequestError(
                    f"a batch of {images.dtype} {tuple(images.shape)} is not one of presized windows: expected "
                    f"torch.uint8 (n, {', '.join(map(str, wanted))})"
                )
            # A window of just that size is presized to itself.
            return list(images.permute(0, 2, 3, 1).contiguous().cpu().numpy())
        return [image if isinstance(image, np.ndarray) else _path_of(image) for image in map(self._fitting, images)]

    def _fitting(self, image: Any) -> Any:
        """An image as it is. Raises RequestError for pixels of another shape or type."""
        count = self.channels.count
        if isinstance(image, np.ndarray) and (image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != count):
            rgb = ", RGB" if count == RGB.count else ""
            raise RequestError(f"an image of {image.dtype} {image.shape}: expected uint8 (height, width, {count}){rgb}")
        return image


def _path_of(image: Path | str | Sequence[Path | str]) -> Path:
    return Path(image if isinstance(image, (str, Path)) else joined([str(file) for file in image]))
