"""What a submission says: which column holds which prediction, in the rows and order of the sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.cases import CASE, answer_ids
from pipeline.codes import Spelling, sources_spelled, spelled, spelling_digest, spelling_of
from pipeline.columns import by_default, classes_left_out, doubts_in, example, in_form, refuse_unfit, spread
from pipeline.config import Competition
from pipeline.data.labels import specs_of
from pipeline.data.longform import LongForm, long_form, unfolded
from pipeline.data.sample import BLANK, find_sample, id_column_of, missing_in_words, respelled, without_counter
from pipeline.data.tables import need_column, read_table
from pipeline.errors import RequestError
from pipeline.forms import FORMS, Column, Source
from pipeline.kinds import kind_of
from pipeline.predictions import Predictions, TargetSpec
from pipeline.registry import code_in
from pipeline.settings import Settings
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Sheet:
    """What a submission must hold: the sample with the pipeline's ids, one row each, and what goes into its columns.

    `specs` are the targets as the submission spells them.
    """

    id_column: str
    sample: pd.DataFrame
    columns: list[Column]
    specs: tuple[TargetSpec, ...]


def sheet_of(
    comp: Competition, workspace: Workspace, specs: Sequence[TargetSpec], manifest: pd.DataFrame | None = None
) -> Sheet:
    """The sheet of this competition; `specs` are the targets as the data showed them. Raises RequestError."""
    return _sheet(comp, workspace, specs, *read_sample(comp, workspace, manifest))


def _sheet(
    comp: Competition, workspace: Workspace, specs: Sequence[TargetSpec], id_column: str, sample: pd.DataFrame
) -> Sheet:
    spelling = spelling_of(comp, workspace, specs)
    columns = filled_columns(comp, id_column, sample, specs, spelling)
    return Sheet(id_column, sample, columns, spelled(specs, spelling))


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
    long, said = long_sample(comp, workspace), comp.submission.id
    table = read_table(path, "submission.sample", encoding=comp.data.encoding) if long is None else unfolded(path, long)
    if path == workspace.held_back_sample:
        table = _as_asked(comp, workspace, table, manifest)
    elif said is not None and long is None:
        need_column(table, said, path.name, "submission.id")
    id_column, sample = with_ids(comp, workspace, table, manifest)
    if sample[id_column].duplicated().any():
        raise RequestError(f"submission.sample: {path.name} repeats ids in column {id_column!r}")
    return id_column, without_counter(sample, {id_column, *comp.submission.columns})


def with_ids(
    comp: Competition, workspace: Workspace, table: pd.DataFrame, manifest: pd.DataFrame | None = None
) -> tuple[str, pd.DataFrame]:
    """The id column's name of a sample, submission or solution, and the table with the pipeline's ids in it."""
    said, usual, known = comp.submission.id, comp.data.answer_id, set[str]()
    table = kind_of(comp).with_ids(table, comp.data, workspace.raw, said)
    if manifest is None and workspace.manifest.is_file():
        columns = ["id", "split", *[CASE] * (comp.data.combination is not None)]
        manifest = pd.read_parquet(workspace.manifest, columns=columns)
    if manifest is not None:
        known = set(answer_ids(manifest[manifest["split"] == "test"]).tolist())
    column = id_column_of(table, said, usual, known)
    asked = table[column]
    own = respelled(asked, known, kind_of(comp).endings)
    return column, table if own is asked else table.assign(**{column: own})


def long_sample(comp: Competition, workspace: Workspace) -> LongForm | None:
    """How the sample's rows are read where each is of an id and a name; a sample of our own has a row an id."""
    return None if sample_path(comp, workspace) == workspace.held_back_sample else long_form(comp, workspace.raw)


def as_sent(comp: Competition, workspace: Workspace, table: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """A submission in the sample's own rows and columns, its numbers as they are asked for.

    What names a row there may be more than one column.
    """
    path, filled = _need_sample(comp, workspace), [column.name for column in columns]
    long, sample = long_sample(comp, workspace), read_table(path, "submission.sample", encoding=comp.data.encoding)
    texts = {column.name: column.entry.text(table[column.name], comp.submission.decimals) for column in columns}
    table = table.assign(**texts)
    if long is not None:
        whole = unfolded(path, long).assign(**{name: table[name].to_numpy() for name in filled})
        return long.folded(sample, whole, path.name)
    if path == workspace.held_back_sample:
        sample = sample[[name for name in sample.columns if name in (comp.data.answer_id, *filled)]]
    sent = sample.assign(**{name: table[name].to_numpy() for name in filled})
    return sent if BLANK in filled else sent.rename(columns={BLANK: ""})


def _need_sample(comp: Competition, workspace: Workspace) -> Path:
    path = sample_path(comp, workspace)
    if path is None:
        raise RequestError(missing_in_words(workspace.raw, comp.submission.sample))
    return path


def _as_asked(
    comp: Competition, workspace: Workspace, table: pd.DataFrame, manifest: pd.DataFrame | None
) -> pd.DataFrame:
    """A sample of our own asks for the columns that the file names, or for classes where the metric scores those."""
    said, names = comp.submission.columns, [name for name in table.columns if name != comp.data.answer_id]
    if said or (comp.leaderboard.needs_probabilities and len(comp.targets) == 1):
        specs = _specs(comp, workspace, manifest)
        labels = [label for spec in specs for label in spec.vocab]
        stars = [name.replace("*", label) for name in said if "*" in name for label in labels]
        names = list(spread(said, stars, specs)) if said else (labels or names)
    ids = [comp.data.answer_id] if comp.data.answer_id in table.columns else []
    return table[ids].assign(**dict.fromkeys(names, ""))


def columns_of(
    comp: Competition, sample_columns: list[str], specs: Sequence[TargetSpec] = (), spelling: Spelling | None = None
) -> list[Column]:
    """What goes into each of the sample's columns, by the file or by names of targets, their columns and classes.

    `specs` are the targets as the data showed them, `spelling` the codes of classes: columns name those. Raises
    RequestError for what does not fit.
    """
    specs = spelled(specs, spelling or {})
    named = spread(sources_spelled(comp.submission.columns, spelling or {}), sample_columns, specs)
    named = named or by_default(comp, sample_columns, called_as_targets(comp, sample_columns), specs)
    _refuse_unfilled(comp, sample_columns, list(named), specs)
    columns = [in_form(comp, Column.of(column, named[column])) for column in sample_columns]
    refuse_unfit(comp, columns, specs)
    return columns


def _refuse_unfilled(
    comp: Competition, sample_columns: Sequence[str], named: Sequence[str], specs: Sequence[TargetSpec]
) -> None:
    """Every column of the sample is filled, and no other; of a long sample, every name."""
    unfilled = [column for column in sample_columns if column not in named]
    surplus = [column for column in named if column not in sample_columns]
    if not unfilled and not surplus:
        return
    where, what = "the sample's columns are", "column"
    if comp.submission.long is not None:
        where, what = f"the {len(sample_columns)} names in the sample's rows are", "name"
    problem = f"nothing to put into {unfilled[0]!r}" if unfilled else f"it has no {what} {surplus[0]!r}"
    many = len(unfilled or surplus) - 1
    more = f" and {many} more" if many and what == "name" else ""
    shown = ", ".join(sample_columns[:12]) + (", ..." if len(sample_columns) > 12 else "")
    raise RequestError(
        f"submission.columns: {where} {shown}, and {problem}{more}; "
        f"write for example columns = {{ {sample_columns[0]} = '{example(comp, specs)}' }}"
    )


def filled_columns(
    comp: Competition,
    id_column: str,
    sample: pd.DataFrame,
    specs: Sequence[TargetSpec] = (),
    spelling: Spelling | None = None,
) -> list[Column]:
    """What goes into each column of the sample but that of the ids; arguments and errors as in `columns_of`."""
    return columns_of(comp, [name for name in sample.columns if name != id_column], specs, spelling)


def columns_meant(comp: Competition, workspace: Workspace) -> Settings | dict[str, str]:
    """What goes into each of the sample's columns, said or by default; as it is said while there is no sample."""
    said = sources_of(comp.submission.columns)
    try:
        id_column, sample = read_sample(comp, workspace)
        names = [name for name in sample.columns if name != id_column]
        by_name = called_as_targets(comp, names)
        known = set(by_name) == set(names) if not said else not any("*" in name for name in said)
        specs = () if known else _specs(comp, workspace)
        specs = spelled(specs, spelling_of(comp, workspace, specs))
        default = {**dict.fromkeys(names), **by_default(comp, names, by_name, specs)}

        def resolved(said: Mapping[str, str]) -> Settings:
            return Settings(spread(said, names, specs) or default, {}, resolved)

        return resolved(said)
    except RequestError:
        return said


def sources_of(columns: Mapping[str, Source]) -> dict[str, str]:
    """What goes into columns, without the options of their forms."""
    return {name: Column.of(name, source).source for name, source in columns.items()}


def meant_besides(comp: Competition, workspace: Workspace) -> dict[str, Any]:
    """What a submission is made from besides predictions, sample and columns' sources: nothing for most.

    Options of columns' forms, rows in long form, codes of classes, decimals.
    """
    said, found = comp.submission, dict[str, Any]()
    if said.long is not None:
        found["long"] = {**said.long.settings(), "id": said.id}
    if said.decimals is not None:
        found["decimals"] = said.decimals
    try:
        options = _may_have_options(comp)
        if not (said.codes or options):
            return found
        specs = _specs(comp, workspace)
        if said.codes:
            found["codes"] = spelling_digest(spelling_of(comp, workspace, specs))
        columns = sheet_of(comp, workspace, specs).columns if options else []
        asked = {column.name: {"form": column.kind, **column.asked} for column in columns if column.asked}
    except RequestError:  # which `data` says
        return found
    return {**found, "forms": asked} if asked else found


def _may_have_options(comp: Competition) -> bool:
    """Whether some column's form may have options that are not off: reading the sample for nothing takes time."""
    ranked = any(chosen.entry.ranked for chosen in comp.leaderboard.of.values())
    return ranked or any(Column.of(*said).asked for said in comp.submission.columns.items())


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


def called_as_targets(comp: Competition, sample_columns: Sequence[str]) -> dict[str, str]:
    """Columns of the sample that are called as a target, or as the column that its label is from."""
    known = {column: source for target in comp.targets for column, source in target.known_columns.items()}
    known |= {target.name: target.name for target in comp.targets}
    return {column: known[column] for column in sample_columns if column in known}


def scored_targets(comp: Competition, workspace: Workspace) -> list[str]:
    """The targets that the leaderboard sees; all of them where there is no sample, or it is not asked for."""
    if sample_path(comp, workspace) is None:
        return [target.name for target in comp.targets]
    try:
        columns = sheet_of(comp, workspace, _specs(comp, workspace)).columns
    except RequestError:
        if comp.has_test:
            raise
        return [target.name for target in comp.targets]
    return sorted({column.target for column in columns})


def check_sample(comp: Competition, workspace: Workspace, manifest: pd.DataFrame) -> list[str]:
    """All that could keep a submission from being written, before anything is trained: raises RequestError for it.

    Returns in words what is odd, but may be meant.
    """
    ids = set(answer_ids(manifest[manifest["split"] == "test"]).tolist())
    if not ids:
        return []
    path, specs = _need_sample(comp, workspace), specs_of(comp.targets, manifest)
    id_column, sample = read_sample(comp, workspace, manifest)
    _refuse_other_ids(comp, path, set(sample[id_column]), ids)
    sheet, long = _sheet(comp, workspace, specs, id_column, sample), long_sample(comp, workspace)
    table = read_table(path, "submission.sample", encoding=comp.data.encoding)
    told = [gaps] if long is not None and (gaps := long.gaps(table, path.name)) else []
    asked = table if long is None else unfolded(path, long)
    told += _other_spelling(comp, path, asked.get(id_column, pd.Series(dtype=str)), ids)
    return [
        *told,
        *doubts_in(sheet.sample, sheet.columns, sheet.specs),
        *classes_left_out(comp, sheet.columns, sheet.specs),
    ]


def _other_spelling(comp: Competition, path: Path, asked: pd.Series, ids: set[str]) -> list[str]:
    """What to say where the sample writes ids otherwise than they are here: without an ending, or folders."""
    own = respelled(asked, ids, kind_of(comp).endings)
    if own is asked:
        return []
    return [f"submission.sample: {path.name} writes {asked.iloc[0]!r} for {own.iloc[0]!r}, and so will the submission"]


def _refuse_other_ids(comp: Competition, path: Path, ids: set[str], test: set[str]) -> None:
    """The sample's ids must be those of the test set."""
    if ids != test:
        kind, only_sample, only_test = kind_of(comp), sorted(ids - test)[:2], sorted(test - ids)[:2]
        what = kind.rows if comp.data.combination is None else "cases"
        counts = "" if len(ids) == len(test) else f" ({len(ids)} rows for {len(test)} test {what})"
        raise RequestError(
            f"submission.sample: the ids of {path.name} are not the test {what}{counts}: "
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
        filled[column.name] = column.entry.cells(spec, column, values[column.target])
    return pd.DataFrame(filled)[list(sample.columns)]


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
