"""Named heads: one [[targets]] entry gives a head's width, loss term, activation and decoding.

The model's output is one tensor (n, sum of widths), the heads side by side in the order of the file, because
fastai's get_preds, tta and MixUp want a tensor. `HeadLoss` says what each slice of it means.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from fastai.layers import Flatten
from fastai.vision.learner import create_head
from torch import Tensor, nn

from pipeline.losses import LOSSES
from pipeline.settings import Section
from pipeline.targets import TargetSpec, label_kinds
from pipeline.vision.poolings import DEFAULT, POOLINGS

if TYPE_CHECKING:
    from pipeline.vision.embedding import Beside


@dataclass(frozen=True)
class Head:
    """A target's head: what it predicts, its term in the loss, and for regression the scale of its labels.

    A regression head learns (label - center) / scale, so that its loss is of the size of the others'. `options` are
    the loss's own, its defaults where None.
    """

    spec: TargetSpec
    loss: str
    weight: float = 1.0
    center: float = 0.0
    scale: float = 1.0
    options: Section | None = None

    @property
    def label_width(self) -> int:
        """Columns of its label: one code, one number, or one 0/1 per class."""
        return self.spec.target_kind.label_width(self.spec)

    def term(self, preds: Tensor, labels: Tensor) -> Tensor:
        """The loss of each item (n,): `preds` (n, width) raw, `labels` (n, label_width), codes from 0."""
        loss = LOSSES[self.loss]
        scaled = self.spec.target_kind.scaled(labels, preds, self.center, self.scale)
        options = loss.options() if self.options is None else self.options
        return loss.term_for(label_kinds(self.spec.kind))(preds, scaled, options)

    def activate(self, preds: Tensor) -> Tensor:
        """Raw output (n, width) as probabilities, or as a number in the label's own units."""
        return self.spec.target_kind.activate(preds, self.center, self.scale)

    def decide(self, activated: Tensor) -> Tensor:
        """Activated output (n, width) as labels (n, label_width)."""
        return self.spec.target_kind.decide(activated)


class JointLabels:
    """How several targets share one tensor of predictions and one of labels.

    An exclusive target's label is its class's place in the joint vocabulary `disease/blast, ..., variety/IR20`:
    then fastai's confusion matrix over joint classes holds one block for each target.

    `partial` are the numbers of heads whose target some items do not answer: their labels are `no_answer` there.
    `weighted`: behind the labels stands how much the item counts in the loss.
    """

    def __init__(self, heads: Sequence[Head], partial: Collection[int] = (), weighted: bool = False) -> None:
        self.heads, self.partial, self.weighted = tuple(heads), frozenset(partial), weighted
        self.widths = [head.spec.width for head in heads]
        self.columns = [head.label_width for head in heads] + [1] * weighted
        self.offsets = [sum(self.widths[:i]) for i in range(len(heads))]
        # Where the codes of each target's labels begin among the joint ones: nowhere for labels that are no codes.
        self.first_codes = [
            offset if head.spec.exclusive else 0 for head, offset in zip(self.heads, self.offsets, strict=True)
        ]
        self.vocab = [column for head in heads for column in head.spec.columns]
        self.only_codes = all(head.spec.exclusive for head in heads) and not weighted
        self.no_answer = -1 if self.only_codes else math.nan

    def labels_of(self, head_number: int, labels: Tensor) -> Tensor:
        """One target's columns of joint labels (n, sum of columns), codes counted from 0 again."""
        own = labels.split(self.columns, dim=1)[head_number]
        first = self.first_codes[head_number]
        return own - first if first else own

    def weights_of(self, labels: Tensor) -> Tensor | None:
        """How much each item counts (n,); None where all count alike."""
        return labels[:, -1] if self.weighted else None


def is_answer(labels: Tensor) -> Tensor:
    """Which items (n,) have a label, of one target's labels (n, label_width)."""
    first = labels[:, 0]
    return ~first.isnan() if labels.is_floating_point() else first >= 0


class JointLoss(nn.Module):
    """The weighted sum of the heads' losses, with what fastai asks of a loss: activation, decodes, reduction.

    A head's loss of a batch is the mean over the items that answer its target, weighted where they have weights: the
    sum of weight times loss, by the sum of the weights; 0 where none of them counts.
    """

    y_int = True  # MixUp mixes losses, not labels

    def __init__(self, joint: JointLabels, reduction: str = "mean") -> None:
        super().__init__()
        self.joint, self.reduction = joint, reduction

    def forward(self, preds: Tensor, labels: Tensor) -> Tensor:
        """`preds` (n, sum of widths) raw, `labels` (n, sum of columns): a scalar, or (n,) unreduced."""
        preds, labels = _plain(preds).float(), _plain(labels)
        weights = self.joint.weights_of(labels)
        parts = preds.split(self.joint.widths, dim=1)
        terms = (
            head.weight * self._term(number, part, self.joint.labels_of(number, labels), weights)
            for number, (head, part) in enumerate(zip(self.joint.heads, parts, strict=True))
        )
        total = cast(Tensor, sum(terms))
        return total if self.reduction == "none" else getattr(total, self.reduction)()

    def _term(self, number: int, preds: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """One head's loss of each item (n,), scaled so that its mean over all items is that over those that answer,
        each as much as its weight says.
        """
        head = self.joint.heads[number]
        if number not in self.joint.partial:
            term = head.term(preds, labels)
            return term if weights is None else _weighed(term, weights)
        known = is_answer(labels)
        term = head.term(preds, torch.where(known[:, None], labels, torch.zeros_like(labels)))
        if weights is not None:
            return _weighed(term, weights * known)
        return torch.where(known, term, torch.zeros_like(term)) * (len(term) / known.sum().clamp(min=1))

    def activation(self, preds: Tensor) -> Tensor:
        parts = _plain(preds).float().split(self.joint.widths, dim=1)
        pairs = zip(self.joint.heads, parts, strict=True)
        return torch.cat([head.activate(part) for head, part in pairs], dim=1)

    def decodes(self, activated: Tensor) -> Tensor:
        """Activated predictions as joint labels (n, sum of label widths), without weights."""
        parts = _plain(activated).split(self.joint.widths, dim=1)
        decided = []
        for head, part, first in zip(self.joint.heads, parts, self.joint.first_codes, strict=True):
            labels = head.decide(part)
            decided.append(labels + first if first else labels)
        return torch.cat(decided, dim=1)


class NamedHeads(nn.Module):
    """fastai's head (pool, batch norm, dropout, 512) with one last linear layer for each target; of `head` "linear"
    only pool, dropout, and that.

    Input: features (n, nf, h, w), or (n, nf) where the body pools and `pool` is False. Output: (n, sum of widths).
    `pooling` names one of `POOLINGS`; concat, fastai's mean and maximum side by side, is what create_head makes.
    What `beside` makes of an image's features joins what is pooled of it, before the first batch norm and dropout.
    """

    def __init__(
        self,
        features: int,
        specs: Sequence[TargetSpec],
        pool: bool,
        dropout: float = 0.5,
        pooling: str = DEFAULT,
        head: str = "fastai",
        beside: "Beside | None" = None,
    ) -> None:
        super().__init__()
        pooled = []
        if pool:
            chosen = POOLINGS[pooling]
            features, pooled = features * chosen.widening, [chosen.build(), Flatten()]
        self.beside, self.pools = beside, len(pooled)
        features += beside.features if beside is not None else 0
        if head == "linear":
            trunk, last = [nn.Dropout(dropout)], nn.Linear(features, 1)
        else:
            *trunk, last = create_head(features, 1, pool=False, ps=dropout)
        self.trunk = nn.Sequential(*pooled, *trunk)
        last = cast(nn.Linear, last)
        bias = last.bias is not None
        # The prefix keeps a target called `type` apart from the module's own attributes.
        self.heads = nn.ModuleDict(
            {f"head_{spec.name}": nn.Linear(last.in_features, spec.width, bias=bias) for spec in specs}
        )

    def forward(self, x: Tensor, *encoded: Tensor) -> Tensor:
        return self.outputs(self.shared(x, *encoded))

    def shared(self, x: Tensor, *encoded: Tensor) -> Tensor:
        """What all the last layers see (n, features); `encoded` is what `Beside` takes, where there is one."""
        if self.beside is None:
            return self.trunk(x)
        return self.trunk[self.pools :](torch.cat([self.trunk[: self.pools](x), self.beside(*encoded)], dim=1))

    def outputs(self, x: Tensor) -> Tensor:
        """Of what the trunk gives (n, features), the last layers' part: (n, sum of widths)."""
        return torch.cat([head(x) for head in self.heads.values()], dim=1)

    def last_of(self, target: str) -> nn.Linear:
        """A target's own layer."""
        return cast(nn.Linear, self.heads[f"head_{target}"])


def _weighed(term: Tensor, weights: Tensor) -> Tensor:
    """Losses (n,) whose mean is the weighted mean; 0 where no item counts. One that does not has no gradient."""
    total = weights.sum()
    counting = torch.where(weights > 0, term, torch.zeros_like(term))  # 0 x inf is no number
    return counting * weights * (len(term) / torch.where(total > 0, total, torch.ones_like(total)))


def _plain(tensor: Tensor) -> Tensor:
    """Without fastai's subclass: its dispatch costs time and has no meaning inside a loss."""
    return tensor.as_subclass(Tensor)
