"""best: the k likeliest classes in one cell, the likeliest first (MAP@5 of whales and hotels, top-k)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BeforeValidator

from pipeline.errors import RequestError
from pipeline.forms import Column, Form, known_separator
from pipeline.metrics.ranked import NOT_LISTED, Count, best
from pipeline.settings import Section
from pipeline.targets import TargetSpec
from pipeline.targets.classes import some, unknown_class
from pipeline.targets.multilabel import BLANKS, Multilabel, torn_in_words
from pipeline.targets.multilabel import ENTRY as TAGS

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = 1 << 22  # cells that are sorted at once


class Options(Section, frozen=True):
    """How many classes a cell holds, and what lies between them: blanks, or what separates a target's tags."""

    k: Count = 5
    separator: Annotated[str | None, BeforeValidator(known_separator)] = None


class Best(Form):
    """Of fewer than k classes all; as a prediction a class counts by its place, one that is not listed not at all."""

    of_class = False
    gives_probabilities = False
    ranks = True
    options = Options
    chosen: Options = Options()

    def called(self, spec: TargetSpec) -> TargetSpec:
        own = dict(spec.options).get("separator", BLANKS)
        return replace(spec, options=(("separator", self.chosen.separator or own),))

    def unfit(self, spec: TargetSpec) -> str | None:
        if not spec.vocab:
            return "it has no classes to rank"
        torn = torn_in_words(self.called(spec))
        return torn and f"{torn}, as in {{ target = '{spec.name}', form = 'best', separator = '|' }}"

    def cells(self, spec: TargetSpec, column: Column, values: np.ndarray) -> np.ndarray:
        names, labels = np.asarray(spec.vocab, dtype=object), self._labels(spec)
        rows = max(1, AT_ONCE // spec.width)
        blocks = [best(values[start : start + rows], self.chosen.k) for start in range(0, len(values), rows)]
        return np.array([labels.join(names[codes]) for block in blocks for codes in block], dtype=object)

    def problem(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        listed, k = self._listed(spec, cells), self.chosen.k
        for what, wrong in (
            ("hold no label", [not names for names in listed]),
            ("repeat a label", [len(set(names)) < len(names) for names in listed]),
            (f"hold more than {k} labels", [len(names) > k for names in listed]),
        ):
            if any(wrong):
                return f"{sum(wrong)} of {len(cells)} cells {what}: {some(map(repr, cells[wrong]))}"
        return unknown_class(spec, (name for names in listed for name in names))

    def doubt(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        try:
            listed = self._listed(spec, cells)
        except RequestError:
            return "are no lists, and lists would be written"
        unknown = unknown_class(spec, (name for names in listed for name in names))
        if unknown is not None:
            return f"are not what would be written: {unknown}, which has {some(spec.vocab)}"
        most, k = max(map(len, listed)), min(self.chosen.k, spec.width)
        return None if most == k else f"hold up to {most} labels, and {k} would be written (k = {self.chosen.k})"

    def read(self, spec: TargetSpec, columns: Sequence[Column], table: "pd.DataFrame") -> np.ndarray:
        cells = table[columns[0].name]
        problem = self.problem(spec, cells)
        if problem is not None:
            raise RequestError(f"column {columns[0].name!r}: {problem}")
        values, codes = np.full((len(cells), spec.width), NOT_LISTED), {c: code for code, c in enumerate(spec.vocab)}
        for row, names in enumerate(self._listed(spec, cells)):
            values[row, [codes[name] for name in names]] = 1 - np.arange(len(names)) / self.chosen.k
        return values

    def _labels(self, spec: TargetSpec) -> Multilabel:
        """What splits and joins cells: as those of tags, with the form's separator or the target's own."""
        return TAGS.told(dict(self.called(spec).options))

    def _listed(self, spec: TargetSpec, cells: "pd.Series") -> list[tuple[str, ...]]:
        labels = self._labels(spec)
        return [labels.split(cell) for cell in labels.parse_cells(str(cells.name), cells)]


ENTRY = Best()
