"""concat: the maximum and the mean of each feature side by side, which is fastai's default."""

from fastai.layers import AdaptiveConcatPool2d

from pipeline.vision.poolings import Pooling

ENTRY = Pooling(AdaptiveConcatPool2d, widening=2)
