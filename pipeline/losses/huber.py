"""huber: half the squared distance up to `delta`, and beyond it no steeper than there (Huber 1964)."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.losses import Loss
from pipeline.settings import Section

if TYPE_CHECKING:
    from torch import Tensor


class Options(Section, frozen=True):
    """Where the parabola ends, in standard deviations of the training labels."""

    delta: Annotated[float, Field(gt=0)] = 1.0


def of_number(preds: "Tensor", labels: "Tensor", options: Options) -> "Tensor":
    """For a number, both on the scale of the head."""
    import torch.nn.functional as F

    return F.huber_loss(preds[:, 0], labels[:, 0], reduction="none", delta=options.delta)


ENTRY = Loss({"regression": of_number}, Options)
