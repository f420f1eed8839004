"""Columns beside the image in a network: numbers as they are, words as learned vectors, side by side."""

from typing import Any

import torch
from fastai.callback.mixup import MixUp
from fastai.tabular.model import emb_sz_rule
from torch import Tensor, nn

from pipeline.vision.encoding import UNKNOWN, Features


class Beside(nn.Module):
    """Encoded features (n, numbers + words) to (n, features).

    A vector is as wide as fastai's tabular models have it; the one of an unknown word is zero and stays so.
    """

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.numbers = features.width
        self.vectors = nn.ModuleList(nn.Embedding(size, emb_sz_rule(size), UNKNOWN) for size in features.sizes)
        self.features = self.numbers + sum(emb_sz_rule(size) for size in features.sizes)

    def draw(self) -> None:
        """Draw the vectors anew, as fastai's Embedding does."""
        with torch.no_grad():
            for weight in self.vectors.parameters():
                nn.init.trunc_normal_(weight, std=0.01)[UNKNOWN].zero_()

    def forward(self, encoded: Tensor, other: Tensor | None = None, share: Tensor | None = None) -> Tensor:
        """Mixed with those of `other` rows, where there are any, by the `share` (n,) of their own."""
        own = self._joined(encoded.as_subclass(Tensor))
        if other is None or share is None:
            return own
        return torch.lerp(self._joined(other.as_subclass(Tensor)), own, share[:, None])

    def _joined(self, encoded: Tensor) -> Tensor:
        codes = encoded[:, self.numbers :].long()
        parts = [vectors(own) for vectors, own in zip(self.vectors, codes.unbind(dim=1), strict=True)]
        return torch.cat([encoded[:, : self.numbers], *parts], dim=1)


class MixUpBeside(MixUp):
    """fastai's MixUp where features lie beside the images: `Beside` mixes what it makes of them, by the share by which
    images and losses are mixed.
    """

    def before_batch(self) -> None:
        learn: Any = self.learn
        (images, encoded), (labels,) = learn.xb, learn.yb
        drawn = self.distrib.sample((len(images),)).to(images.device)
        self.lam = torch.maximum(drawn, 1 - drawn)
        order = torch.randperm(len(images)).to(images.device)
        self.yb1 = (labels[order],)
        mixed = torch.lerp(images[order], images, self.lam[:, None, None, None])
        learn.xb = (mixed, encoded, encoded[order], self.lam)
