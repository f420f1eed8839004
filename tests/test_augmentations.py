"""Augmentations of one's own: on presized windows, in training and TTA alone, drawn from the loader's generator."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from pipeline.errors import RequestError, WorkFailed
from pipeline.registry import PlugIn, adding_from
from pipeline.vision.augmentations import (
    AUGMENTATIONS,
    Augmentation,
    OwnAugmentation,
    WindowTransform,
    read_augmentation,
)
from pipeline.vision.augmentations.cutout import Options, apply
from pipeline.vision.cache import Cache
from pipeline.vision.gather import PixelSource
from tests.test_cache import draw, make
from tests.test_loader import SQUARE, cached, images, load  # noqa: F401 - the two in the middle are fixtures


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    """No plug-in outlives its test."""
    yield
    for name in set(AUGMENTATIONS.names()) - {"cutout"}:
        AUGMENTATIONS.forget(PlugIn(Path(f"/somewhere/{name}.py"), name))
    assert AUGMENTATIONS.names() == ["cutout"]


def add(name: str, function) -> Augmentation:
    with adding_from(f"/somewhere/{name}.py", sha256=name):
        AUGMENTATIONS.add(name, WindowTransform(function))
    return read_augmentation(name)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


# What the file says


def test_a_name_stands_for_all_defaults():
    assert read_augmentation("cutout").settings == {"name": "cutout", "size": 0.25, "p": 0.5}
    said = {"name": "cutout", "size": 0.25}
    assert read_augmentation(said) == read_augmentation("cutout")
    assert read_augmentation({"name": "cutout", "size": 0.4}).settings["size"] == 0.4


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("cutuot", r"augmentation 'cutuot' is not a known augmentation; known are cutout; did you mean 'cutout'\?"),
        ({"name": "cutout", "sise": 1.0}, r"augmentation 'cutout': unknown option 'sise'; did you mean 'size'\?"),
        ({"name": "cutout", "size": 0.0}, r"augmentation 'cutout': size: found 0\.0, expected greater than 0"),
        ({"name": "cutout", "p": "often"}, r"augmentation 'cutout': p: found 'often', expected a valid number"),
        ({"size": 0.5}, "expected an augmentation by its name"),
        (3, "expected an augmentation by its name"),
    ],
)
def test_what_is_wrong_is_said_in_words(said, words):
    with pytest.raises(ValueError, match=words):
        read_augmentation(said)
    with pytest.raises(ValidationError, match=words):
        TypeAdapter(list[OwnAugmentation]).validate_python([said], strict=True)


def test_a_section_keeps_every_option():
    kept = TypeAdapter(list[OwnAugmentation]).validate_python(["cutout", {"name": "cutout", "p": 1.0}], strict=True)
    assert kept == [{"name": "cutout", "size": 0.25, "p": 0.5}, {"name": "cutout", "size": 0.25, "p": 1.0}]
    assert TypeAdapter(list[OwnAugmentation]).validate_python(kept, strict=True) == kept


# cutout


def test_cutout_hides_a_square_of_the_mean_colour():
    window = generator(5).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    before, mean = window.copy(), window.reshape(-1, 3).mean(0).round()
    areas, options = [], Options(size=0.5, p=1.0)
    for seed in range(200):
        changed = apply(before.copy(), generator(seed), options)
        hidden = (changed != before).any(axis=2)
        rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
        assert np.array_equal(np.unique(changed[hidden], axis=0), [mean])
        assert np.ptp(rows) < 30
        assert np.ptp(columns) < 30
        areas.append(hidden.sum())
    assert max(areas) > 0.98 * 30 * 30, "whole, but for pixels that had that colour"
    assert min(areas) < 0.5 * 30 * 30, "over the edge, as in the paper"


def test_cutout_comes_as_often_as_it_is_told():
    window = np.arange(40 * 40 * 3, dtype=np.uint8).reshape(40, 40, 3)
    often = [not np.array_equal(apply(window.copy(), generator(n), Options(p=0.3)), window) for n in range(1000)]
    assert 0.25 < np.mean(often) < 0.35
    assert np.array_equal(apply(window.copy(), generator(), Options(p=0.0)), window)
    assert (apply(window.copy(), generator(), Options(size=1.0, p=1.0)) != window).any()


# What the function returns


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (lambda window, rng, options: window[1:], r"uint8 \(39, 40, 3\)"),
        (lambda window, rng, options: window.astype(np.float32), r"float32 \(40, 40, 3\)"),
        (lambda window, rng, options: None, "NoneType"),
        (lambda window, rng, options: torch.from_numpy(window), "Tensor"),
    ],
)
def test_another_shape_or_type_is_refused_by_name(images, cached, function, found):  # noqa: F811
    cached.augmentations = (add("mine", function),)
    words = rf"the augmentation 'mine' made {found} of a window of uint8 \(40, 40, 3\)"
    with pytest.raises(RequestError, match=words):
        list(load(images, cached).train)


def test_what_it_raises_is_told_with_its_name(images, cached):  # noqa: F811
    cached.augmentations = (add("mine", lambda window, rng, options: window / 0 + {}),)
    with pytest.raises(WorkFailed, match="the augmentation 'mine' failed: TypeError: "), np.errstate(all="ignore"):
        list(load(images, cached).train)


# In the loader


def inverted(window: np.ndarray, rng: np.random.Generator, options: object) -> np.ndarray:
    return 255 - window


def noise(window: np.ndarray, rng: np.random.Generator, options: object) -> np.ndarray:
    return rng.integers(0, 256, window.shape, dtype=np.uint8)


def epoch(loader, seed: int = 1) -> torch.Tensor:
    """The images of an epoch in the order of the data, as uint8."""
    loader = loader.new(shuffle=False, drop_last=False, after_batch=None)
    loader.rng = random.Random(seed)
    return torch.cat([x.as_subclass(torch.Tensor).clone() for x, *_ in loader])


@pytest.fixture
def plain(images, cached) -> torch.Tensor:  # noqa: F811
    return epoch(load(images, cached).train)


def test_windows_are_those_without_it(images, cached, plain):  # noqa: F811
    cached.augmentations = (add("inverted", inverted),)
    assert torch.equal(255 - epoch(load(images, cached).train), plain)


def test_valid_and_test_images_are_left_alone(images, cached):  # noqa: F811
    before = epoch(load(images, cached).valid)
    cached.augmentations = (add("inverted", inverted),)
    loaders = load(images, cached)
    assert torch.equal(epoch(loaders.valid), before)
    assert torch.equal(epoch(loaders.test_dl(images[12:])), before)


def test_a_copy_for_tta_is_augmented(images, cached):  # noqa: F811
    copies = []
    for augmentations in ((), (add("inverted", inverted),)):
        cached.augmentations = augmentations
        valid = load(images, cached).valid
        with valid.dataset.set_split_idx(0):
            copies.append(epoch(valid))
    assert torch.equal(copies[1], 255 - copies[0])


def test_they_are_applied_in_their_order(images, cached, plain):  # noqa: F811
    halved = add("halved", lambda window, rng, options: window // 2)
    cached.augmentations = (halved, add("inverted", inverted))
    assert torch.equal(epoch(load(images, cached).train), 255 - plain // 2)


def test_a_window_may_be_changed_in_place_and_the_cache_is_not(images, cached, plain):  # noqa: F811
    def black(window, rng, options):
        window[:] = 0
        return window

    cached.augmentations = (add("black", black),)
    assert not epoch(load(images, cached).train).any()
    cached.augmentations = (add("turned", lambda window, rng, options: window[::-1]),)
    assert torch.equal(epoch(load(images, cached).train).flip(2), plain)
    cached.augmentations = ()
    assert torch.equal(epoch(load(images, cached).train), plain)


@pytest.mark.parametrize("source", ["cache", "cold", "files"])
def test_each_image_has_a_generator_of_its_own(images, cached, tmp_path, monkeypatch, source):  # noqa: F811
    """The number of threads and the way of reading change nothing; the loader's generator changes all."""
    augmentations = (add("noise", noise),)
    sources = [PixelSource(SQUARE, threads=threads, augmentations=augmentations) for threads in (1, 3)]
    if source != "files":
        again = Cache(make(tmp_path / "again", tmp_path / "raw", draw(tmp_path / "raw", 20), SQUARE), tmp_path / "raw")
        sources = [PixelSource(SQUARE, again, n, augmentations=augmentations) for n in (1, 3)]
        if source == "cold":
            monkeypatch.setattr(again, "in_memory", lambda row: False)
    one, two = (epoch(load(images, pixels).train) for pixels in sources)
    assert torch.equal(one, two)
    other = epoch(load(images, sources[0]).train, seed=2)
    flat = torch.cat([one, other]).flatten(1)
    assert len(flat.unique(dim=0)) == len(flat) == 24, "no two images, and no two epochs, draw the same"


def test_an_exported_loader_has_none(cached):  # noqa: F811
    cached.augmentations = (add("noise", noise),)
    factory, arguments = cached.__reduce__()
    assert factory(*arguments).augmentations == ()
