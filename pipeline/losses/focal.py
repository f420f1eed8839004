"""focal: cross-entropy that counts what is right and sure already for less (Lin et al. 2017)."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.losses import Loss
from pipeline.losses.cross_entropy import of_class as cross_entropy
from pipeline.settings import NoOptions, Section

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-12  # a power below 1 has no finite slope at 0


class Options(Section, frozen=True):
    """The power of (1 - probability of the truth) that weighs an item; 0 is cross-entropy."""

    gamma: Annotated[float, Field(ge=0)] = 2.0


def of_class(preds: "Tensor", labels: "Tensor", options: Options) -> "Tensor":
    """For one class a row."""
    return _weighed(cross_entropy(preds, labels, NoOptions()), options.gamma)


def of_tags(preds: "Tensor", labels: "Tensor", options: Options) -> "Tensor":
    """For a yes or no of each class: the mean over the classes, so that it is of the size of cross_entropy's."""
    import torch.nn.functional as F

    each = F.binary_cross_entropy_with_logits(preds, labels.to(preds.dtype), reduction="none")
    return _weighed(each, options.gamma).mean(dim=1)


def _weighed(cross_entropy: "Tensor", gamma: float) -> "Tensor":
    missing = -(-cross_entropy).expm1()  # 1 - probability of the truth
    return missing.clamp_min(TINY) ** gamma * cross_entropy


ENTRY = Loss({"category": of_class, "binary": of_class, "multilabel": of_tags}, Options)
