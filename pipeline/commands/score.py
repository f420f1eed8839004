"""score: grade a submission against known answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import deciding, predictions
from pipeline.config import Competition
from pipeline.data.labels import specs_of
from pipeline.data.tables import read_table
from pipeline.errors import RequestError, WorkFailed
from pipeline.forms import Column
from pipeline.metrics.leaderboard import Scorable
from pipeline.predictions import Predictions, TargetSpec
from pipeline.scoring import rounded
from pipeline.stages.submit import latest
from pipeline.submission import decided, filled_columns, gradable, read_back, read_sample, truth_from, with_ids
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
    id_column, sample = read_sample(comp, workspace)
    columns = filled_columns(comp, id_column, sample, specs)
    answers = read_solution(comp, workspace, solution)
    _, table = with_ids(comp, workspace, read_table(path, "submission", encoding=comp.data.encoding))
    absent = [name for name in sample.columns if name not in table.columns]
    if absent:
        raise RequestError(f"{path} has no column {absent[0]!r}; it has {', '.join(table.columns)}")
    table = _in_order(table, id_column, answers.index, path)
    values = read_back(columns, specs, table)
    result = {
        "competition": comp.slug,
        "submission": str(path),
        "metric": comp.metric,
        **_graded(comp, specs, values, answers),
    }
    _keep(path, result)
    return result


def score_predictions(
    comp: Competition, workspace: Workspace, preds: Predictions, solution: Path | None = None
) -> dict[str, Any]:
    """Grade test predictions without writing a submission: `score` over what a submission would hold, and
    `targets` for every target that the solution knows. `preds` are decided, where the metric decides.
    """
    answers = read_solution(comp, workspace, solution)
    values = preds.take(list(answers.index))
    return _graded(comp, preds.specs, values, answers)


def read_solution(comp: Competition, workspace: Workspace, solution: Path | None) -> pd.DataFrame:
    """The answers by id. Raises RequestError if none are given and the pipeline holds none."""
    path = solution or workspace.solution
    if solution is None and not path.is_file():
        raise RequestError(f"{comp.slug} has no known answers here; give them with --solution FILE")
    id_column, table = with_ids(comp, workspace, read_table(path, "--solution", encoding=comp.data.encoding))
    if table[id_column].duplicated().any():
        raise RequestError(f"{path} repeats ids in column {id_column!r}")
    return table.set_index(id_column)


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
    comp: Competition, specs: tuple[TargetSpec, ...], values: dict[str, np.ndarray], answers: pd.DataFrame
) -> dict[str, Any]:
    parts: dict[str, float | None] = {"public": None, "private": None}
    if USAGE in answers.columns:
        counted = (answers[USAGE].str.lower() != "ignored").to_numpy()
        answers, values = answers[counted], _rows(values, counted)
    truth = truth_from(comp, specs, answers.drop(columns=USAGE, errors="ignore"))
    submitted = _submitted(comp, values)
    everything = gradable(comp, specs, values, truth)
    if not submitted & everything.keys():
        raise RequestError(f"metric {comp.metric!r} fits no target that is both submitted and in the solution")
    if USAGE in answers.columns:
        for part in parts:
            rows = (answers[USAGE].str.lower() == part).to_numpy()
            if rows.any():
                parts[part] = _total(comp, gradable(comp, specs, _rows(values, rows), _rows(truth, rows)), submitted)
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
