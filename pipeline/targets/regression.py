"""regression: a number."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import RequestError
from pipeline.targets import TargetKind, TargetSpec
from pipeline.targets.cells import numbers_in
from pipeline.targets.classes import refuse_empty, some

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


class Regression(TargetKind[float, float]):
    """A number. Its head learns it scaled, so that its loss is of the size of the others'."""

    default_loss = "mse"
    standard_metrics = ("rmse", "mae")
    smooth_metric = "rmse"
    error_name = "mae"

    def parse_labels(self, target: str, labels: "pd.Series", ids: "pd.Series") -> "pd.Series":
        import pandas as pd

        refuse_empty(target, labels, ids)
        numbers = pd.to_numeric(labels, errors="coerce")
        bad = numbers.isna() | numbers.abs().eq(float("inf"))
        if bad.any():
            raise RequestError(
                f"target {target!r} is a regression, but {int(bad.sum())} labels are no numbers: "
                f"{some(labels[bad])} (ids {some(ids[bad])})"
            )
        return numbers.astype(float)

    def vocabulary(self, target: str, labels: Collection[float]) -> tuple[str, ...]:
        return ()

    def columns(self, spec: TargetSpec) -> list[str]:
        return [spec.name]

    def truth_of(self, spec: TargetSpec, labels: Collection[float]) -> np.ndarray:
        return np.asarray(labels, dtype=np.float64)

    def priors(self, spec: TargetSpec, truth: np.ndarray) -> np.ndarray:
        """The mean of train."""
        return np.atleast_1d(truth.mean(axis=0))

    def strata(self, spec: TargetSpec, labels: Collection[float]) -> np.ndarray:
        """Deciles."""
        numbers = np.asarray(labels, dtype=float)
        return np.searchsorted(np.unique(np.quantile(numbers, np.arange(1, 10) / 10)), numbers)

    def for_metric(self, values: np.ndarray) -> np.ndarray:
        return values[:, 0]

    def ranks(self, values: np.ndarray) -> np.ndarray:
        """Numbers keep their units: a mean of ranks would be no answer."""
        return values

    def sample_label(self, label: float) -> float:
        return float(label)

    def encode(self, spec: TargetSpec, label: float) -> list[float]:
        return [float(label)]

    def show(self, spec: TargetSpec, encoded: "Tensor") -> str:
        return f"{float(encoded[0]):.3g}"

    def label_scale(self, labels: Collection[float]) -> tuple[float, float]:
        """Mean and standard deviation."""
        import torch

        values = torch.from_numpy(np.array(labels, dtype=np.float64))  # torch would ask a table's column for row 0
        return values.mean().item(), max(values.std().item(), 1e-6)

    def scaled(self, labels: "Tensor", preds: "Tensor", center: float, scale: float) -> "Tensor":
        return (labels.to(preds.dtype) - center) / scale

    def activate(self, preds: "Tensor", center: float, scale: float) -> "Tensor":
        return preds * scale + center

    def decide(self, activated: "Tensor") -> "Tensor":
        return activated

    def error(self, decided: "Tensor", labels: "Tensor") -> "Tensor":
        return (decided - labels).abs().mean()

    def decode(self, spec: TargetSpec, values: np.ndarray) -> np.ndarray:
        return values[:, 0].astype(np.float64)

    def problem(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        return None if np.isfinite(cells.to_numpy(dtype=float)).all() else "values that are not finite"

    def parse_cells(self, name: str, cells: "pd.Series") -> np.ndarray:
        return numbers_in(name, cells)

    def certain(self, spec: TargetSpec, truth: np.ndarray) -> np.ndarray:
        return truth[:, None]


ENTRY = Regression()
