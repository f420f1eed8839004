"""multilabel: any number of tags a row in one cell, between them a separator; a row may have none."""

import ast
import copy
import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Self

import numpy as np

from pipeline.errors import RequestError
from pipeline.targets import TargetSpec
from pipeline.targets.classes import Classes, in_order, ranks_by_column, some, unknown_class

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_array
    from torch import Tensor

BLANKS = " "  # the separator that stands for blanks of any kind and number
LISTS = "[]"  # the separator of cells that are lists, as Python or JSON write them
OTHERS = ("|", ";", ",")  # separators that cells are looked through for
LIKELIEST = "likeliest"  # the answer for no tag that stands for the one with the largest probability


class Multilabel(Classes[tuple[str, ...]]):
    """Any number of tags: a probability for each, above one half decides, the label is 0 or 1 for each.

    `separator` lies between the tags of a cell; `none` is what a submission says where no tag is decided for.
    """

    takes = frozenset({"columns", "order", "separator", "none"})
    blank_answers = True
    default_loss = "cross_entropy"
    standard_metrics = ("label_accuracy", "micro_f1", "mean_log_loss")
    smooth_metric = "mean_log_loss"
    error_name = "label_error"
    separator = BLANKS
    none = ""

    def told(self, options: Mapping[str, str]) -> Self:
        if not options:
            return self
        own = copy.copy(self)
        own.separator, own.none = options.get("separator", self.separator), options.get("none", self.none)
        return own

    def split(self, cell: str) -> tuple[str, ...]:
        """The tags in a cell. Raises ValueError where it should be a list and is none."""
        if self.separator == BLANKS:
            return tuple(cell.split())
        if self.separator == LISTS:
            return _listed(cell)
        return tuple(name for part in cell.split(self.separator.strip()) if (name := part.strip()))

    def join(self, names: Iterable[str]) -> str:
        """Tags as one cell."""
        return repr(list(names)) if self.separator == LISTS else self.separator.join(names)

    def parse_labels(self, target: str, labels: "pd.Series", ids: "pd.Series") -> "pd.Series":
        if self.separator == BLANKS:
            return labels
        try:
            cells = {cell: self.join(dict.fromkeys(self.split(cell))) for cell in labels.unique()}
        except ValueError:
            bad = [not _is_list(cell) for cell in labels]
            raise RequestError(
                f"target {target!r}: separator = '{LISTS}', but {sum(bad)} cells are no lists: {some(labels[bad])} "
                f"(ids {some(ids[bad])})"
            ) from None
        return labels.map(cells)

    def check_separator(self, target: str, labels: "pd.Series", said: bool) -> None:
        cells = [cell for cell in labels.unique() if cell]
        if self.separator == BLANKS and said:
            return
        if said and (self.separator == LISTS or any(self.separator.strip() in cell for cell in cells)):
            return
        other = LISTS if cells and all(map(_is_list, cells)) else self._other_separator(cells, said)
        if other is not None:
            shown = next(cell for cell in cells if other == LISTS or other in cell)
            how = f"not by {self.separator!r}" if said else f"or separator = '{BLANKS}' if blanks do separate them"
            raise RequestError(
                f"target {target!r}: cells such as {shown!r} seem to hold labels separated by {other!r}; "
                f"set separator = {other!r} ({how})"
            )

    def vocabulary(self, target: str, labels: Collection[str]) -> tuple[str, ...]:
        return in_order(target, {name for label in set(labels) for name in self.split(label)}, at_least=1)

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
        tags = [sorted({codes[name] for name in self.split(label) if name in codes}) for label in labels]
        bounds = np.cumsum([0, *map(len, tags)])
        columns = np.fromiter(itertools.chain.from_iterable(tags), dtype=np.int64, count=int(bounds[-1]))
        return csr_array((np.ones(len(columns)), columns, bounds), shape=(len(tags), len(codes)))

    def ranks(self, values: np.ndarray) -> np.ndarray:
        return ranks_by_column(values)

    def label_width(self, spec: TargetSpec) -> int:
        return spec.width

    def sample_label(self, label: str) -> tuple[str, ...]:
        return self.split(str(label))

    def encode(self, spec: TargetSpec, label: tuple[str, ...]) -> list[float]:
        return [float(name in label) for name in spec.vocab]

    def show(self, spec: TargetSpec, encoded: "Tensor") -> str:
        names = [name for name, on in zip(spec.vocab, encoded, strict=True) if on > 0.5]
        return self.join(names) if names else "none"

    def activate(self, preds: "Tensor", center: float, scale: float) -> "Tensor":
        return preds.sigmoid()

    def decide(self, activated: "Tensor") -> "Tensor":
        return activated > 0.5

    def decision_options(self, none: str | None, labels: Collection[str]) -> dict[str, str]:
        """Where nothing is said, a cell is left empty only if some of the training labels are."""
        if none is None:
            none = "" if any(not self.split(label) for label in set(labels)) else LIKELIEST
        return {"none": none} if none else {}

    def with_answer(self, decided: np.ndarray, values: np.ndarray) -> np.ndarray:
        if self.none != LIKELIEST:
            return decided
        empty = np.flatnonzero(~(decided > 0.5).any(axis=1))
        filled = decided.copy()
        filled[empty, values[empty].argmax(axis=1)] = 1
        return filled

    def decode(self, spec: TargetSpec, values: np.ndarray) -> np.ndarray:
        names = np.asarray(spec.vocab, dtype=object)
        return np.array([self._cell(names, row) for row in values], dtype=object)

    def parse_cells(self, name: str, cells: "pd.Series") -> "pd.Series":
        if self.separator == LISTS and not all(map(_is_list, cells)):
            raise RequestError(f"column {name!r} should hold lists, but a cell does not: {some(cells)}")
        return cells

    def problem(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        tags = [self.split(cell) for cell in cells if cell != self.none]
        if self.none and not all(tags):
            return f"{sum(not names for names in tags)} empty cells"
        return unknown_class(spec, (name for names in tags for name in names))

    def certain(self, spec: TargetSpec, truth: np.ndarray) -> np.ndarray:
        return truth

    def from_columns(self, target: str, names: list[str], marks: np.ndarray, ids: "pd.Series") -> list[str]:
        columns = np.asarray(names, dtype=object)
        return [self.join(columns[row]) for row in marks]

    def _cell(self, names: np.ndarray, row: np.ndarray) -> str:
        chosen = names[row > 0.5]
        if len(chosen) or not self.none:
            return self.join(chosen)
        return self.join([names[row.argmax()] if self.none == LIKELIEST else self.none])

    def _other_separator(self, cells: Collection[str], said: bool) -> str | None:
        """One that makes fewer names, or as many, out of the cells that hold it: the mark of what was meant.

        Cells without a single blank are enough where blanks are merely the default.
        """
        unused = not said and all(len(self.split(cell)) < 2 for cell in cells)
        mine = {name for cell in cells for name in self.split(cell)}
        for other in OTHERS:
            if other != self.separator.strip() and any(other in cell.strip(f"{other} ") for cell in cells):
                theirs = {part.strip() for cell in cells for part in cell.split(other) if part.strip()}
                if unused or len(theirs) <= len(mine):
                    return other
        return None


def torn_in_words(spec: TargetSpec) -> str | None:
    """That names of classes hold the separator of a target's cells, so that they would be read as several."""
    kind = ENTRY.told(dict(spec.options))
    torn = [name for name in spec.vocab if kind.separator != LISTS and kind.split(name) != (name,)]
    shown = some(map(repr, torn))
    return f"{shown} would be torn by the separator {kind.separator!r}; say another one" if torn else None


def _listed(cell: str) -> tuple[str, ...]:
    """The tags of a cell that is a list as Python or JSON write it; an empty one has none. Raises ValueError."""
    text = cell.strip()
    if not text:
        return ()
    if text[0] + text[-1] not in ("[]", "()", "{}"):
        raise ValueError(f"{cell!r} is no list")
    try:
        return tuple(str(name).strip() for name in ast.literal_eval(text))
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{cell!r} is no list") from error


def _is_list(cell: str) -> bool:
    try:
        _listed(cell)
    except ValueError:
        return False
    return True


ENTRY = Multilabel()
