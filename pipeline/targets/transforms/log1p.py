"""log1p: the logarithm of 1 + x, for counts and amounts with zeros."""

from pipeline.targets.transforms import FURTHEST, Transform

ENTRY = Transform(lambda x: x.log1p(), lambda y: y.clamp(max=FURTHEST).expm1(), lowest=-1)
