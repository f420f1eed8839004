"""Batch augmentation alone, stock beside fused: `input_augment.py IMAGES ROUNDS` prints {system: [images/s]}.

`input_augment.py IMAGES 0 PICTURE` draws some photos instead, with the same draws: stock, fused, and what differs.
"""

import json
import sys
import time
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
    files = sorted(Path(sys.argv[1]).rglob("*.jpg"))[:BATCH]
    pixels = np.empty((BATCH, 460, 460, 3), np.uint8)
    for path, out in zip(files, pixels, strict=True):
        presize_window(read_pixels(path.read_bytes(), path), Resize(size=[460, 460]), None, out)
    batch = TensorImage(torch.from_numpy(pixels).permute(0, 3, 1, 2))
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
