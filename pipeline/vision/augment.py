"""fastai's `aug_transforms` as one step: one homography and one interpolation from the presize to the final size.

The parameters are drawn by fastai's own transforms, so their distribution is theirs. What differs is the
sampling: stock warps at the presize and resamples again for the random crop; here all of it is composed first.

In training the picture is sampled once, bilinearly, and halved before only where a step is longer than `HALVE_FROM`
pixels. On valid it is sampled as fastai does there, whose `_grid_sample` averages by area first, from half of that
step: so training's pictures are the sharper (docs/input-path.md has the figure). Both see the same part of the picture
in the same shape.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from fastai.data.transforms import Normalize
from fastai.torch_basics import Transform
from fastai.vision.augment import (
    AffineCoordTfm,
    Dihedral,
    LightingTfm,
    RandomResizedCropGPU,
    RandTransform,
    aug_transforms,
)
from fastai.vision.augment import find_coeffs as homography_between
from fastai.vision.core import TensorImage
from torch import Tensor

from pipeline.machine import cores
from pipeline.vision.config import Augment
from pipeline.vision.gather import Buffers
from pipeline.vision.memory import sent

Size = tuple[int, int]
T = TypeVar("T", bound=Transform)
HALVE_FROM = 2.5  # source pixels an output pixel, from which four of them are averaged first
UPSIDE_DOWN = 2  # the number of fastai's Dihedral that mirrors top and bottom


def stock_augmentations(augment: Augment, size: Size) -> list[Transform]:
    """fastai's aug_transforms down to `size` (height, width) pixels.

    fastai flips nothing at all without `flip`; here `flip_vert` alone turns half of the images upside down.
    """
    sized: dict[str, Any] = {"size": size} if augment.min_scale == 1 else {}  # else the crop comes to that size
    upside_down = [Dihedral(p=0.5, draw=UPSIDE_DOWN, **sized)] if augment.flip_vert and not augment.flip else []
    drawn = aug_transforms(
        size=size,
        do_flip=augment.flip,
        flip_vert=augment.flip_vert,
        max_rotate=augment.max_rotate,
        max_zoom=augment.max_zoom,
        max_lighting=augment.max_lighting,
        max_warp=augment.max_warp,
        min_scale=augment.min_scale,
        xtra_tfms=upside_down,
    )
    return cast(list[Transform], drawn)


class FusedAugment(RandTransform):
    """uint8 images (n, channels, height, width) to float ones of the final size, augmented in training, normalised.

    Stands for IntToFloatTensor, aug_transforms and Normalize. On valid it samples as fastai does there.
    """

    order, split_idx = 30, None

    def __init__(self, augment: Augment, size: Size, stats: tuple[Sequence[float], Sequence[float]]) -> None:
        super().__init__()
        self.size = size
        self.normalize = Normalize.from_stats(*stats, cuda=False)
        drawn = stock_augmentations(augment, size)
        self.affine = _only(drawn, AffineCoordTfm)
        self.crop = _only(drawn, RandomResizedCropGPU)
        self.lighting = _only(drawn, LightingTfm)
        self._buffers = Buffers()
        self._products: dict[Size, tuple[list[Block], list[Block], Tensor]] = {}

    def before_call(self, b: tuple | Tensor, split_idx: int | None) -> None:
        """Draw the parameters of a batch, on the CPU: a GPU would be waited for. Stock looks at its shape alone."""
        image = b[0] if isinstance(b, tuple) else b
        self.do, self.training = True, not split_idx
        if self.crop is not None:
            # fastai crops squares, whatever the window: a whole rectangle would never be seen. A crop in the window's
            # own shape is distorted as prediction distorts the window: not at all, where `size` has that shape too.
            shape = image.shape[-1] / image.shape[-2]
            self.crop.ratio = shape, shape  # pyright: ignore[reportAttributeAccessIssue] - fastai's store_attr
        if self.training:
            blank = TensorImage(torch.empty(1).expand(image.shape))
            for transform in (self.affine, self.crop, self.lighting):
                if transform is not None:
                    transform.before_call(blank, split_idx=0)

    def encodes(self, x: TensorImage) -> TensorImage:
        images = x.as_subclass(Tensor)
        if self.training:
            sample = _warp_by_opencv if images.device.type == "cpu" else warp_by_torch
            out = sample(self, images, self.homographies(images.shape))
        elif images.device.type == "cuda":
            out = self.normalized(resize_as_fastai(images.float() / 255, self.size))
        else:  # Apple's GPU averages areas only where one side is a multiple of the other (torch 2.10)
            out = _resize_by_blocks(self, images.cpu()).to(images.device)
        return TensorImage(out)

    def decodes(self, x: TensorImage) -> TensorImage:
        """As it is shown: of other numbers of channels than one and three the first three, or the first."""
        mean, std = self._stats_on(x.device)
        plain = (x * std + mean).clamp(0.0, 1.0)
        shown = 3 if plain.shape[-3] >= 3 else 1
        return cast(TensorImage, plain if plain.shape[-3] == shown else plain.narrow(-3, 0, shown))

    def normalized(self, images: Tensor) -> Tensor:
        """Images of 0 to 1 by the mean and standard deviation of each channel."""
        mean, std = self._stats_on(images.device)
        return (images - mean) / std

    def _stats_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if self.normalize.mean.device != device:  # once, for all batches
            self.normalize.mean, self.normalize.std = self.normalize.mean.to(device), self.normalize.std.to(device)
        return self.normalize.mean, self.normalize.std

    def homographies(self, shape: Sequence[int]) -> Tensor:
        """(n, 3, 3): from a pixel of the output to its place in the source, both as (x, y, 1) in pixels."""
        n, source = shape[0], shape[-2:]
        matrix = torch.eye(3).expand(n, 3, 3)
        if self.affine is not None:
            matrix = matrix.clone()
            matrix[:, :2] = self.affine.mat.float()
            for warp in self.affine.coord_fs:
                matrix = _perspective(warp) @ matrix
        corner, cut = ((0, 0), source) if self.crop is None else (self.crop.tl, self.crop.cp_size)
        inward = _to_unit(source) @ _shift(corner) @ _scale(cut, self.size)
        return (torch.linalg.inv(_to_unit(source)) @ matrix.double() @ inward).float()

    def products(self, source: Size) -> "tuple[list[Block], list[Block], Tensor]":
        """The resize on valid of `source` pixels: its blocks down and across, the latter normalising too, and what
        that adds to a row (channels width,).
        """
        if source not in self._products:
            mean, std = (stat.flatten().cpu() for stat in (self.normalize.mean, self.normalize.std))
            shrink = _smoothing(source, self.size)
            down, across = (list(_blocks(s, o, shrink)) for s, o in zip(source, self.size, strict=True))
            across = [_of_channels(block, 1 / (255 * std)) for block in across]
            self._products[source] = down, across, (-mean / std).repeat(self.size[1])
        return self._products[source]

    def halvings(self, source: Sequence[int]) -> int:
        """How often the source is halved before it is sampled."""
        return _halvings(source if self.crop is None else self.crop.cp_size, self.size)

    def lit(self, values: Tensor) -> Tensor:
        """Values of 0 to 1 (n, ...) after the drawn brightness and contrast of each image."""
        if self.lighting is None:
            return values
        for drawn in self.lighting.fs:
            drawn.change = sent(drawn.change, values.device)
        return self.lighting.encodes(TensorImage(values)).as_subclass(Tensor)


def _only(transforms: Sequence[Transform], kind: type[T]) -> T | None:
    return next((transform for transform in transforms if isinstance(transform, kind)), None)


def _perspective(warp: Callable) -> Tensor:
    """The homography (n, 3, 3) of fastai's Warp as it was drawn."""
    coefficients = homography_between(warp.orig_pts, warp.targ_pts)
    return torch.cat([coefficients, torch.ones_like(coefficients[:, :1])], dim=1).view(-1, 3, 3)


def _to_unit(size: Sequence[int]) -> Tensor:
    """Pixels to fastai's coordinates, in which the centres of the outermost pixels are at -1 and 1."""
    height, width = (max(1, side - 1) for side in size)
    return torch.tensor([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1]], dtype=torch.float64)


def _shift(corner: Sequence[int]) -> Tensor:
    return torch.tensor([[1, 0, corner[1]], [0, 1, corner[0]], [0, 0, 1]], dtype=torch.float64)


def _scale(source: Sequence[int], out: Sequence[int]) -> Tensor:
    """Pixels of the output to pixels of the source, the outermost on the outermost."""
    down, across = ((s - 1) / max(1, o - 1) for s, o in zip(source, out, strict=True))
    return torch.tensor([[across, 0, 0], [0, down, 0], [0, 0, 1]], dtype=torch.float64)


def _halvings(source: Sequence[int], out: Size) -> int:
    """How often to halve before a single bilinear sample, so that it passes over no pixel."""
    ratio = min(s / o for s, o in zip(source, out, strict=True))
    return math.ceil(math.log2(ratio / HALVE_FROM)) if ratio > HALVE_FROM else 0


HALVED = torch.tensor([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]], dtype=torch.float64)  # a pixel's place in a half


def warp_by_torch(augment: FusedAugment, images: Tensor, sources: Tensor) -> Tensor:
    """The fused step on the images' device, in float: what the quick one on the CPU is measured against."""
    x = images.float() / 255
    for _ in range(augment.halvings(images.shape[-2:])):
        x = F.avg_pool2d(x, 2)
        sources = HALVED.float() @ sources
    n, _, height, width = x.shape
    sides = (torch.arange(float(side), device=x.device) for side in augment.size)
    down, across = torch.meshgrid(*sides, indexing="ij")
    points = torch.stack([across, down, torch.ones_like(down)], dim=-1).view(1, -1, 3)
    points = points @ sent(_to_unit((height, width)).float() @ sources, x.device).transpose(1, 2)
    grid = (points[..., :2] / points[..., 2:]).view(n, *augment.size, 2)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=True)
    return augment.normalized(augment.lit(x))


def _warp_by_opencv(augment: FusedAugment, images: Tensor, sources: Tensor) -> Tensor:
    """The fused step on the CPU: a warp of uint8, then brightness, contrast and normalisation by one look-up."""
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    ramp = (torch.arange(256.0) / 255).view(1, 1, 1, 256).repeat(len(pixels), 1, 1, 1)
    count = pixels.shape[3]
    tables = augment.normalized(augment.lit(ramp).expand(-1, count, 1, 256)).permute(0, 2, 3, 1).contiguous().numpy()
    height, width = augment.size
    out = augment._buffers.take((len(pixels), height, width, count), torch.float32)
    halvings = augment.halvings(images.shape[-2:])
    into, matrices = out.numpy(), (torch.linalg.matrix_power(HALVED, halvings) @ sources.double()).numpy()

    def one(number: int) -> None:
        image = pixels[number]
        for _ in range(halvings):
            image = _half(image)
        warped = _warp(image.reshape(*image.shape[:2], count), matrices[number], (width, height))
        cv2.LUT(warped, tables[number], into[number])

    _for_each(one, len(pixels))
    return out.permute(0, 3, 1, 2)


EXACT = (1, 3, 4)  # channels that OpenCV warps to the rounding; others by fractions of 32 parts, 4 of 255 off


def _warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (height, width, channels) sampled at `size` (width, height), reflected beyond its edges."""
    if image.shape[2] not in EXACT:
        parts = [np.ascontiguousarray(image[:, :, begin:end]) for begin, end in _groups(image.shape[2])]
        return np.concatenate([_warp(part, matrix, size) for part in parts], axis=2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return warped if warped.ndim == 3 else warped[:, :, None]


def _groups(channels: int) -> Iterator[tuple[int, int]]:
    """Where groups of exact sizes begin and end."""
    begin = 0
    while begin < channels:
        size = next(size for size in reversed(EXACT) if size <= channels - begin)
        yield begin, begin + size
        begin += size


def _half(image: np.ndarray) -> np.ndarray:
    """Each two by two pixels averaged; an odd last row or column is left out."""
    height, width = (side // 2 for side in image.shape[:2])
    return cv2.resize(image[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)


def _smoothing(source: Sequence[int], out: Size) -> float:
    """fastai's measure (`_grid_sample`, which takes the grid's last two sides for its height and width): above 1
    it averages by area first."""
    return min(source[0] / out[1], source[1] / 2) / 2


def resize_as_fastai(images: Tensor, size: Size) -> Tensor:
    """What aug_transforms(size=...) does on valid: an average by area if it shrinks strongly, then bilinear."""
    shrink = _smoothing(images.shape[-2:], size)
    if shrink > 1:
        images = F.interpolate(images, scale_factor=1 / shrink, mode="area", recompute_scale_factor=True)
    return _by_identity_grid(images, size)


def _by_identity_grid(images: Tensor, size: Size) -> Tensor:
    """Bilinear, the corners on the corners, at the very coordinates of fastai: in float32 their rounding shows."""
    identity = torch.eye(2, 3, device=images.device, dtype=images.dtype).expand(len(images), 2, 3)
    grid = F.affine_grid(identity, [len(images), 1, *size], align_corners=True)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=True)


@dataclass(frozen=True)
class Block:
    """Some neighbouring outputs of a resize along one side, and the few inputs that they are weighted sums of."""

    outputs: slice
    inputs: slice
    weights: Tensor  # (outputs, inputs)


OUTPUTS, IMAGES = 8, 8  # of a block, and of a product: what was quickest at 460 -> 224


def _resize_by_blocks(augment: FusedAugment, images: Tensor) -> Tensor:
    """`resize_as_fastai` and the normalisation on the CPU: small matrix products down, then across."""
    pixels = images.permute(0, 2, 3, 1)
    n, source_height, source_width, channels = pixels.shape
    height, width = augment.size
    down, across, offset = augment.products((source_height, source_width))
    out = augment._buffers.take((n, height, width, channels), torch.float32)
    narrow = torch.empty(IMAGES, height, source_width * channels)
    for some, into in zip(pixels.split(IMAGES), out.split(IMAGES), strict=True):
        count = len(some)
        whole = some.reshape(count, source_height, source_width * channels).float()
        for block in down:
            narrow[:count, block.outputs] = block.weights @ whole[:, block.inputs]
        rows, into_rows = narrow[:count].view(count * height, -1), into.view(count * height, -1)
        for block in across:
            torch.addmm(offset[block.outputs], rows[:, block.inputs], block.weights, out=into_rows[:, block.outputs])
    return out.permute(0, 3, 1, 2)


def _blocks(source: int, out: int, shrink: float) -> Iterator[Block]:
    """`resize_as_fastai` along one side."""
    matrix = _along_one_side(source, out, shrink)
    for outputs in (slice(start, min(start + OUTPUTS, out)) for start in range(0, out, OUTPUTS)):
        used = matrix[outputs].any(dim=0).nonzero()
        inputs = slice(int(used[0]), int(used[-1]) + 1)
        yield Block(outputs, inputs, matrix[outputs, inputs].contiguous())


def _of_channels(block: Block, scale: Tensor) -> Block:
    """A block for pixels of some channels side by side, each by its own factor: weights (inputs, outputs)."""
    count = len(scale)
    outputs, inputs = (slice(count * part.start, count * part.stop) for part in (block.outputs, block.inputs))
    return Block(outputs, inputs, torch.kron(block.weights.T.contiguous(), torch.diag(scale)))


def _along_one_side(source: int, out: int, shrink: float) -> Tensor:
    """(out, source): each output as a weighted sum, from the effect on each source pixel."""
    unit = torch.eye(source, dtype=torch.float64)[:, None]
    if shrink > 1:
        unit = F.interpolate(unit, scale_factor=1 / shrink, mode="area", recompute_scale_factor=True)
    two_rows = unit[:, :, None].float().expand(-1, -1, 2, -1)  # torch warns of a grid with a single one
    return _by_identity_grid(two_rows, (2, out))[:, 0, 0].T


def _for_each(work: Callable[[int], None], count: int) -> None:
    """Do `work` for 0 to count - 1 on all cores; OpenCV and numpy let go of the interpreter meanwhile."""
    threads = cores()
    parts = [range(start, count, threads) for start in range(min(threads, count))]
    list(_pool().map(lambda part: [work(number) for number in part], parts))


@functools.cache
def _pool() -> ThreadPoolExecutor:
    cv2.setNumThreads(1)  # a thread of ours has an image to itself
    return ThreadPoolExecutor(cores(), thread_name_prefix="augment")
