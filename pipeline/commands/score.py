"""score: grade a submission against known answers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline import deciding, predictions
from pipeline.answers import columns_in, gradable, read_back, single_in, truth_from, weights_in
from pipeline.codes import Spelling, spelling_of
from pipeline.config import Competition
from pipeline.data.labels import specs_of
from pipeline.data.longform import LongForm
from pipeline.data.tables import need_column, read_table
from pipeline.errors import RequestError, WorkFailed
from pipeline.forms import Column
from pipeline.metrics.leaderboard import Scorable
from pipeline.predictions import Predictions, TargetSpec
from pipeline.scoring import rounded
from pipeline.stages.submit import latest
from pipeline.submission import decided, long_sample, sample_path, sheet_of, with_ids
from pipeline.workspace import Workspace, read_json, write_json

USAGE = "Usage"  # Kaggle's column: which rows the public leaderboard scores, which the private one, which neither


def score(
    comp: Competition, workspace: Workspace, solution: Path | None = None, submission: Path | None = None
) -> dict[str, Any]:
    """Grade the newest submission, or a given file, and keep the result beside it.

    Returns {"competition", "submission", "metric", "score", "public", "private", "targets": {target: value}};
    a part is None where the solution does not split its rows. Raises RequestError for files that do not fit.
    """
    path = submission or _newest(workspace)
    specs = specs_of(comp.targets, pd.read_parquet(workspace.manifest))
    sheet = sheet_of(comp, workspace, specs)
    answers = read_solution(comp, workspace, solution, specs)
    table = _as_read(comp, workspace, path)
    absent = [name for name in sheet.sample.columns if name not in table.columns]
    if absent:
        raise RequestError(f"{path} has no column {absent[0]!r}; it has {', '.join(table.columns)}")
    table = _in_order(table, sheet.id_column, answers.table.index, path)
    values = read_back(sheet.columns, sheet.specs, table)
    result = {
        "competition": comp.slug,
        "submission": str(path),
        "metric": comp.metric,
        **_graded(comp, specs, values, answers, single_in(comp, sheet.columns, specs, answers.spelling)),
    }
    _keep(path, result)
    return result


def score_predictions(
    comp: Competition, workspace: Workspace, preds: Predictions, solution: Path | None = None
) -> dict[str, Any]:
    """Grade test predictions without writing a submission: `score` over what a submission would hold, and
    `targets` for every target that the solution knows. `preds` are decided, where the metric decides.
    """
    answers = read_solution(comp, workspace, solution, preds.specs)
    values = preds.take(list(answers.table.index))
    return _graded(comp, preds.specs, values, answers, {})


class Answers(NamedTuple):
    """A solution: a row an id, in the index; how targets' classes are called in it; how much rows count, by target."""

    table: pd.DataFrame
    spelling: Spelling
    weights: dict[str, np.ndarray]


def read_solution(
    comp: Competition, workspace: Workspace, solution: Path | None, specs: tuple[TargetSpec, ...]
) -> Answers:
    """The answers by id. Raises RequestError if none are given and the pipeline holds none."""
    path = solution or workspace.solution
    if solution is None and not path.is_file():
        raise RequestError(f"{comp.slug} has no known answers here; give them with --solution FILE")
    table, weight = read_table(path, "--solution", encoding=comp.data.encoding), comp.submission.weight
    if weight is not None:
        need_column(table, weight, path.name, "submission.weight")
    long, weighed = long_sample(comp, workspace), None
    if long is not None and long.fits(table):
        table, weighed = _unfolded(long, table, path, weight)
    id_column, table = with_ids(comp, workspace, table)
    if table[id_column].duplicated().any():
        raise RequestError(f"{path} repeats ids in column {id_column!r}")
    spelling = spelling_of(comp, workspace, specs)
    answers = table.drop(columns=[] if weight is None else [weight], errors="ignore").set_index(id_column)
    if weight is None:
        return Answers(answers, spelling, {})
    held = columns_in(comp, specs, answers, spelling)
    if weighed is None:
        weighed = pd.DataFrame({column.name: table[weight] for column in held})
    return Answers(answers, spelling, weights_in(comp, weighed, held))


def _unfolded(
    long: LongForm, rows: pd.DataFrame, path: Path, weight: str | None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """A solution with a row an id, and what its rows count, if it says so, in the same form."""
    besides = [name for name in (weight, USAGE) if name is not None and name in rows.columns]
    table = long.unfolded(rows, path.name, besides=besides)
    if USAGE in besides:
        table[USAGE] = _one_usage(long.unfolded(rows, path.name, USAGE, besides), path)
    return table, None if weight is None else long.unfolded(rows, path.name, weight, besides)


def _one_usage(cells: pd.DataFrame, path: Path) -> pd.Series:
    """Which leaderboard scores each id: all rows of one."""
    told = cells.iloc[:, 1:]
    first = told.apply(lambda row: next((cell for cell in row if cell), ""), axis=1)
    mixed = told.ne(first, axis=0) & (told != "")
    if mixed.any(axis=None):
        raise RequestError(f"{path}: rows of one id have several words in {USAGE!r}; they cannot be graded apart")
    return first


def _as_read(comp: Competition, workspace: Workspace, path: Path) -> pd.DataFrame:
    """A submission as a table with a row an id; of a long one every row that the sample asks for must be there."""
    encoding, long, place = comp.data.encoding, long_sample(comp, workspace), sample_path(comp, workspace)
    table = read_table(path, "submission", encoding=encoding)
    if long is not None and place is not None:
        sample = read_table(place, "submission.sample", encoding=encoding)
        asked = long.unfolded(sample.assign(**{long.value_of(sample, place.name): "asked"}), place.name)
        table = long.held(table, asked, path.name)
    return with_ids(comp, workspace, table)[1]


def has_solution(workspace: Workspace) -> bool:
    """Whether the pipeline itself drew or held back the answers."""
    return workspace.solution.is_file()


def load_test(comp: Competition, workspace: Workspace, member: str) -> Predictions:
    """The test predictions of a model, or of 'ensemble', as they are sent."""
    preds = predictions.load(workspace.test(member))
    if not deciding.decides(comp):
        return preds
    return deciding.as_sent(comp, decided(comp, workspace, preds), workspace.decision(member))


def _graded(
    comp: Competition,
    specs: tuple[TargetSpec, ...],
    values: dict[str, np.ndarray],
    solution: Answers,
    single: Mapping[str, tuple[int, bool]],
) -> dict[str, Any]:
    parts: dict[str, float | None] = {"public": None, "private": None}
    answers, spelling, weights = solution
    if USAGE in answers.columns:
        counted = (answers[USAGE].str.lower() != "ignored").to_numpy()
        answers, values, weights = answers[counted], _rows(values, counted), _rows(weights, counted)
    truth = truth_from(comp, specs, answers.drop(columns=USAGE, errors="ignore"), spelling, single)
    submitted = _submitted(comp, values)
    everything = gradable(comp, specs, values, truth, weights, single)
    if not submitted & everything.keys():
        raise RequestError(f"metric {comp.metric!r} fits no target that is both submitted and in the solution")
    if USAGE in answers.columns:
        for part in parts:
            rows = (answers[USAGE].str.lower() == part).to_numpy()
            if rows.any():
                own = gradable(comp, specs, _rows(values, rows), _rows(truth, rows), _rows(weights, rows), single)
                parts[part] = _total(comp, own, submitted)
    shown = {name: rounded(comp.leaderboard.of[name].value(part)) for name, part in everything.items()}
    return {"score": _total(comp, everything, submitted), **parts, "targets": shown}


def _rows(values: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, np.ndarray]:
    return {name: array[chosen] for name, array in values.items()}


def _submitted(comp: Competition, values: dict[str, np.ndarray]) -> set[str]:
    """The targets that the leaderboard scores: those of the file's columns, or all that have values."""
    named = {Column.of(name, source).target for name, source in comp.submission.columns.items()}
    return named or set(values)


def _total(comp: Competition, parts: dict[str, Scorable], submitted: set[str]) -> float | None:
    chosen = [part for name, part in parts.items() if name in submitted]
    return rounded(comp.leaderboard.total(chosen)) if chosen else None


def _newest(workspace: Workspace) -> Path:
    name = latest(workspace)
    if name is None:
        raise WorkFailed(f"no submission in {workspace.submissions} yet; run `pipeline submit`")
    return workspace.submissions / name


def _in_order(table: pd.DataFrame, id_column: str, ids: pd.Index, path: Path) -> pd.DataFrame:
    table = table.set_index(id_column)
    missing, surplus = ids.difference(table.index), table.index.difference(ids)
    if len(missing) or len(surplus) or table.index.has_duplicates:
        raise RequestError(
            f"{path.name} does not hold the solution's ids: {len(missing)} missing {list(missing[:2])}, "
            f"{len(surplus)} unknown {list(surplus[:2])}"
        )
    return table.loc[ids]


def _keep(path: Path, result: dict[str, Any]) -> None:
    about = read_json(path.with_suffix(".json"))
    if isinstance(about, dict):
        write_json(path.with_suffix(".json"), {**about, "scores": {**about.get("scores", {}), "local": result}})
