"""multilabel: any number of tags a row, separated by spaces; a row may have none."""

import itertools
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from pipeline.targets import TargetSpec
from pipeline.targets.classes import Classes, in_order, ranks_by_column, unknown_class

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_array
    from torch import Tensor


class Multilabel(Classes[tuple[str, ...]]):
    """Any number of tags: a probability for each, above one half decides, the label is 0 or 1 for each."""

    default_loss = "cross_entropy"
    standard_metrics = ("label_accuracy", "micro_f1", "mean_log_loss")
    smooth_metric = "mean_log_loss"
    error_name = "label_error"

    def parse_labels(self, target: str, labels: "pd.Series", ids: "pd.Series") -> "pd.Series":
        return labels

    def vocabulary(self, target: str, labels: Collection[str]) -> tuple[str, ...]:
        return in_order(target, {name for label in labels for name in label.split()}, at_least=1)

    def truth_of(self, spec: TargetSpec, labels: Collection[str]) -> np.ndarray:
        """A word that is no class, such as one of a solution's, says nothing."""
        return self.strata(spec, labels).toarray()

    def priors(self, spec: TargetSpec, truth: np.ndarray) -> np.ndarray:
        """Each tag's share in train."""
        return truth.mean(axis=0)

    def strata(self, spec: TargetSpec, labels: Collection[str]) -> "csr_array":
        """1 for each tag of a row (n, classes)."""
        from scipy.sparse import csr_array

        codes = {name: code for code, name in enumerate(spec.vocab)}
        tags = [sorted({codes[name] for name in label.split() if name in codes}) for label in labels]
        bounds = np.cumsum([0, *map(len, tags)])
        columns = np.fromiter(itertools.chain.from_iterable(tags), dtype=np.int64, count=int(bounds[-1]))
        return csr_array((np.ones(len(columns)), columns, bounds), shape=(len(tags), len(codes)))

    def ranks(self, values: np.ndarray) -> np.ndarray:
        return ranks_by_column(values)

    def label_width(self, spec: TargetSpec) -> int:
        return spec.width

    def sample_label(self, label: str) -> tuple[str, ...]:
        return tuple(str(label).split())

    def encode(self, spec: TargetSpec, label: tuple[str, ...]) -> list[float]:
        return [float(name in label) for name in spec.vocab]

    def show(self, spec: TargetSpec, encoded: "Tensor") -> str:
        return " ".join(name for name, on in zip(spec.vocab, encoded, strict=True) if on > 0.5) or "none"

    def activate(self, preds: "Tensor", center: float, scale: float) -> "Tensor":
        return preds.sigmoid()

    def decide(self, activated: "Tensor") -> "Tensor":
        return activated > 0.5

    def decode(self, spec: TargetSpec, values: np.ndarray) -> np.ndarray:
        names = np.asarray(spec.vocab, dtype=object)
        return np.array([" ".join(names[row > 0.5]) for row in values], dtype=object)

    def problem(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        return unknown_class(spec, (name for cell in cells for name in cell.split()))

    def certain(self, spec: TargetSpec, truth: np.ndarray) -> np.ndarray:
        return truth


ENTRY = Multilabel()
