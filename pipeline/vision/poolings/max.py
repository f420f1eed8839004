"""max: the maximum of each feature over the map."""

from functools import partial

from torch import nn

from pipeline.vision.poolings import Pooling

ENTRY = Pooling(partial(nn.AdaptiveMaxPool2d, 1))
