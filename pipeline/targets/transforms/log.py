"""log: the natural logarithm, for amounts above 0."""

from pipeline.targets.transforms import FURTHEST, Transform

SMALLEST = 1e-30  # stands for what is no answer, so that nothing infinite gets into a sum

ENTRY = Transform(lambda x: x.clamp(min=SMALLEST).log(), lambda y: y.clamp(max=FURTHEST).exp(), lowest=0)
