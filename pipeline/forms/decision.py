"""decision: the class, the tags or the number that the predictions amount to."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BeforeValidator

from pipeline.errors import RequestError
from pipeline.forms import Column, Decimals, Form, known_separator
from pipeline.targets import TargetSpec
from pipeline.targets.cells import looks_probable
from pipeline.targets.classes import some
from pipeline.targets.multilabel import torn_in_words

if TYPE_CHECKING:
    import pandas as pd


class Options(Decimals, frozen=True):
    """Of numbers their decimals; of tags what lies between them, where that is not what does in the training table."""

    separator: Annotated[str | None, BeforeValidator(known_separator)] = None


class Decision(Form):
    """A column a target; as a prediction it counts as certain."""

    of_class = False
    gives_probabilities = False
    options = Options
    chosen: Options = Options()

    def called(self, spec: TargetSpec) -> TargetSpec:
        if self.chosen.separator is None:
            return spec
        others = [(key, value) for key, value in spec.options if key != "separator"]
        return replace(spec, options=(("separator", self.chosen.separator), *others))

    def unfit(self, spec: TargetSpec) -> str | None:
        if spec.vocab and self.chosen.decimals is not None:
            return "decimals are for numbers, and it has classes"
        if self.chosen.separator is None:
            return None
        if "separator" not in spec.target_kind.takes:
            return f"a separator is for tags, and it is {spec.kind!r}"
        return torn_in_words(self.called(spec))

    def cells(self, spec: TargetSpec, column: Column, values: np.ndarray) -> np.ndarray:
        return self.called(spec).target_kind.decode(spec, values)

    def problem(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        return self.called(spec).target_kind.problem(spec, cells)

    def doubt(self, spec: TargetSpec, cells: "pd.Series") -> str | None:
        if spec.vocab and looks_probable(cells) and not set(cells) <= set(spec.vocab):
            return f"look like probabilities, and classes would be written ({some(spec.vocab)})"
        try:
            kind = self.called(spec).target_kind
            problem = kind.problem(spec, cells) if spec.vocab else None
            kind.parse_cells("", cells)
        except RequestError:
            written = spec.target_kind.written
            return f"are no {written}, and {written} would be written"
        return None if problem is None else f"are not what would be written: {problem}, which has {some(spec.vocab)}"

    def read(self, spec: TargetSpec, columns: Sequence[Column], table: "pd.DataFrame") -> np.ndarray:
        spec, name = self.called(spec), columns[0].name
        kind = spec.target_kind
        return kind.certain(spec, kind.truth_of(spec, kind.parse_cells(name, table[name])))


ENTRY = Decision()
