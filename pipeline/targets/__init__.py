"""Kinds of target: everything that the pipeline knows about a label that is a class, several tags or a number.

A kind is one class with one entry in `KINDS`; the competition file and predictions on disk name it, and nobody else
tells kinds apart. Nothing here imports torch: tensors bring their own methods.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeAlias, TypeVar

import numpy as np

from pipeline.errors import RequestError
from pipeline.losses import LOSSES
from pipeline.registry import Registry

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_array
    from torch import Tensor

Label = str | float | tuple[str, ...]  # what a sample is labelled with
Labels: TypeAlias = "Collection[str] | Collection[float] | pd.Series"  # a column of labels, as the manifest holds it
Cell = TypeVar("Cell", bound=str | float)  # an entry of such a column
OwnLabel = TypeVar("OwnLabel", bound=Label)  # what a kind makes of it


@dataclass(frozen=True)
class TargetSpec:
    """A target as the data showed it: its kind and its classes in order (none for regression).

    `options` are what the file tells its kind, such as ("separator", "|"); what is the default is not among them.
    """

    name: str
    kind: str
    vocab: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()

    @property
    def target_kind(self) -> "TargetKind[Any, Any]":
        """What its kind knows. Raises RequestError for a kind of a plug-in that is not loaded."""
        return KINDS[self.kind].told(dict(self.options))

    @property
    def width(self) -> int:
        """Columns of its predictions."""
        return self.target_kind.width(self)

    @property
    def columns(self) -> list[str]:
        """Names of the columns of its predictions."""
        return self.target_kind.columns(self)

    @property
    def exclusive(self) -> bool:
        """Whether the classes exclude each other: probabilities sum to 1, the largest one decides."""
        return self.target_kind.exclusive


class TargetKind(ABC, Generic[Cell, OwnLabel]):
    """A kind of target. `values` are predictions (n, width) as numpy arrays, `preds` and `activated` as tensors.

    `truth` is what metrics compare with: codes (n,), 0/1 (n, classes), or numbers (n,).
    """

    takes: ClassVar[frozenset[str]] = frozenset()  # of the file's keys that not all kinds know
    written: ClassVar[str] = "numbers"  # what decisions are in a submission, of kinds without classes
    blank_answers: ClassVar[bool] = False  # a blank cell is a label; of other kinds it is no answer
    alike: ClassVar[tuple[str, ...]] = ()  # kinds whose labels have the same form: their losses and metrics serve it
    exclusive: ClassVar[bool] = False  # every row has exactly one class
    default_loss: ClassVar[str]
    standard_metrics: ClassVar[tuple[str, ...]]  # shown always; the first one stands for the others in one line
    smooth_metric: ClassVar[str]  # tells blends apart that the leaderboard's metric does not
    error_name: ClassVar[str]  # of what `error` computes

    def told(self, options: Mapping[str, str]) -> Self:
        """The kind as the options of a `TargetSpec` make it."""
        return self

    # From the tables

    def check_separator(self, target: str, labels: "pd.Series", said: bool) -> None:
        """Raise RequestError for cells that seem to hold several labels with another separator than the target's, which
        the file says, or not."""

    def from_columns(self, target: str, names: list[str], marks: np.ndarray, ids: "pd.Series") -> list[str]:
        """Labels as the manifest holds them, out of one yes or no (n, names) for each class. Raises RequestError."""
        raise RequestError(f"target {target!r}: its kind has no classes to take from columns {', '.join(names)}")

    @abstractmethod
    def parse_labels(self, target: str, labels: "pd.Series", ids: "pd.Series") -> "pd.Series":
        """A column of text as the manifest holds it. Raises RequestError, naming ids, for what is no label."""

    @abstractmethod
    def vocabulary(self, target: str, labels: Collection[Cell]) -> tuple[str, ...]:
        """The classes in order. Raises RequestError where there is nothing to learn."""

    @abstractmethod
    def truth_of(self, spec: TargetSpec, labels: Collection[Cell]) -> np.ndarray:
        """Labels in the form that metrics take. Raises RequestError for a label that is not a class of the target."""

    @abstractmethod
    def priors(self, spec: TargetSpec, truth: np.ndarray) -> np.ndarray:
        """What to predict without looking (width,)."""

    @abstractmethod
    def strata(self, spec: TargetSpec, labels: Collection[Cell]) -> "np.ndarray | csr_array | None":
        """Codes (n,) to stratify folds by, or 0/1 (n, classes), sparse; None for a kind that takes no part."""

    def class_counts(self, spec: TargetSpec, labels: Collection[Cell]) -> dict[str, int] | None:
        """How many of the rows have each class, in the order of the classes; None for a kind without any."""
        return None

    def options_from(self, labels: Collection[Cell]) -> dict[str, str]:
        """Options of its `TargetSpec` that the file leaves to the training labels."""
        return {}

    # Predictions

    def within(self, values: np.ndarray) -> np.ndarray:
        """Values of what is no head, kept where the kind's predictions keep."""
        return values

    def width(self, spec: TargetSpec) -> int:
        """Columns of its predictions."""
        return len(self.columns(spec))

    @abstractmethod
    def columns(self, spec: TargetSpec) -> list[str]:
        """Names of the columns of its predictions."""

    def for_metric(self, values: np.ndarray) -> np.ndarray:
        """Values in the form that metrics take."""
        return values

    @abstractmethod
    def ranks(self, values: np.ndarray) -> np.ndarray:
        """Values replaced by ranks among the rows, from 0 to 1, where that has a meaning."""

    def class_shares(self, spec: TargetSpec, values: np.ndarray) -> np.ndarray | None:
        """The share of rows (width,) that each class is decided for; None where a row may have several or none."""
        return None

    # Training

    def label_width(self, spec: TargetSpec) -> int:
        """Columns of its labels in a batch."""
        return 1

    @abstractmethod
    def sample_label(self, label: Cell) -> OwnLabel:
        """A cell of the manifest as a sample's label."""

    @abstractmethod
    def encode(self, spec: TargetSpec, label: OwnLabel) -> list[float]:
        """A sample's label as its columns in a batch: codes count from 0."""

    @abstractmethod
    def show(self, spec: TargetSpec, encoded: "Tensor") -> str:
        """What `encode` made (label_width,), or a decision, in words."""

    def label_scale(self, labels: Collection[Cell]) -> tuple[float, float]:
        """Center and scale of the training labels: a head learns (label - center) / scale."""
        return 0.0, 1.0

    def scaled(self, labels: "Tensor", preds: "Tensor", center: float, scale: float) -> "Tensor":
        """Labels of a batch (n, label_width) as the loss compares them with `preds`."""
        return labels

    @abstractmethod
    def activate(self, preds: "Tensor", center: float, scale: float) -> "Tensor":
        """Raw output (n, width) as probabilities, or as numbers in the label's own units."""

    @abstractmethod
    def decide(self, activated: "Tensor") -> "Tensor":
        """Activated output (n, width) as labels (n, label_width)."""

    def error(self, decided: "Tensor", labels: "Tensor") -> "Tensor":
        """The error of decisions, both (n, label_width), as one number: what the line of each epoch shows."""
        return (decided != labels).float().mean()

    # Submissions

    def decision_options(self, none: str | None, labels: Collection[Cell]) -> dict[str, str]:
        """Options that matter to cells of a submission alone, from the key `none` and the training labels."""
        return {}

    def with_answer(self, decided: np.ndarray, values: np.ndarray) -> np.ndarray:
        """What is decided, 0 or 1 (n, width), of `values`; with a class where the options ask for one in each row."""
        return decided

    @abstractmethod
    def decode(self, spec: TargetSpec, values: np.ndarray) -> np.ndarray:
        """Values as cells of a submission (n,): names, or numbers."""

    @abstractmethod
    def problem(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        """What is wrong with cells that should be decisions, in words."""

    def parse_cells(self, name: str, cells: "pd.Series") -> Collection[Cell]:
        """Cells of text of a submission or a solution, from the column `name`, as labels."""
        return cells

    @abstractmethod
    def certain(self, spec: TargetSpec, truth: np.ndarray) -> np.ndarray:
        """Values (n, width) that are sure of `truth`."""

    def complete(self, values: np.ndarray, given: Sequence[int]) -> np.ndarray:
        """Values of which a submission said only the columns `given`, with what follows from those."""
        return values

    def truth_from_columns(self, columns: np.ndarray) -> np.ndarray:
        """The truth from answers with a column (n, width) for each class."""
        return columns


KINDS: Registry[TargetKind[Any, Any]] = Registry(
    "target kind", __name__, ("category", "binary", "multilabel", "regression")
)


def label_kinds(kind: str) -> tuple[str, ...]:
    """The kind and those whose labels have the same form: losses and metrics for any of them serve it."""
    return (kind, *KINDS[kind].alike)


def losses_of(kind: str) -> list[str]:
    """The losses that serve a kind, its default first."""
    default = KINDS[kind].default_loss
    served = label_kinds(kind)
    return [default, *(name for name, loss in LOSSES.items() if name != default and loss.serves(served))]
