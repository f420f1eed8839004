"""The passes over images that predict them: augmented ones, then a plain one."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipeline.vision.augment import FusedAugment
from pipeline.vision.loader import ImageDL

PLAIN_SHARE = 0.25  # of the plain prediction in fastai's own blend; the mean of the augmented ones has the rest
TRAIN, VALID = 0, 1  # fastai's split_idx: random windows and augmentations, or neither


def predict_passes(
    network: nn.Module,
    loader: ImageDL,
    augment: FusedAugment,
    activation: Callable[[Tensor], Tensor],
    half: bool,
    tta: int,
) -> tuple[Tensor, Tensor]:
    """Activated outputs (n, sum of widths) of a loader's images (and features): plain, and blended with the mean of
    `tta` passes.

    What is drawn is what fastai's `Learner.tta` draws, in its order; `half`: in fp16, as its MixedPrecision computes.
    """
    augmented = [activation(_one_pass(network, loader, augment, TRAIN, half)) for _ in range(tta)]
    plain = activation(_one_pass(network, loader, augment, VALID, half))
    return plain, torch.lerp(torch.stack(augmented).mean(0), plain, PLAIN_SHARE) if tta else plain


@torch.no_grad()
def _one_pass(network: nn.Module, loader: ImageDL, augment: FusedAugment, split: int, half: bool) -> Tensor:
    """Raw outputs (n, sum of widths) in fp32, on the CPU."""
    outputs = []
    with loader.dataset.set_split_idx(split):
        for images, *beside in loader.new():  # as there: a new loader draws the seed of its windows
            batch = augment(images, split_idx=split).as_subclass(Tensor)
            with torch.autocast("cuda", torch.float16, enabled=half):
                outputs.append(network(batch, *beside))
            outputs[-1] = outputs[-1].float().cpu()
    return torch.cat(outputs)
