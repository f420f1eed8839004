"""cross_entropy: minus the log-likelihood of the class; for tags the mean of that over all of them."""

from typing import TYPE_CHECKING

from pipeline.losses import Loss
from pipeline.settings import NoOptions

if TYPE_CHECKING:
    from torch import Tensor


def of_class(preds: "Tensor", labels: "Tensor", options: NoOptions) -> "Tensor":
    """For one class a row."""
    import torch.nn.functional as F

    return F.cross_entropy(preds, labels[:, 0].long(), reduction="none", label_smoothing=0.0)


def of_tags(preds: "Tensor", labels: "Tensor", options: NoOptions) -> "Tensor":
    """For a yes or no of each class."""
    import torch.nn.functional as F

    return F.binary_cross_entropy_with_logits(preds, labels.to(preds.dtype), reduction="none").mean(dim=1)


ENTRY = Loss({"category": of_class, "binary": of_class, "multilabel": of_tags})
