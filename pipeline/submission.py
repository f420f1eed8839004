"""What a submission says: which column holds which prediction, in the rows and order of the sample."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.columns import by_default, classes_left_out, doubts_in, example, spread
from pipeline.config import Competition
from pipeline.data.labels import answered, for_metric, specs_of, truth_of, with_gaps
from pipeline.data.sample import find_sample, id_column_of, missing_in_words, respelled
from pipeline.data.tables import need_column, read_table
from pipeline.errors import RequestError
from pipeline.forms import FORMS, Column
from pipeline.kinds import kind_of
from pipeline.metrics.leaderboard import Scorable
from pipeline.predictions import Predictions, TargetSpec
from pipeline.registry import code_in
from pipeline.settings import Settings
from pipeline.targets.cells import numbers_in
from pipeline.workspace import Workspace


def sample_path(comp: Competition, workspace: Workspace) -> Path | None:
    """The sample submission, ours where the competition has none of its own for its test set; None without any."""
    path = find_sample(workspace.raw, comp.submission.sample)
    if comp.data.held_back is not None or (path is None and kind_of(comp).makes_sample):
        path = workspace.held_back_sample
    return path if path is not None and path.is_file() else None


def read_sample(
    comp: Competition, workspace: Workspace, manifest: pd.DataFrame | None = None
) -> tuple[str, pd.DataFrame]:
    """The id column's name and the sample submission. Raises RequestError if it is missing or has no ids.

    `manifest`, by default the one that is written, tells ids and classes where the file leaves them to the data.
    """
    path = _need_sample(comp, workspace)
    table, said = read_table(path, "submission.sample", encoding=comp.data.encoding), comp.submission.id
    if path == workspace.held_back_sample:
        table = _as_asked(comp, workspace, table, manifest)
    elif said is not None:
        need_column(table, said, path.name, "submission.id")
    id_column, sample = with_ids(comp, workspace, table, manifest)
    if sample[id_column].duplicated().any():
        raise RequestError(f"submission.sample: {path.name} repeats ids in column {id_column!r}")
    return id_column, sample


def with_ids(
    comp: Competition, workspace: Workspace, table: pd.DataFrame, manifest: pd.DataFrame | None = None
) -> tuple[str, pd.DataFrame]:
    """The id column's name of a sample, submission or solution, and the table with the pipeline's ids in it."""
    said, usual, ids = comp.submission.id, comp.data.id, pd.Series(dtype=str)
    table = kind_of(comp).with_ids(table, comp.data, workspace.raw, said)
    if manifest is None and workspace.manifest.is_file():
        manifest = pd.read_parquet(workspace.manifest, columns=["id", "split"])
    ids = ids if manifest is None else manifest["id"][manifest["split"] == "test"]
    column = id_column_of(table, said, usual, set(ids))
    asked = table[column]
    own = respelled(asked, set(ids), kind_of(comp).endings)
    return column, table if own is asked else table.assign(**{column: own})


def as_sent(comp: Competition, workspace: Workspace, table: pd.DataFrame, filled: list[str]) -> pd.DataFrame:
    """A submission in the sample's own columns: what names a row there may be more than one column."""
    path = _need_sample(comp, workspace)
    sample = read_table(path, "submission.sample", encoding=comp.data.encoding)
    if path == workspace.held_back_sample:
        sample = sample[[name for name in sample.columns if name in (comp.data.id, *filled)]]
    return sample.assign(**{name: table[name].to_numpy() for name in filled})


def _need_sample(comp: Competition, workspace: Workspace) -> Path:
    path = sample_path(comp, workspace)
    if path is None:
        raise RequestError(missing_in_words(workspace.raw, comp.submission.sample))
    return path


def _as_asked(
    comp: Competition, workspace: Workspace, table: pd.DataFrame, manifest: pd.DataFrame | None
) -> pd.DataFrame:
    """A sample of our own asks for the columns that the file names, or for classes where the metric scores those."""
    said, names = comp.submission.columns, [name for name in table.columns if name != comp.data.id]
    if said or (comp.leaderboard.needs_probabilities and len(comp.targets) == 1):
        specs = _specs(comp, workspace, manifest)
        labels = [label for spec in specs for label in spec.vocab]
        stars = [name.replace("*", label) for name in said if "*" in name for label in labels]
        names = list(spread(said, stars, specs)) if said else (labels or names)
    ids = [comp.data.id] if comp.data.id in table.columns else []
    return table[ids].assign(**dict.fromkeys(names, ""))


def columns_of(comp: Competition, sample_columns: list[str], specs: Sequence[TargetSpec] = ()) -> list[Column]:
    """What goes into each of the sample's columns, by the file or by names of targets, their columns and classes.

    `specs` are the targets as the data showed them. Raises RequestError for what does not fit.
    """
    named = spread(comp.submission.columns, sample_columns, specs)
    named = named or by_default(comp, sample_columns, _by_name(comp, sample_columns), specs)
    unfilled = [column for column in sample_columns if column not in named]
    surplus = [column for column in named if column not in sample_columns]
    if unfilled or surplus:
        problem = f"nothing to put into {unfilled[0]!r}" if unfilled else f"it has no column {surplus[0]!r}"
        shown = ", ".join(sample_columns[:12]) + (", ..." if len(sample_columns) > 12 else "")
        raise RequestError(
            f"submission.columns: the sample's columns are {shown}, and {problem}; "
            f"write for example columns = {{ {sample_columns[0]} = '{example(comp, specs)}' }}"
        )
    columns = [Column.of(column, named[column]) for column in sample_columns]
    _refuse_decisions(comp, columns)
    by_name = {spec.name: spec for spec in specs}
    for column in columns:
        if column.label is not None and column.target in by_name:
            column.code(by_name[column.target])  # raises for a class that there is not
    return columns


def filled_columns(
    comp: Competition, id_column: str, sample: pd.DataFrame, specs: Sequence[TargetSpec] = ()
) -> list[Column]:
    """What goes into each column of the sample but that of the ids; arguments and errors as in `columns_of`."""
    return columns_of(comp, [name for name in sample.columns if name != id_column], specs)


def columns_meant(comp: Competition, workspace: Workspace) -> Settings | dict[str, str]:
    """What goes into each of the sample's columns, said or by default; as it is said while there is no sample."""
    try:
        id_column, sample = read_sample(comp, workspace)
        names = [name for name in sample.columns if name != id_column]
        by_name = _by_name(comp, names)
        said = comp.submission.columns
        known = set(by_name) == set(names) if not said else not any("*" in name for name in said)
        specs = () if known else _specs(comp, workspace)
        default = {**dict.fromkeys(names), **by_default(comp, names, by_name, specs)}

        def resolved(said: Mapping[str, str]) -> Settings:
            return Settings(spread(said, names, specs) or default, {}, resolved)

        return resolved(said)
    except RequestError:
        return comp.submission.columns


def _specs(comp: Competition, workspace: Workspace, manifest: pd.DataFrame | None = None) -> Sequence[TargetSpec]:
    """The targets as the data showed them; none before it did."""
    if manifest is None and workspace.manifest.is_file():
        manifest = pd.read_parquet(workspace.manifest)
    known = manifest is not None and {target.name for target in comp.targets} <= set(manifest.columns)
    return specs_of(comp.targets, manifest) if manifest is not None and known else ()


def form_codes(comp: Competition) -> dict[str, str]:
    """The code of forms that plug-ins bring, by the column that is written so."""
    columns = [Column.of(name, source) for name, source in comp.submission.columns.items()]
    return {key: code for column in columns for key, code in code_in(column.name, FORMS, column.kind).items()}


def _by_name(comp: Competition, sample_columns: Sequence[str]) -> dict[str, str]:
    """Columns of the sample that are called as a target, or as the column that its label is from."""
    known = {column: source for target in comp.targets for column, source in target.known_columns.items()}
    known |= {target.name: target.name for target in comp.targets}
    return {column: known[column] for column in sample_columns if column in known}


def _refuse_decisions(comp: Competition, columns: list[Column]) -> None:
    """A metric of probabilities cannot score decided classes."""
    for column in columns:
        metric = comp.leaderboard.of.get(column.target)
        if metric and metric.entry.needs_probabilities and not FORMS[column.kind].gives_probabilities:
            raise RequestError(
                f"submission.columns.{column.name}: metric {metric.name!r} scores probabilities, but this column would "
                f"hold decided classes; give each class a column, such as {column.name} = '{column.target}/CLASS'"
            )


def scored_targets(comp: Competition, workspace: Workspace) -> list[str]:
    """The targets that the leaderboard sees; all of them where there is no sample, or it is not asked for."""
    if sample_path(comp, workspace) is None:
        return [target.name for target in comp.targets]
    try:
        columns = filled_columns(comp, *read_sample(comp, workspace), _specs(comp, workspace))
    except RequestError:
        if comp.has_test:
            raise
        return [target.name for target in comp.targets]
    return sorted({column.target for column in columns})


def check_sample(comp: Competition, workspace: Workspace, manifest: pd.DataFrame) -> list[str]:
    """All that could keep a submission from being written, before anything is trained: raises RequestError for it.

    Returns in words what is odd, but may be meant.
    """
    ids = set(manifest["id"][manifest["split"] == "test"])
    if not ids:
        return []
    id_column, sample = read_sample(comp, workspace, manifest)
    path = _need_sample(comp, workspace)
    _refuse_other_ids(comp, path, set(sample[id_column]), ids)
    specs = specs_of(comp.targets, manifest)
    columns = filled_columns(comp, id_column, sample, specs)
    doubts = [*doubts_in(sample, columns, specs), *classes_left_out(columns, specs)]
    return [*_other_spelling(comp, path, id_column, ids), *doubts]


def _other_spelling(comp: Competition, path: Path, id_column: str, ids: set[str]) -> list[str]:
    """What to say where the sample writes ids otherwise than they are here: without an ending, or folders."""
    table = read_table(path, "submission.sample", encoding=comp.data.encoding)
    asked = table[id_column] if id_column in table.columns else pd.Series(dtype=str)
    own = respelled(asked, ids, kind_of(comp).endings)
    if own is asked:
        return []
    return [f"submission.sample: {path.name} writes {asked.iloc[0]!r} for {own.iloc[0]!r}, and so will the submission"]


def _refuse_other_ids(comp: Competition, path: Path, ids: set[str], test: set[str]) -> None:
    """The sample's ids must be those of the test set."""
    if ids != test:
        kind, only_sample, only_test = kind_of(comp), sorted(ids - test)[:2], sorted(test - ids)[:2]
        counts = "" if len(ids) == len(test) else f" ({len(ids)} rows for {len(test)} test {kind.rows})"
        raise RequestError(
            f"submission.sample: the ids of {path.name} are not the test {kind.rows}{counts}: "
            f"{len(ids - test)} only in the sample ({', '.join(only_sample) or 'none'}), "
            f"{len(test - ids)} only in {comp.data.test!r} ({', '.join(only_test) or 'none'}); {kind.hint_on_ids(comp)}"
        )


def fill_in(id_column: str, sample: pd.DataFrame, columns: list[Column], preds: Predictions) -> pd.DataFrame:
    """The submission: the sample's ids and order, each column filled from the predictions by id."""
    ids = sample[id_column]
    values = preds.take(list(ids))
    filled = {id_column: ids.to_numpy()}
    for column in columns:
        spec = preds.spec(column.target)
        filled[column.name] = FORMS[column.kind].cells(spec, column, values[column.target])
    return pd.DataFrame(filled)[list(sample.columns)]


def read_back(columns: list[Column], specs: tuple[TargetSpec, ...], table: pd.DataFrame) -> dict[str, np.ndarray]:
    """A submission's cells as predictions (n, width) of each target; a decision counts as certain."""
    values: dict[str, np.ndarray] = {}
    for spec in specs:
        own = [column for column in columns if column.target == spec.name]
        if own:
            alike = [column for column in own if column.kind == own[0].kind]
            values[spec.name] = FORMS[own[0].kind].read(spec, alike, table)
    return values


def gradable(
    comp: Competition,
    specs: tuple[TargetSpec, ...],
    values: dict[str, np.ndarray],
    truth: dict[str, np.ndarray],
) -> dict[str, Scorable]:
    """Truth and predictions of each target that the leaderboard's metric fits, in the rows that have an answer."""
    chosen = [spec for spec in specs if spec.name in values and spec.name in truth and spec.name in comp.leaderboard.of]
    return {s.name: Scorable(s, *answered(truth[s.name], for_metric(s, values[s.name]))) for s in chosen}


def truth_from(comp: Competition, specs: tuple[TargetSpec, ...], solution: pd.DataFrame) -> dict[str, np.ndarray]:
    """The answers of a solution table, for every target that it holds (by its column's or its own name)."""
    truth = {}
    held = list(solution.columns)
    said = spread(comp.submission.columns, held, specs) or by_default(comp, held, _by_name(comp, held), specs)
    columns = [Column.of(name, source) for name, source in said.items()]
    for target, spec in zip(comp.targets, specs, strict=True):
        own = [column for column in columns if column.target == target.name]
        submitted = [column.name for column in own if column.label is None]
        asked = (*submitted, target.column, target.name)
        names = [name for name in asked if isinstance(name, str) and name in solution.columns]
        by_class = {name: name for name in target.class_columns or () if name in solution.columns}
        by_class |= {column.label: column.name for column in own if column.name in solution.columns}
        if names:
            truth[spec.name] = with_gaps(
                _known(comp, spec, solution[names[:1]]), partial(_truth_in, spec, solution[names[0]])
            )
        elif spec.vocab and by_class.keys() >= set(spec.vocab):
            cells = solution[[by_class[label] for label in spec.vocab]]
            known = _known(comp, spec, cells, blank_answers=False)
            truth[spec.name] = with_gaps(known, partial(_truth_in_columns, spec, cells))
    if not truth:
        raise RequestError(
            f"the solution has no column of any target; it has {', '.join(solution.columns)}, "
            f"targets are {', '.join(spec.name for spec in specs)}"
        )
    return truth


def _known(comp: Competition, spec: TargetSpec, cells: pd.DataFrame, blank_answers: bool | None = None) -> np.ndarray:
    """Which rows (n,) answer a target: of several targets a solution, as the training table, may leave some blank."""
    if len(comp.targets) == 1 or (spec.target_kind.blank_answers if blank_answers is None else blank_answers):
        return np.ones(len(cells), dtype=bool)
    return (cells.apply(lambda column: column.str.strip()) != "").any(axis=1).to_numpy()


def _truth_in(spec: TargetSpec, cells: pd.Series, known: np.ndarray) -> np.ndarray:
    return truth_of(spec, spec.target_kind.parse_cells(str(cells.name), cells[known]))


def _truth_in_columns(spec: TargetSpec, cells: pd.DataFrame, known: np.ndarray) -> np.ndarray:
    each = [numbers_in(str(name), cells.loc[known, name]) for name in cells.columns]
    return spec.target_kind.truth_from_columns(np.column_stack(each))


def decided(comp: Competition, workspace: Workspace, preds: Predictions) -> Predictions:
    """Predictions whose targets know what a cell says that no class is decided for."""
    said = none_meant(comp, workspace)
    specs = [replace(spec, options=(*spec.options, *said.get(spec.name, {}).items())) for spec in preds.specs]
    return replace(preds, specs=tuple(specs))


def none_meant(comp: Competition, workspace: Workspace) -> dict[str, dict[str, str]]:
    """What a decision needs besides the predictions, by target: nothing for most of them."""
    asked = [target for target in comp.targets if "none" in target.target_kind.takes]
    if not asked or not workspace.manifest.is_file():
        return {}
    manifest = pd.read_parquet(workspace.manifest, columns=["split", *[target.name for target in asked]])
    train = manifest[manifest["split"] == "train"]
    found = {t.name: t.target_kind.decision_options(t.none, train[t.name].dropna()) for t in asked}
    return {name: options for name, options in found.items() if options}
