"""label_smoothing: cross-entropy with a part of the certainty spread over all classes (Szegedy et al. 2016)."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.losses import Loss
from pipeline.settings import Section

if TYPE_CHECKING:
    from torch import Tensor


class Options(Section, frozen=True):
    """The part that is spread."""

    amount: Annotated[float, Field(ge=0, lt=1)] = 0.1  # fastai's default


def of_class(preds: "Tensor", labels: "Tensor", options: Options) -> "Tensor":
    """For one class a row."""
    import torch.nn.functional as F

    return F.cross_entropy(preds, labels[:, 0].long(), reduction="none", label_smoothing=options.amount)


ENTRY = Loss({"category": of_class}, Options)
