"""The fused augmentation: fastai's draws, one interpolation, and on valid fastai's own sampling."""

import numpy as np
import pytest
import torch
from fastai.vision.core import TensorImage
from torch import Tensor

from pipeline.vision.augment import FusedAugment, stock_augmentations, warp_by_torch
from pipeline.vision.config import Augment, ImageModel, Resize
from tests.test_presize import photo

STATS = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
AUGMENTS = {
    "default": Augment(),
    "crop": Augment(min_scale=0.6),
    "all": Augment(flip_vert=True, max_rotate=30.0, max_zoom=1.3, max_warp=0.3, max_lighting=0.4, min_scale=0.75),
    "affine": Augment(max_warp=0.0, max_lighting=0.0),
    "none": Augment(flip=False, max_rotate=0.0, max_zoom=1.0, max_warp=0.0, max_lighting=0.0),
}
SIZES = [(64, 64), (50, 70), (30, 30), (96, 96), (120, 120)]


@pytest.fixture(scope="module")
def images() -> TensorImage:
    pixels = np.stack([photo(96, 96, seed) for seed in range(8)])
    return TensorImage(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def drawn(images: TensorImage, augment: Augment, size: tuple[int, int], seed: int = 0) -> FusedAugment:
    import random

    random.seed(seed)
    torch.manual_seed(seed)
    fused = FusedAugment(augment, size, STATS)
    fused.before_call((images,), split_idx=0)
    return fused


def in_255(difference: Tensor) -> Tensor:
    """Normalised units back to those of pixels."""
    return difference.as_subclass(Tensor).abs() * torch.tensor(STATS[1]).view(1, 3, 1, 1) * 255


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", AUGMENTS)
def test_the_quick_step_is_a_float_reference_with_one_interpolation(images, name, size):
    fused = drawn(images, AUGMENTS[name], size)
    quick = fused.encodes(images)
    reference = warp_by_torch(fused, images.as_subclass(Tensor), fused.homographies(images.shape))
    assert quick.shape == (8, 3, *size)
    assert in_255(quick - reference).mean() < 0.5


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (120, 100)])
@pytest.mark.parametrize("name", ["default", "affine", "crop", "all"])
def test_for_the_same_draws_the_picture_is_stocks_but_for_blur(images, name, size):
    """On pictures as smooth as these a second interpolation changes little; a wrong geometry changes much."""
    smooth = images.as_subclass(Tensor).float()
    smooth = TensorImage(torch.nn.functional.avg_pool2d(smooth, 9, 1, 4, count_include_pad=False).round().byte())
    fused = drawn(smooth, AUGMENTS[name], size)
    ours = fused.encodes(smooth)
    theirs = TensorImage(smooth.float() / 255)
    for transform in (fused.affine, fused.crop, fused.lighting):
        if transform is not None:
            theirs = transform.encodes(theirs)
    difference = in_255(ours - fused.normalized(theirs.as_subclass(Tensor)))
    assert difference.mean() < 1.2
    moved = in_255(ours.roll(2, dims=-1) - fused.normalized(theirs.as_subclass(Tensor)))
    assert difference.mean() < 0.5 * moved.mean(), "two pixels aside it would not fit"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["default", "crop", "affine"])
def test_on_valid_the_sampling_is_stocks(images, name, size):
    fused = FusedAugment(AUGMENTS[name], size, STATS)
    ours = fused((images,), split_idx=1)[0]
    theirs = TensorImage(images.float() / 255)
    for transform in stock_augmentations(AUGMENTS[name], size):
        theirs = transform((theirs,), split_idx=1)[0]
    theirs = fused.normalized(theirs.as_subclass(Tensor))
    assert (ours.as_subclass(Tensor) - theirs).abs().max() < 1e-4


def test_the_parameters_are_distributed_as_stocks(images):
    """The very draws: fastai's transforms, in fastai's order, from the same generator."""
    import random

    augment = AUGMENTS["all"]
    fused = drawn(images, augment, (64, 64), seed=3)
    random.seed(3)
    torch.manual_seed(3)
    stock = {type(t).__name__: t for t in stock_augmentations(augment, (64, 64))}
    blank = TensorImage(torch.zeros(images.shape))
    order = [fused.affine, fused.crop, fused.lighting]
    for transform in order:
        stock[type(transform).__name__].before_call(blank, split_idx=0)
    twin = stock[type(fused.affine).__name__]
    assert torch.equal(twin.mat, fused.affine.mat)
    assert stock["RandomResizedCropGPU"].cp_size == fused.crop.cp_size
    assert stock["RandomResizedCropGPU"].tl == fused.crop.tl


def test_a_batch_is_decoded_to_what_a_person_looks_at(images):
    fused = FusedAugment(AUGMENTS["none"], (96, 96), STATS)
    shown = fused.decodes(fused((images,), split_idx=1)[0])
    assert (shown * 255 - images.float()).abs().max() < 0.01


def test_an_output_that_is_kept_is_not_overwritten(images):
    fused = FusedAugment(AUGMENTS["none"], (64, 64), STATS)
    first = fused((images,), split_idx=1)[0]
    copy = first.clone()
    fused((images.flip(0),), split_idx=1)
    assert torch.equal(first, copy)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", AUGMENTS)
def test_on_a_gpu_the_pictures_are_the_same(images, name):
    fused = drawn(images, AUGMENTS[name], (64, 64))
    on_cpu = warp_by_torch(fused, images.as_subclass(Tensor), fused.homographies(images.shape))
    on_gpu = warp_by_torch(fused, images.as_subclass(Tensor).cuda(), fused.homographies(images.shape))
    assert in_255(on_gpu.cpu() - on_cpu).mean() < 0.1


STILL = {"max_rotate": 0.0, "max_zoom": 1.0, "max_warp": 0.0, "max_lighting": 0.0}


def rectangle(height: int, width: int) -> TensorImage:
    """Smooth photos, so that only geometry differs between ways of sampling them."""
    pixels = np.stack([photo(width, height, seed) for seed in range(8)])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    smooth = torch.nn.functional.avg_pool2d(images, 9, 1, 4, count_include_pad=False)
    return TensorImage(smooth.round().byte())


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (48, 48)])
@pytest.mark.parametrize(("height", "width"), [(128, 96), (96, 128), (96, 96)])
def test_the_largest_crop_is_what_prediction_sees(height, width, size):
    images = rectangle(height, width)
    fused = drawn(images, Augment(flip=False, min_scale=0.9999, **STILL), size)
    assert fused.crop.cp_size == (height, width)
    seen = fused.encodes(images)
    predicted = fused((images,), split_idx=1)[0]
    moved = in_255(seen.roll(2, dims=-1) - predicted)
    assert in_255(seen - predicted).mean() < 0.4 * moved.mean(), "two pixels aside it would not fit"


@pytest.mark.parametrize(("height", "width"), [(128, 96), (96, 128), (120, 70)])
def test_a_random_crop_has_the_shape_and_the_share_of_the_window(height, width):
    images = rectangle(height, width)
    shares, corners = [], set()
    for seed in range(200):
        crop = drawn(images, Augment(min_scale=0.5), (64, 64), seed).crop
        shares.append(crop.cp_size[0] * crop.cp_size[1] / (height * width))
        corners.add(crop.tl)
        assert crop.cp_size[1] / crop.cp_size[0] == pytest.approx(width / height, abs=0.02)
    assert 0.48 < min(shares) < 0.55
    assert 0.95 < max(shares) < 1.02
    assert np.mean(shares) == pytest.approx(0.75, abs=0.03)
    assert len(corners) > 100


def test_flip_vert_alone_turns_half_of_the_images_upside_down_and_mirrors_none():
    images = rectangle(64, 64)
    counts = np.zeros(2, int)
    for seed in range(20):
        fused = drawn(images, Augment(flip=False, flip_vert=True, **STILL), (64, 64), seed)
        out = fused.decodes(fused.encodes(images)).as_subclass(Tensor) * 255
        for one, before in zip(out, images.as_subclass(Tensor).float(), strict=True):
            ways = [(one - way).abs().max() < 0.01 for way in (before, before.flip(1))]
            assert sum(ways) == 1
            counts[ways.index(True)] += 1
    assert 60 <= counts[1] <= 100, "of 160"


def test_flip_vert_beside_flip_draws_all_eight_ways_as_stock():
    images = rectangle(64, 64)
    fused = drawn(images, Augment(flip_vert=True, **STILL), (64, 64))
    matrices = {tuple(matrix.flatten().tolist()) for seed in range(30) for matrix in redrawn(fused, images, seed)}
    assert len(matrices) == 8


def redrawn(fused: FusedAugment, images: TensorImage, seed: int) -> Tensor:
    torch.manual_seed(seed)
    fused.before_call((images,), split_idx=0)
    return fused.affine.mat


def test_only_what_was_trained_otherwise_says_so():
    crop = {"random crop of a rectangle": "keeps its shape"}
    flips = {"vertical flips without flip": "half of the images"}
    for settings, expected in (
        ({}, {}),
        ({"augment": Augment(min_scale=0.5)}, {}),
        ({"augment": Augment(flip_vert=True)}, {}),
        ({"size": (64, 48)}, {}),
        ({"size": (64, 48), "augment": Augment(min_scale=0.5)}, crop),
        ({"size": (64, 48), "resize": Resize(size=(90, 90)), "augment": Augment(min_scale=0.5)}, {}),
        ({"size": (64, 64), "resize": Resize(size=(90, 80)), "augment": Augment(min_scale=0.5)}, crop),
        ({"augment": Augment(flip=False, flip_vert=True)}, flips),
    ):
        assert ImageModel(name="m", arch="test_resnet", **settings).corrected == expected, settings
