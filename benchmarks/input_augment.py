"""Batch augmentation alone, stock beside fused: `input_augment.py IMAGES ROUNDS` prints {system: [images/s]}.

`input_augment.py IMAGES 0 PICTURE` draws some photos instead, with the same draws: stock, fused, and what differs.
`input_augment.py IMAGES sharpness` prints how sharp all photos are in training, with nothing drawn, and on valid.
"""

import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from fastai.data.transforms import IntToFloatTensor, Normalize
from fastai.vision.augment import aug_transforms
from fastai.vision.core import TensorImage, imagenet_stats
from PIL import Image

from pipeline.vision.augment import FusedAugment, warp_by_torch
from pipeline.vision.config import Augment, Resize
from pipeline.vision.memory import keep_freed_memory
from pipeline.vision.presize import presize_window, read_pixels

SIZE, BATCH = 224, 64


def main() -> None:
    keep_freed_memory()  # for both: most of stock's time is page faults otherwise
    files = sorted(Path(sys.argv[1]).rglob("*.jpg"))
    if sys.argv[2] == "sharpness":
        print(json.dumps(sharpness(files)))
        return
    batch = presized(files[:BATCH])
    plain = TensorImage(batch.contiguous())  # as stock's collate gives it
    fused = FusedAugment(Augment(min_scale=0.75), (SIZE, SIZE), imagenet_stats)
    stock = [*aug_transforms(size=SIZE, min_scale=0.75), Normalize.from_stats(*imagenet_stats, cuda=False)]

    def by_stock(split: int) -> None:
        x = (IntToFloatTensor()(plain),)
        for transform in sorted(stock, key=lambda t: t.order):
            x = transform(x, split_idx=split)

    def by_torch() -> None:
        fused.before_call((batch,), 0)
        warp_by_torch(fused, batch.as_subclass(torch.Tensor), fused.homographies(batch.shape))

    if len(sys.argv) > 3:
        draw(batch, fused, Path(sys.argv[3]))
        return
    systems = {
        "fastai train": lambda: by_stock(0),
        "fused train": lambda: fused((batch,), split_idx=0),
        "fused by torch train": by_torch,
        "fastai valid": lambda: by_stock(1),
        "fused valid": lambda: fused((batch,), split_idx=1),
    }
    found: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(int(sys.argv[2]) + 1):
        for name, run in systems.items():
            started = time.perf_counter()
            run()
            if number:
                found[name].append(BATCH / (time.perf_counter() - started))
    print(json.dumps(found))


def presized(files: Sequence[Path]) -> TensorImage:
    """The central windows of 460 pixels, uint8 (n, 3, 460, 460)."""
    pixels = np.empty((len(files), 460, 460, 3), np.uint8)
    for path, out in zip(files, pixels, strict=True):
        presize_window(read_pixels(path.read_bytes(), path), Resize(size=(460, 460)), None, out)
    return TensorImage(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def sharpness(files: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Differences of neighbouring pixels of a row, of 255, for each way of sampling 460 to 224 pixels: their mean and
    their mean square."""
    still = Augment(flip=False, max_rotate=0.0, max_zoom=1.0, max_warp=0.0, max_lighting=0.0)
    fused = FusedAugment(still, (SIZE, SIZE), imagenet_stats)
    resized = partial(torch.nn.functional.interpolate, size=(SIZE, SIZE), mode="bilinear", antialias=True)
    ways = {
        "train": lambda x: fused.decodes(fused((x,), split_idx=0)[0]),
        "valid": lambda x: fused.decodes(fused((x,), split_idx=1)[0]),
        "antialiased": lambda x: resized(x.as_subclass(torch.Tensor).float() / 255),
    }
    sums = {name: np.zeros(2) for name in ways}
    for start in range(0, len(files), BATCH):
        batch = presized(files[start : start + BATCH])
        for name, way in ways.items():
            steps = way(batch).as_subclass(torch.Tensor).diff(dim=-1).abs() * 255
            sums[name] += len(batch) * np.array([steps.mean(), steps.square().mean()])
    found = {name: (total / len(files)).round(2).tolist() for name, total in sums.items()}
    return {name: {"mean": mean, "mean_square": square} for name, (mean, square) in found.items()}


def draw(batch: TensorImage, fused: FusedAugment, path: Path) -> None:
    """Rows of six photos: as stock augments them, as the fused step does, and eight times the difference."""
    torch.manual_seed(1)
    few = TensorImage(batch[8:14])
    ours = fused((few,), split_idx=0)[0]
    theirs = TensorImage(few.float() / 255)
    for transform in (fused.affine, fused.crop, fused.lighting):
        theirs = transform.encodes(theirs)
    ours, theirs = fused.decodes(ours).as_subclass(torch.Tensor), theirs.as_subclass(torch.Tensor)
    rows = [theirs, ours, (0.5 + 8 * (ours - theirs)).clamp(0, 1)]
    sheet = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
    Image.fromarray((sheet.permute(1, 2, 0) * 255).round().byte().numpy()).save(path, quality=88)


if __name__ == "__main__":
    main()
