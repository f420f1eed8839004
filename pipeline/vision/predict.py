"""Predicting with one trained fold: its held-out images and the test images, with and without TTA."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fastai.learner import Learner

from pipeline.vision.blocks import Sample
from pipeline.vision.cache import Cache
from pipeline.vision.callbacks import seed_everything
from pipeline.vision.config import ImageModel
from pipeline.vision.gather import PixelSource
from pipeline.vision.heads import Head
from pipeline.vision.learner import build_learner
from pipeline.vision.model import load_weights


@dataclass(frozen=True)
class Predicted:
    """Arrays (n, width) for each target, in the order of the samples: plain, and averaged over augmentations."""

    plain: dict[str, np.ndarray]
    tta: dict[str, np.ndarray]


def predict_fold(
    held_out: Sequence[Sample],
    test: Sequence[Sample],
    heads: Sequence[Head],
    model: ImageModel,
    seed: tuple[object, ...],
    weights: Path,
    cache: Cache | None = None,
) -> tuple[Predicted, Predicted]:
    """Predict the held-out and the test samples with a fold's weights.

    `seed` names the fold: the augmentations of TTA are drawn from it. The held-out samples have labels, which
    fastai wants for its loaders; nothing here looks at them. Without a `cache` the pixels are those that it would hold.
    """
    pixels = PixelSource(model.presize, cache, exact=True)
    learn = build_learner(model, heads, held_out, held_out, weights="none", pixels=pixels)
    load_weights(weights, learn.model)
    learn.model.eval()
    return tuple(_predict(learn, heads, part, model.tta, seed) for part in (held_out, test))


def _predict(
    learn: Learner, heads: Sequence[Head], samples: Sequence[Sample], tta: int, seed: tuple[object, ...]
) -> Predicted:
    if not samples:
        empty = {head.spec.name: np.zeros((0, head.spec.width), dtype=np.float32) for head in heads}
        return Predicted(empty, empty)
    seed_everything(*seed, "tta")  # what is drawn for the test images does not depend on the others
    loader = learn.dls.test_dl(list(samples))
    with learn.no_logging():
        if tta:
            (augmented, plain), _ = learn.tta(dl=loader, n=tta, beta=None)
        else:
            plain = augmented = learn.get_preds(dl=loader)[0]
    # fastai's own blend: three parts of the augmented mean, one of the plain prediction.
    blended = torch.lerp(augmented, plain, 0.25) if tta else plain
    return Predicted(_split(plain, heads), _split(blended, heads))


def _split(preds: torch.Tensor, heads: Sequence[Head]) -> dict[str, np.ndarray]:
    parts = preds.as_subclass(torch.Tensor).float().cpu().split([head.spec.width for head in heads], dim=1)
    return {head.spec.name: part.numpy() for head, part in zip(heads, parts, strict=True)}
