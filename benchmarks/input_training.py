"""resnet18 on Pets, cat or dog, 460 -> 128: `input_training.py fastai|pipeline IMAGES CACHE SEED`.

Prints {"images_per_s": of the training epochs after the first with validation, "error": after the last}.
The same network, optimizer settings, schedule and batches; what differs is the input path and the precision.
"""

import json
import os
import random
import sys
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback  # noqa: F401 - patches no_bar into Learner
from fastai.callback.schedule import SchedCos  # noqa: F401 - patches fit_one_cycle into Learner
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.core import DataLoaders
from fastai.data.transforms import Normalize
from fastai.learner import Learner
from fastai.metrics import error_rate
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize, aug_transforms
from fastai.vision.core import imagenet_stats
from fastai.vision.data import ImageBlock
from fastai.vision.learner import vision_learner

EPOCHS, SIZE, BATCH, RATE = 6, 128, 32, 3e-3


class Clock(Callback):
    """Seconds of each epoch, with its validation."""

    def before_fit(self) -> None:
        self.seconds: list[float] = []

    def before_epoch(self) -> None:
        self.started = time.perf_counter()

    def after_epoch(self) -> None:
        self.seconds.append(time.perf_counter() - self.started)


def species(path: Path) -> str:
    """The archive writes cats with a capital."""
    return "cat" if path.name[0].isupper() else "dog"


def halves(files: list[Path]) -> tuple[list[int], list[int]]:
    numbers = list(range(len(files)))
    random.Random(7).shuffle(numbers)
    return numbers[120:], numbers[:120]


def main() -> None:
    system, images, cache, seed = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    files = sorted(images.rglob("*.jpg"))
    set_seed(seed)
    run = by_fastai if system == "fastai" else by_pipeline
    learn = run(files, images, cache)
    clock = Clock()
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(EPOCHS, RATE, cbs=clock)
    seconds = sorted(clock.seconds[1:])[(EPOCHS - 1) // 2]
    print(json.dumps({"images_per_s": len(files) / seconds, "error": round(float(learn.recorder.values[-1][-1]), 4)}))


def by_fastai(files: list[Path], images: Path, cache: Path) -> Learner:
    loaders = by_fastai_loaders(files, images, cache)
    return vision_learner(loaders, "resnet18", pretrained=False, metrics=error_rate, ps=0.5)


def by_fastai_loaders(
    files: list[Path], images: Path, cache: Path, size: int = SIZE, batch_size: int = BATCH, workers: int = 2
) -> DataLoaders:
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_y=species,
        splitter=halves,
        item_tfms=Resize(460),
        batch_tfms=[*aug_transforms(size=size, min_scale=0.75), Normalize.from_stats(*imagenet_stats)],
    )
    return block.dataloaders(files, bs=batch_size, num_workers=workers)


def by_pipeline(files: list[Path], images: Path, cache: Path) -> Learner:
    return _pipeline_learner(files, images, cache, SIZE, BATCH)


def by_pipeline_loaders(files: list[Path], images: Path, cache: Path, size: int, batch_size: int) -> DataLoaders:
    return _pipeline_learner(files, images, cache, size, batch_size).dls


def _pipeline_learner(files: list[Path], images: Path, cache: Path, size: int, batch_size: int) -> Learner:
    from pipeline.predictions import TargetSpec
    from pipeline.vision.blocks import Sample
    from pipeline.vision.cache import Cache
    from pipeline.vision.config import Augment, ImageModel
    from pipeline.vision.gather import PixelSource
    from pipeline.vision.heads import Head
    from pipeline.vision.learner import build_learner

    train, valid = ([Sample(files[n].name, files[n], (species(files[n]),)) for n in half] for half in halves(files))
    model = ImageModel(
        name="bench",
        arch="resnet18",
        weights="none",
        resize={"size": 460},
        size=size,
        augment=Augment(min_scale=0.75),
        batch_size=batch_size,
    )
    heads = [Head(TargetSpec("species", "category", ("cat", "dog")), "cross_entropy")]
    return build_learner(model, heads, train, valid, pixels=PixelSource(model.presize, Cache(cache, images)))


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
