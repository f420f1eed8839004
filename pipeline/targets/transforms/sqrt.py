"""sqrt: the square root, for counts."""

from pipeline.targets.transforms import Transform

ENTRY = Transform(lambda x: x.sqrt(), lambda y: y.clamp(min=0, max=1e18).square(), lowest=0, with_lowest=True)
