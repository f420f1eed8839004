"""One way of loading images, timed for some epochs in a process of its own; prints images/s as a JSON list.

    python input_systems.py SYSTEM --images DIR --cache DIR --rounds N [--height H --width W --method crop]

Every system gives shuffled batches of 64. "loading" systems give uint8 pixels of the presize, "path" systems float
batches of 224 pixels, augmented and normalised, ready for a model. The first epoch is not counted. Peers import
only their own library, so that each can live in an environment of its own.
"""

import argparse
import functools
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

BATCH, FINAL, WORKERS = 64, 224, 2
Task = argparse.Namespace
Epoch = Callable[[], Iterable[int]]  # runs an epoch, giving the number of images in each batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="a presize cache of the images, as built by input.py")
    parser.add_argument("--scratch", type=Path, required=True, help="where a peer may write its own format")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--height", type=int, default=460)
    parser.add_argument("--width", type=int, default=460)
    parser.add_argument("--method", default="crop")
    task = parser.parse_args()
    random.seed(0)
    epoch = SYSTEMS[task.system](task)
    speeds = []
    for number in range(task.rounds + 1):
        started, count = time.perf_counter(), 0
        for size in epoch():
            count += size
        if number:
            speeds.append(count / (time.perf_counter() - started))
    print(json.dumps(speeds))
    sys.stdout.flush()
    os._exit(0)  # some peers hang when their threads are torn down


def files_of(task: Task) -> list[Path]:
    return sorted(task.images.rglob("*.jpg"))


# fastai


def fastai_loader(task: Task, batch_tfms: Iterable[Any] = ()) -> Epoch:
    from fastai.data.block import DataBlock
    from fastai.data.transforms import IntToFloatTensor
    from fastai.vision.augment import Resize, ResizeMethod
    from fastai.vision.data import ImageBlock

    method = {"crop": ResizeMethod.Crop, "pad": ResizeMethod.Pad, "squish": ResizeMethod.Squish}[task.method]
    block = DataBlock(
        blocks=(ImageBlock,),
        splitter=lambda items: (list(range(len(items))), []),
        item_tfms=Resize((task.height, task.width), method=method),
        batch_tfms=list(batch_tfms),
    )
    loader = (
        block.datasets(files_of(task))
        .dataloaders(
            bs=BATCH, num_workers=WORKERS, drop_last=False, after_item=block.item_tfms, after_batch=block.batch_tfms
        )
        .train
    )
    if not list(batch_tfms):  # uint8, as it comes
        loader.after_batch.fs = [t for t in loader.after_batch.fs if not isinstance(t, IntToFloatTensor)]
    return lambda: (len(batch[0]) for batch in loader)


def fastai_path(task: Task) -> Epoch:
    from fastai.data.transforms import Normalize
    from fastai.vision.augment import aug_transforms
    from fastai.vision.core import imagenet_stats

    return fastai_loader(task, [*aug_transforms(size=FINAL, min_scale=0.75), Normalize.from_stats(*imagenet_stats)])


# ours


def ours(task: Task, cached: bool, final: bool) -> Epoch:
    from fastai.data.block import DataBlock
    from fastai.vision.core import imagenet_stats

    from pipeline.vision.augment import FusedAugment
    from pipeline.vision.blocks import UprightImage
    from pipeline.vision.cache import Cache
    from pipeline.vision.config import Augment, Resize
    from pipeline.vision.gather import PixelSource
    from pipeline.vision.loader import pixel_block

    resize = Resize(size=[task.height, task.width], method=task.method)
    pixels = PixelSource(resize, Cache(task.cache, task.images) if cached else None)
    block = DataBlock(
        blocks=(pixel_block(UprightImage.create, pixels),),
        splitter=lambda items: (list(range(len(items))), []),
        batch_tfms=FusedAugment(Augment(min_scale=0.75), (FINAL, FINAL), imagenet_stats) if final else None,
    )
    loader = block.dataloaders(files_of(task), bs=BATCH, drop_last=False).train
    return lambda: (len(batch[0]) for batch in loader)


def gather(task: Task) -> Epoch:
    """The cache without fastai's loader, two batches ahead as there."""
    import numpy as np

    from pipeline.vision.cache import Cache
    from pipeline.vision.config import Resize
    from pipeline.vision.gather import PixelSource, ahead, windows

    resize = Resize(size=[task.height, task.width], method=task.method)
    pixels, files = PixelSource(resize, Cache(task.cache, task.images)), files_of(task)

    def epoch() -> Iterable[int]:
        order, rng = np.random.permutation(len(files)).tolist(), random.Random(0)
        batches = ([files[number] for number in order[begin : begin + BATCH]] for begin in range(0, len(files), BATCH))
        for chosen, _ in ahead(lambda chosen: pixels.start(chosen, list(windows(len(chosen), rng))), batches):
            yield len(chosen)

    return epoch


def memcpy(task: Task) -> Epoch:
    """The limit: as many bytes as a batch's windows, from random places of the cache's file, by two threads."""
    import mmap
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    with open(task.cache / "pixels.bin", "rb") as file:
        data = np.frombuffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ), np.uint8)
    size, count = task.height * task.width * 3, len(files_of(task))
    buffers = [np.zeros((BATCH, size), np.uint8) for _ in range(3)]
    pool = ThreadPoolExecutor(WORKERS)

    def copy(places: Any, out: Any) -> None:
        for place, row in zip(places, out, strict=True):
            row[:] = data[place : place + size]

    def epoch() -> Iterable[int]:
        for number in range(count // BATCH):
            places, out = np.random.randint(0, len(data) - size, BATCH), buffers[number % 3]
            list(pool.map(copy, np.array_split(places, WORKERS), np.array_split(out, WORKERS)))
            yield BATCH

    return epoch


# Peers


def torchvision_loader(task: Task) -> Epoch:
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    crop = v2.Compose(
        [v2.Resize(min(task.height, task.width)), v2.CenterCrop((task.height, task.width)), v2.PILToTensor()]
    )

    class Photos(torch.utils.data.Dataset):
        files = files_of(task)

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, index: int) -> Any:
            return crop(Image.open(self.files[index]).convert("RGB"))

    loader = torch.utils.data.DataLoader(Photos(), BATCH, shuffle=True, num_workers=WORKERS)
    return lambda: (len(batch) for batch in loader)


def timm_loader(task: Task) -> Epoch:
    """timm normalises in its loader: float batches, of the presize."""
    from timm.data import create_dataset, create_loader

    dataset = create_dataset("", root=str(task.images))
    loader = create_loader(
        dataset,
        (3, task.height, task.width),
        BATCH,
        is_training=True,
        use_prefetcher=False,
        no_aug=True,
        num_workers=WORKERS,
        persistent_workers=False,
    )
    return lambda: (len(batch[0]) for batch in loader)


def litdata_sample(path: str, width: int, height: int) -> dict:
    import io

    from PIL import Image

    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.resize((width, height), Image.BILINEAR, box=(left, top, left + side, top + side))
    out = io.BytesIO()
    square.save(out, "JPEG", quality=90)
    return {"image": Image.open(io.BytesIO(out.getvalue()))}


def litdata_loader(task: Task) -> Epoch:
    """Presized JPEGs in LitData's own format, decoded on reading."""
    import litdata

    folder = task.scratch / "litdata"
    if not folder.exists():
        sample = functools.partial(litdata_sample, width=task.width, height=task.height)
        litdata.optimize(sample, [str(path) for path in files_of(task)], str(folder), chunk_bytes="64MB", num_workers=1)
    dataset = litdata.StreamingDataset(str(folder), shuffle=True)
    loader = litdata.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=WORKERS, persistent_workers=True)
    return lambda: (len(batch["image"]) for batch in loader)


def dali_loader(task: Task) -> Epoch:
    from nvidia.dali import fn, pipeline_def, types

    # Two of the photos are a GIF and a PNG under a .jpg name, which it refuses.
    files = [str(path) for path in files_of(task) if path.read_bytes()[:2] == b"\xff\xd8"]

    @pipeline_def(batch_size=BATCH, num_threads=WORKERS, device_id=None)
    def photos() -> Any:
        data, _ = fn.readers.file(files=files, random_shuffle=True, name="reader")
        images = fn.decoders.image(data, device="cpu", output_type=types.RGB)
        return fn.resize(images, resize_x=task.width, resize_y=task.height, mode="not_smaller", antialias=True)

    pipe = photos()
    pipe.build()

    def epoch() -> Iterable[int]:
        for _ in range(len(files) // BATCH):
            yield len(pipe.run()[0])

    return epoch


def ffcv_loader(task: Task) -> Epoch:
    from ffcv.fields import RGBImageField
    from ffcv.fields.rgb_image import SimpleRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import ToTensor
    from ffcv.writer import DatasetWriter
    from PIL import Image

    class Photos:
        files = files_of(task)

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, index: int) -> tuple:
            return (Image.open(self.files[index]).convert("RGB").resize((task.width, task.height)),)

    path = task.scratch / "ffcv.beton"
    if not path.exists():
        DatasetWriter(str(path), {"image": RGBImageField(write_mode="raw")}, num_workers=1).from_indexed_dataset(
            Photos()
        )
    steps = {"image": [SimpleRGBImageDecoder(), ToTensor()]}
    loader = Loader(str(path), BATCH, num_workers=WORKERS, order=OrderOption.RANDOM, pipelines=steps)
    return lambda: (len(batch[0]) for batch in loader)


SYSTEMS: dict[str, Callable[[Task], Epoch]] = {
    "fastai": fastai_loader,
    "fastai-path": fastai_path,
    "pipeline": lambda task: ours(task, cached=True, final=False),
    "pipeline-uncached": lambda task: ours(task, cached=False, final=False),
    "pipeline-path": lambda task: ours(task, cached=True, final=True),
    "gather": gather,
    "memcpy": memcpy,
    "torchvision": torchvision_loader,
    "timm": timm_loader,
    "litdata": litdata_loader,
    "dali": dali_loader,
    "ffcv": ffcv_loader,
}

if __name__ == "__main__":
    main()
