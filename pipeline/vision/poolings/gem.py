"""gem: the generalised mean of each feature, between mean and maximum, with a learned power (Radenovic et al. 2018)."""

import torch
from torch import Tensor, nn

from pipeline.vision.poolings import Pooling

FLOOR = 1e-6  # a root has no finite slope at 0


class GeneralizedMean(nn.Module):
    """(mean of x ** p) ** (1 / p) over the map; p = 1 is the mean, and a large p the maximum."""

    def __init__(self, p: float = 3.0) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p]))

    def forward(self, x: Tensor) -> Tensor:
        """From (n, features, h, w) to (n, features, 1, 1)."""
        return x.clamp_min(FLOOR).pow(self.p).mean(dim=(2, 3), keepdim=True).pow(1 / self.p)


ENTRY = Pooling(GeneralizedMean)
