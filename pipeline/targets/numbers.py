"""Targets that are numbers: labels, heads, transforms, and the range that predictions keep within."""

import copy
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Self

import numpy as np

from pipeline.errors import RequestError
from pipeline.targets import TargetKind, TargetSpec
from pipeline.targets.cells import numbers_in
from pipeline.targets.classes import refuse_empty, some
from pipeline.targets.transforms import TRANSFORMS, Transform

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


LABELS = "labels"  # the option `clip` whose ends are those of the training labels


class Numbers(TargetKind[float, float]):
    """A number. Its head learns it scaled, so that its loss is of the size of the others'.

    With a `transform` the head learns the transformed number; all that is predicted is in the label's own unit, and
    from `low` to `high` where those are known.
    """

    takes = frozenset({"transform", "clip", "order"})
    default_loss = "mse"
    standard_metrics = ("rmse", "mae")
    smooth_metric = "rmse"
    error_name = "mae"
    transform: Transform | None = None
    transform_name = ""
    low: float | None = None
    high: float | None = None
    by_labels = False  # whether the ends are those of the labels

    def told(self, options: Mapping[str, str]) -> Self:
        if not options:
            return self
        own = copy.copy(self)
        if "transform" in options:
            own.transform, own.transform_name = TRANSFORMS[options["transform"]], options["transform"]
        own.by_labels = options.get("clip") == LABELS
        if "low" in options:
            own.low, own.high = float(options["low"]), float(options["high"])
        return own

    def options_from(self, labels: Collection[float]) -> dict[str, str]:
        """The ends of the labels, where predictions keep within those."""
        if not self.by_labels or not len(labels):
            return {}
        numbers = np.asarray(labels, dtype=np.float64)
        return {"low": repr(float(numbers.min())), "high": repr(float(numbers.max()))}

    def within(self, values: np.ndarray) -> np.ndarray:
        ends = self._ends
        return values if ends is None else np.clip(values, *ends)

    @property
    def _ends(self) -> tuple[float, float] | None:
        """As float32, which predictions are, and not beyond what was said."""
        if self.low is None or self.high is None:
            return None
        low, high = np.float32(self.low), np.float32(self.high)
        low = np.nextafter(low, np.float32(np.inf)) if low.item() < self.low else low
        high = np.nextafter(high, np.float32(-np.inf)) if high.item() > self.high else high
        return low.item(), high.item()

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
        self._refuse_outside(target, numbers.to_numpy(dtype=np.float64), labels, ids)
        return numbers.astype(float)

    def _refuse_outside(self, target: str, numbers: np.ndarray, labels: "pd.Series", ids: "pd.Series") -> None:
        """Raise RequestError for labels that cannot be transformed, or that predictions could never reach."""
        checks = []
        if self.transform is not None:
            takes = f"transform = {self.transform_name!r} takes {self.transform.domain}"
            checks.append((~self.transform.takes(numbers), takes))
        if self.low is not None and self.high is not None:
            outside = (numbers < self.low) | (numbers > self.high)
            checks.append((outside, f"clip = [{self.low:g}, {self.high:g}] keeps predictions there"))
        for bad, what in checks:
            if bad.any():
                raise RequestError(
                    f"target {target!r}: {what}, but {int(bad.sum())} labels are not: {some(labels[bad])} "
                    f"(ids {some(ids[bad])})"
                )

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
        """Mean and standard deviation, of the transformed labels where there is a transform."""
        import torch

        values = torch.from_numpy(np.array(labels, dtype=np.float64))  # torch would ask a table's column for row 0
        values = self._transformed(values)
        return values.mean().item(), max(values.std().item(), 1e-6)

    def scaled(self, labels: "Tensor", preds: "Tensor", center: float, scale: float) -> "Tensor":
        return (self._transformed(labels.to(preds.dtype)) - center) / scale

    def activate(self, preds: "Tensor", center: float, scale: float) -> "Tensor":
        numbers = preds * scale + center
        if self.transform is not None:
            numbers = self.transform.inverse(numbers)
        ends = self._ends
        return numbers if ends is None else numbers.clamp(*ends)

    def _transformed(self, numbers: "Tensor") -> "Tensor":
        return numbers if self.transform is None else self.transform.forward(numbers)

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
