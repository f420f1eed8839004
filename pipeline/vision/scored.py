"""What the leaderboard scores, computed over the whole validation set at the end of each epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
import torch
from fastai.learner import Learner, Metric

from pipeline.data.labels import answered, truth_of
from pipeline.metrics import or_none
from pipeline.metrics.leaderboard import Leaderboard, in_words
from pipeline.targets import TargetSpec
from pipeline.vision.heads import Head, JointLabels

CELLS = 50_000_000  # predictions of a target (rows x classes) up to which they are kept for it: 200 MB
SORTED = 64  # classes up to which a metric may sort the rows for each: 1 us a row and class, 2 % of a fast epoch
SHOWN = 3  # targets of which an epoch's line has a number each; history.csv has all


@dataclass(frozen=True)
class Scored:
    """The leaderboard, the targets whose mean it scores, and the truth of the validation rows in their order.

    `truth` holds every target that has a metric there and is small enough.
    """

    leaderboard: Leaderboard
    targets: Sequence[str]
    truth: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls, leaderboard: Leaderboard, targets: Sequence[str], specs: Sequence[TargetSpec], held_out: pd.DataFrame
    ) -> "Scored":
        """For rows of the manifest."""
        truth = {}
        for spec in specs:
            chosen = leaderboard.of.get(spec.name)
            slow = chosen is not None and chosen.entry.sorts_each_class
            most = min(CELLS // max(1, len(held_out)), SORTED if slow else CELLS)
            if chosen is not None and spec.width <= most:
                truth[spec.name] = truth_of(spec, held_out[spec.name])
        return cls(leaderboard, targets, truth)

    def column(self, target: str) -> str:
        """The name in history.csv of the metric of a target that has one."""
        return f"{target}_{self.leaderboard.of[target].name}"

    def value(self, spec: TargetSpec, values: np.ndarray) -> float:
        """The metric of a target that has one, of predictions (n, width) of the validation rows; NaN where they have
        none, as AUC of a single class."""
        truth, values = answered(self.truth[spec.name], values)
        chosen = self.leaderboard.of[spec.name]
        found = or_none(lambda: chosen.at_once(spec, truth, values)) if len(truth) else None
        return float("nan") if found is None else found

    def metrics(self, joint: JointLabels) -> list[Metric]:
        """One for each target whose error is not its metric already."""
        errors = {head.spec.name: f"{head.spec.name}_{head.spec.target_kind.error_name}" for head in joint.heads}
        names = [name for name, error in errors.items() if name in self.truth and self.column(name) != error]
        return [WholeSet(self, joint, name) for name in names]


def columns_of_line(heads: Sequence[Head], scored: Scored | None) -> tuple[tuple[str, Mapping[str, float]], list[str]]:
    """What an epoch's line shows: the name of the leaderboard's mean, the weights of columns in it; more columns.

    A target that the metric does not fit is told by its error. With many targets the mean says enough.
    """
    told = {head.spec.name: f"{head.spec.name}_{head.spec.target_kind.error_name}" for head in heads}
    if scored is None:
        return ("", {}), list(told.values())
    told |= {name: scored.column(name) for name in told if name in scored.truth}
    if not scored.targets or scored.leaderboard.pooled or any(name not in scored.truth for name in scored.targets):
        return ("", {}), list(told.values())
    mean = {told[name]: scored.leaderboard.weights[name] for name in scored.targets}
    if len(mean) == 1:
        rest = [column for column in told.values() if column not in mean]
        return (next(iter(mean)), mean), rest if len(rest) <= SHOWN else []
    name, columns = in_words(scored.leaderboard.name).replace(" ", "_"), list(told.values())
    return (name, mean), columns if len(columns) <= SHOWN else []


class WholeSet(Metric):
    """The leaderboard's metric for one target: of all rows at once, for a mean over batches may be another number."""

    def __init__(self, scored: Scored, joint: JointLabels, target: str) -> None:
        self.scored, self.joint = scored, joint
        self.number = [head.spec.name for head in joint.heads].index(target)
        self.head = joint.heads[self.number]
        self.parts: list[torch.Tensor] = []

    @property
    def name(self) -> str:
        return self.scored.column(self.head.spec.name)

    def reset(self) -> None:
        self.parts = []

    def accumulate(self, learn: Learner) -> None:
        preds = cast(torch.Tensor, learn.pred)
        own = preds.detach().as_subclass(torch.Tensor).split(self.joint.widths, dim=1)[self.number]
        self.parts.append(self.head.activate(own.float()).cpu())

    @property
    def value(self) -> float:
        """NaN where the rows have none, as AUC of a single class."""
        spec, truth = self.head.spec, self.scored.truth[self.head.spec.name]
        values = torch.cat(self.parts).numpy() if self.parts else np.empty((0, spec.width), dtype=np.float32)
        if len(values) != len(truth):  # somebody validates other rows
            return float("nan")
        return self.scored.value(spec, values)
