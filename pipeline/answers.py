"""Answers against a submission: its cells as predictions again, and what a solution says is true."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from pipeline.codes import Spelling, sources_spelled, spelled
from pipeline.columns import alone, by_default, spread
from pipeline.config import Competition
from pipeline.data.labels import answered, for_metric, known_in, truth_of, with_gaps
from pipeline.errors import RequestError
from pipeline.forms import Column
from pipeline.metrics.leaderboard import Scorable
from pipeline.predictions import TargetSpec
from pipeline.submission import called_as_targets
from pipeline.targets.cells import numbers_in


def read_back(columns: Sequence[Column], specs: Sequence[TargetSpec], table: pd.DataFrame) -> dict[str, np.ndarray]:
    """A submission's cells as predictions (n, width) of each target; a decision counts as certain.

    `columns` and `specs` as the submission spells them.
    """
    values: dict[str, np.ndarray] = {}
    for spec in specs:
        own = [column for column in columns if column.target == spec.name]
        if own:
            alike = [column for column in own if column.kind == own[0].kind]
            values[spec.name] = own[0].entry.read(spec, alike, table)
    return values


def gradable(
    comp: Competition,
    specs: Sequence[TargetSpec],
    values: Mapping[str, np.ndarray],
    truth: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
    single: Mapping[str, tuple[int, bool]],
) -> dict[str, Scorable]:
    """Truth and predictions of each target that the leaderboard's metric fits, in the rows that have an answer.

    Of those in `single` one class stands against the rest: its code, and whether the rest is what is looked for.
    """
    chosen = [spec for spec in specs if spec.name in values and spec.name in truth and spec.name in comp.leaderboard.of]
    found = {}
    for spec in chosen:
        own, known = weights.get(spec.name), known_in(truth[spec.name])
        compared = answered(truth[spec.name], for_metric(spec, values[spec.name]))
        part = Scorable(spec, *compared, None if own is None else own[known])
        found[spec.name] = _of_one(part, *single[spec.name]) if spec.name in single else part
    return found


def single_in(
    comp: Competition, columns: Sequence[Column], specs: Sequence[TargetSpec], spelling: Spelling
) -> dict[str, tuple[int, bool]]:
    """The targets of which a submission says one class alone, where the metric can score two classes: its code, and
    whether more in its column is less of the class. `specs` are the targets as the data showed them."""
    found = {}
    for spec, called in zip(specs, spelled(specs, spelling), strict=True):
        column, metric = alone(columns, called), comp.leaderboard.of.get(spec.name)
        if column is not None and metric is not None and metric.scores("binary"):
            found[spec.name] = (column.code(called), column.entry.turned)
    return found


def _of_one(part: Scorable, code: int, turned: bool) -> Scorable:
    """The class against the rest, as a target of two classes of which the second is looked for."""
    label, yes, p = part.spec.vocab[code], part.truth == code, part.preds[:, code]
    names = (label, f"not {label}") if turned else (f"not {label}", label)
    spec = TargetSpec(part.spec.name, "binary", names)
    both = np.column_stack([p, 1 - p] if turned else [1 - p, p])
    return Scorable(spec, (yes != turned).astype(np.int64), both, part.weights)


def truth_from(
    comp: Competition,
    specs: Sequence[TargetSpec],
    solution: pd.DataFrame,
    spelling: Spelling,
    single: Mapping[str, tuple[int, bool]],
) -> dict[str, np.ndarray]:
    """The answers of a solution table, for every target that it holds (by its column's or its own name).

    Classes are called there as in the training table, or as in the submission (`spelling`). Of those in `single` a
    column of that class is enough: the truth is then it, or any other one.
    """
    truth = {}
    for target, spec in zip(comp.targets, specs, strict=True):
        own = [column for column in columns_in(comp, specs, solution, spelling) if column.target == target.name]
        submitted = [column.name for column in own if column.label is None]
        asked = (*submitted, target.column, target.name)
        names = [name for name in asked if isinstance(name, str) and name in solution.columns]
        if names:
            coded = spelled([spec], spelling)[0]
            forms = [column.entry.called(coded) for column in own if column.name == names[0] and column.label is None]
            called = _as_called([*forms, coded, spec], solution[names[0]])
            truth[spec.name] = with_gaps(
                _known(comp, spec, solution[names[:1]]), partial(_truth_in, called, solution[names[0]])
            )
            continue
        by_class = {name: Column(name, target.name, name) for name in target.class_columns or () if name in solution}
        plain = {code: label for label, code in spelling.get(target.name, {}).items()}
        by_class |= {plain.get(c.label, c.label): c for c in own if c.label is not None and c.name in solution}
        one = [spec.vocab[single[spec.name][0]]] if spec.name in single else None
        if _tells_all(spec, by_class) or list(by_class) == one:
            known = _known(comp, spec, solution[[column.name for column in by_class.values()]], blank_answers=False)
            truth[spec.name] = with_gaps(known, partial(_truth_in_columns, spec, by_class, solution))
    if not truth:
        raise RequestError(
            f"the solution has no column of any target; it has {', '.join(solution.columns)}, "
            f"targets are {', '.join(spec.name for spec in specs)}"
        )
    return truth


def columns_in(
    comp: Competition, specs: Sequence[TargetSpec], solution: pd.DataFrame, spelling: Spelling
) -> list[Column]:
    """What a solution's columns hold, by the names that the submission has for them."""
    held, called = list(solution.columns), spelled(specs, spelling)
    said = spread(sources_spelled(comp.submission.columns, spelling), held, called)
    said = said or by_default(comp, held, called_as_targets(comp, held), called)
    return [Column.of(name, source) for name, source in said.items()]


def _as_called(ways: Sequence[TargetSpec], cells: pd.Series) -> TargetSpec:
    """The target in the first of several spellings in which every cell can be read; else that which reads most tags."""
    told = cells[cells.str.strip() != ""]
    ways = [*(spec for spec in ways[:-1] if spec != ways[-1]), ways[-1]]
    for spec in ways[:-1]:
        if not spec.target_kind.problem(spec, told):
            return spec
    if len(ways) == 1 or "separator" not in ways[-1].target_kind.takes:
        return ways[-1]
    return max(reversed(ways), key=lambda spec: spec.target_kind.truth_of(spec, told).sum())


def _tells_all(spec: TargetSpec, by_class: Mapping[str, Column]) -> bool:
    """Whether columns of these classes say the whole answer: of classes that exclude each other all but one do."""
    lacking = set(spec.vocab) - by_class.keys()
    return bool(spec.vocab) and bool(by_class) and len(lacking) <= spec.exclusive


def _known(comp: Competition, spec: TargetSpec, cells: pd.DataFrame, blank_answers: bool | None = None) -> np.ndarray:
    """Which rows (n,) answer a target: of several targets a solution, as the training table, may leave some blank."""
    if len(comp.targets) == 1 or (spec.target_kind.blank_answers if blank_answers is None else blank_answers):
        return np.ones(len(cells), dtype=bool)
    return (cells.apply(lambda column: column.str.strip()) != "").any(axis=1).to_numpy()


def _truth_in(spec: TargetSpec, cells: pd.Series, known: np.ndarray) -> np.ndarray:
    return truth_of(spec, spec.target_kind.parse_cells(str(cells.name), cells[known]))


def _truth_in_columns(
    spec: TargetSpec, by_class: Mapping[str, Column], solution: pd.DataFrame, known: np.ndarray
) -> np.ndarray:
    marks = np.zeros((int(known.sum()), spec.width))
    for label, column in by_class.items():
        marks[:, spec.vocab.index(label)] = column.entry.answers(column.name, solution.loc[known, column.name])
    if len(by_class) == 1 < spec.width - 1:  # it, or any other one
        (code,) = [spec.vocab.index(label) for label in by_class]
        return np.where(marks[:, code] > 0.5, code, (code + 1) % spec.width)
    return spec.target_kind.truth_from_columns(
        spec.target_kind.complete(marks, [spec.vocab.index(label) for label in by_class])
    )


def weights_in(comp: Competition, cells: pd.DataFrame, columns: Sequence[Column]) -> dict[str, np.ndarray]:
    """How much each row counts for each target, from weights as text: a column `column`, or one for each target's.

    Raises RequestError for what is no weight, and for a metric that cannot weigh rows.
    """
    found = {}
    for column in columns:
        chosen = comp.leaderboard.of.get(column.target)
        if chosen is None or column.name not in cells:
            continue
        if not chosen.entry.weighs_rows or column.label is not None:
            raise RequestError(f"submission.weight: metric {chosen.name!r} of {column.target!r} cannot weigh rows")
        told = cells[column.name].where(cells[column.name].str.strip() != "", "0")
        found[column.target] = numbers_in(str(comp.submission.weight), told)
        if (found[column.target] < 0).any() or not found[column.target].any():
            raise RequestError(f"submission.weight: {comp.submission.weight!r} has weights below 0, or none above")
    return found
