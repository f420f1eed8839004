"""fastai's loaders fed from a PixelSource: what they show, in which order, and that no batch is overwritten."""

from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import torch
from fastai.data.block import CategoryBlock, DataBlock, TransformBlock
from fastai.data.core import DataLoaders
from fastai.data.transforms import IndexSplitter, IntToFloatTensor
from fastai.vision.augment import Resize as StockResize
from fastai.vision.core import PILImage, TensorImage

from pipeline.vision.blocks import Sample, UprightImage
from pipeline.vision.cache import Cache
from pipeline.vision.config import Resize
from pipeline.vision.gather import Buffers, PixelSource
from pipeline.vision.loader import WeightedPixelDL, pixel_block
from tests.test_cache import draw, make

SQUARE = Resize(size=[40, 40])


@pytest.fixture
def images(tmp_path: Path) -> list[Sample]:
    sources = draw(tmp_path / "raw", 20)
    return [Sample(s.path, tmp_path / "raw" / s.path, ("ab"[n % 2],)) for n, s in enumerate(sources)]


@pytest.fixture
def cached(tmp_path: Path, images: list[Sample]) -> PixelSource:
    return PixelSource(
        SQUARE, Cache(make(tmp_path, tmp_path / "raw", draw(tmp_path / "raw", 20), SQUARE), tmp_path / "raw")
    )


def label_of(sample: Sample) -> str:
    return sample.labels[0]


def data_block(block: TransformBlock) -> DataBlock:
    return DataBlock(
        blocks=(block, CategoryBlock),
        get_x=attrgetter("path"),
        get_y=label_of,
        splitter=IndexSplitter(range(12, 20)),
        item_tfms=StockResize(40),
        batch_tfms=IntToFloatTensor(),
    )


def load(images: list[Sample], pixels: PixelSource, **options) -> DataLoaders:
    return data_block(pixel_block(UprightImage.create, pixels)).dataloaders(images, bs=5, val_bs=3, **options)


def stock(images: list[Sample]) -> DataLoaders:
    return data_block(TransformBlock(type_tfms=PILImage.create)).dataloaders(images, bs=5, val_bs=3, num_workers=0)


@pytest.mark.parametrize("source", ["cache", "files"])
def test_valid_batches_are_stocks_up_to_the_rim(images, cached, source):
    pixels = cached if source == "cache" else PixelSource(SQUARE)
    for ours, theirs in zip(load(images, pixels).valid, stock(images).valid, strict=True):
        assert type(ours[0]) is TensorImage
        assert type(ours[1]) is type(theirs[1])
        assert torch.equal(ours[1], theirs[1])
        difference = (ours[0] - theirs[0]).abs()[..., 2:-2, 2:-2] * 255
        assert difference.max() <= 2.01
        assert difference.mean() < 0.1


def test_every_training_image_comes_once_an_epoch_in_an_order_of_its_own(images, cached):
    loaders = load(images, cached)
    orders = []
    for _ in range(2):
        seen = []
        for x, y in loaders.train.new(drop_last=False):
            assert x.shape[1:] == (3, 40, 40)
            seen += y.tolist()
        orders.append(seen)
        assert len(seen) == 12
    assert len(list(loaders.train)) == 2, "the last part of a batch is dropped, as fastai does"


def test_windows_are_random_in_training_and_a_function_of_the_loaders_generator(images, cached):
    import random

    train = load(images, cached).train.new(shuffle=False, drop_last=False)

    def epoch(seed: int) -> torch.Tensor:
        train.rng = random.Random(seed)
        return torch.cat([x.as_subclass(torch.Tensor).clone() for x, _ in train])

    one, again, other = epoch(1), epoch(1), epoch(2)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_number_of_threads_changes_nothing(images, tmp_path):
    batches = []
    for threads in (1, 3):
        train = load(images, PixelSource(SQUARE, threads=threads)).train.new(drop_last=False)
        import random

        train.rng = random.Random(5)
        batches.append(torch.cat([x.as_subclass(torch.Tensor).clone() for x, _ in train]))
    assert torch.equal(*batches)


def test_batches_that_are_kept_are_not_overwritten(images, cached):
    valid = load(images, cached).valid.new(bs=1, after_batch=None)
    kept = [x for x, _ in valid]
    copies = [x.clone() for x, _ in valid]
    assert len(kept) == 8
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))


def test_memory_is_used_again_once_nobody_holds_it():
    buffers = Buffers()
    first = buffers.take((2, 8))
    place = first.data_ptr()
    view = first[0]
    del first
    assert buffers.take((2, 8)).data_ptr() != place, "a view still holds it"
    del view
    assert buffers.take((4, 4)).data_ptr() == place
    assert buffers.take((4,), torch.float32).dtype == torch.float32


def test_images_that_are_not_in_the_cache_come_from_their_files(images, cached, tmp_path):
    elsewhere = draw(tmp_path / "other", 3)
    new = [Sample(s.path, tmp_path / "other" / s.path) for s in elsewhere]
    mixed = load(images, cached).test_dl([*images[:2], *new])
    (batch,) = [b[0] for b in mixed.new(bs=5)]
    alone = load(images, PixelSource(SQUARE)).test_dl([*images[:2], *new])
    (direct,) = [b[0] for b in alone.new(bs=5)]
    assert torch.equal(batch[2:], direct[2:])
    assert (batch[:2] - direct[:2]).abs()[..., 2:-2, 2:-2].max() * 255 <= 2.01


def test_exactly_read_files_give_the_pixels_of_a_cache(images, cached):
    import random

    batches = []
    for pixels in (cached, PixelSource(SQUARE, exact=True)):
        loader = load(images, pixels).train.new(shuffle=False)
        loader.rng = random.Random(2)
        batches.append(torch.cat([x.clone() for x, _ in loader]))
    assert torch.equal(*batches)


def test_an_image_that_is_no_file_is_taken_as_it_is(images, cached):
    picture = UprightImage.create(images[3].path)
    block = DataBlock(
        blocks=(pixel_block(UprightImage.create, cached), CategoryBlock), get_y=lambda _: "a", item_tfms=StockResize(40)
    )
    loaders = block.dataloaders([sample.path for sample in images], bs=4)
    (from_pixels,) = [b[0] for b in loaders.test_dl([picture])]
    (from_file,) = [b[0] for b in loaders.test_dl([images[3].path])]
    assert (from_pixels.int() - from_file.int()).abs()[..., 2:-2, 2:-2].max() <= 2


def test_weighted_sampling(images, cached):
    weights = [1.0 if n == 2 else 0.0 for n in range(12)]
    loaders = load(images, cached, dl_type=WeightedPixelDL, dl_kwargs=({"wgts": weights}, {}))
    batch = loaders.train.one_batch()[0]
    assert len(batch) == 5
    assert torch.equal(batch, batch[:1].expand_as(batch)), "a square image has one window"
    assert len(loaders.valid.one_batch()[0]) == 3


def test_summary_and_show_batch(images, cached, capsys):
    import matplotlib as mpl

    mpl.use("Agg")
    data_block(pixel_block(UprightImage.create, cached)).summary(images, bs=2)
    assert "Building one batch" in capsys.readouterr().out
    load(images, cached).show_batch(max_n=4)


def test_an_error_in_a_thread_reaches_the_caller(images, cached):
    from pipeline.errors import WorkFailed

    images[13].path.write_bytes(b"torn")
    with pytest.raises(WorkFailed, match="changed after the audit"):
        list(load(images, cached).valid)
    with pytest.raises(WorkFailed, match="cannot read the image"):
        list(load(images, PixelSource(SQUARE)).valid)


def test_a_cache_of_another_presize_is_not_taken(cached):
    with pytest.raises(ValueError, match="the cache holds"):
        PixelSource(Resize(size=[41, 40]), cached.cache)


def test_cold_pixels_come_through_reads(images, cached, monkeypatch):
    warm = load(images, cached).valid.one_batch()[0].clone()
    monkeypatch.setattr(cached.cache, "in_memory", lambda row: False)
    used = []
    real = cached.cache._from_disk
    monkeypatch.setattr(cached.cache, "_from_disk", lambda *args: (used.append(args[0]), real(*args))[1])
    assert np.array_equal(load(images, cached).valid.one_batch()[0].cpu(), warm.cpu())
    assert used
