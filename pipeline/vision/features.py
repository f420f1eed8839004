"""Columns beside the image (`data.features`): found in the tables by id, as numbers or as words."""

import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.tables import need_column
from pipeline.data.text import as_it_lies
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.targets.classes import some
from pipeline.targets.said import Target
from pipeline.vision.asked import as_test
from pipeline.vision.cases import ids_in_tables
from pipeline.vision.cells import columns_beside
from pipeline.vision.data_config import ImageData
from pipeline.vision.joined import with_tables
from pipeline.vision.manifest import tags_of
from pipeline.vision.tables import TEST, need_beside, read_one, read_rows

PREFIX = "feature:"  # before a column's name: no target and no column of the pipeline's own is called so
NUMBER, WORD = "number", "word"
BLANKS = ("", "na", "n/a", "nan", "null", "none", "?")  # cells of a column of numbers that are none, in small letters


def read_features(raw: Path, data: ImageData, targets: Sequence[Target], manifest: pd.DataFrame) -> pd.DataFrame:
    """A row for each of the manifest's, in its order: id, split, and each feature under its name behind `PREFIX`.

    Numbers are float64, NaN where a cell is blank; words are text, "" where it is. What a column holds is decided from
    the training cells, unless the file says it. Raises RequestError for columns, rows and numbers that are not there.
    """
    name = str(data.table)
    table = _rows(raw, data, name, "data.table", tags_of(targets))
    table = with_tables(raw, data, table, name, None)
    asked = _asked_of(raw, table, data, targets, name)
    test = (manifest["split"] == "test").to_numpy() & (data.held_back is None)
    own = ids_in_tables(manifest, data)
    ids = own[~test]
    cells = _cells(table, data.id, list(asked), ids, name)
    sorts = {column: said or sort_of(cells[column]) for column, said in asked.items()}
    parts = [_typed(cells, sorts, ids, name)]
    if test.any():
        parts.append(read_test_features(raw, data, sorts, own[test]))
    found = pd.concat(parts).loc[manifest.index]
    return pd.concat([manifest[["id", "split"]], found], axis=1)


def read_test_features(raw: Path, data: ImageData, sorts: Mapping[str, str], ids: pd.Series) -> pd.DataFrame:
    """Features of test rows alone, each NUMBER or WORD by its column; the index is that of the ids in the tables."""
    name, table = _table_of_test(raw, data, list(sorts), ids)
    lacking = set(sorts) - set(table.columns)
    if lacking:
        table = with_tables(raw, data, table, name, None, lacking)
    return _typed(_cells(table, data.id, list(sorts), ids, name), sorts, ids, name)


def _rows(raw: Path, data: ImageData, name: str, key: str, tags: Sequence[tuple[str, str | None]] = ()) -> pd.DataFrame:
    """A table with a row an image, without the images that its cells hold."""
    if data.arrays is not None:
        return columns_beside(raw, data, name, key)
    return read_rows(raw, data, name, key, None, tags)


def sorts_in(features: pd.DataFrame) -> dict[str, str]:
    """NUMBER or WORD by column, out of what `read_features` gave."""
    named = [str(column) for column in features.columns if str(column).startswith(PREFIX)]
    return {
        name.removeprefix(PREFIX): NUMBER if pd.api.types.is_float_dtype(features[name]) else WORD for name in named
    }


def sort_of(cells: pd.Series) -> str:
    """NUMBER where every cell that is not blank is one, and there is any."""
    filled = cells[~_blank(cells)]
    return NUMBER if len(filled) and pd.to_numeric(filled, errors="coerce").notna().all() else WORD


def _asked_of(
    raw: Path, table: pd.DataFrame, data: ImageData, targets: Sequence[Target], name: str
) -> dict[str, str | None]:
    """What the file says that each column is, if it does, by column; patterns filled in, in the table's order."""
    answers = {column for target in targets for column in target.known_columns} | {
        target.name for target in targets if target.in_table and target.column is None
    }
    found: dict[str, str | None] = {}
    for feature in data.features:
        columns = [feature.name]
        if feature.name not in table.columns and any(mark in feature.name for mark in "*?["):
            taken = {*answers, data.id, data.case, data.weight}
            columns = [c for c in table.columns if fnmatch.fnmatchcase(c, feature.name) and c not in taken]
            if not columns:
                raise RequestError(
                    f"data.features: no column of {name} is called as {feature.name!r} says; it has "
                    f"{', '.join(map(str, table.columns))}"
                )
        for column in columns:
            need_beside(raw, data, table, column, name, "data.features")
            if column in answers or column == data.id:
                what = "the images' ids" if column == data.id else "the answer of a target"
                raise RequestError(f"data.features: column {column!r} of {name} holds {what}; take it out")
            found[column] = feature.sort or found.get(column)
    return found


def _table_of_test(raw: Path, data: ImageData, columns: Sequence[str], ids: pd.Series) -> tuple[str, pd.DataFrame]:
    """The table that holds the features of test rows: the one that is said, that of train's name, or the ids alone,
    where data.tables hold them.
    """
    name = data.test_table or as_test(str(data.table))
    if name is not None and (data.test_table is not None or as_it_lies(raw / name).is_file()):
        return name, _rows(raw, data, name, TEST)
    held = {column for joined in data.tables for column in read_one(raw, data, joined.table, "data.tables").columns}
    if held >= set(columns):
        return "the test set", pd.DataFrame({data.id: ids.unique()}, dtype=str)
    shown = f"{', '.join(columns[:4])}{', ...' if len(columns) > 4 else ''}"
    looked = f" (no {name} beside {data.table})" if name else ""
    raise RequestError(
        f"data.features: in no table are {shown} of the test images{looked}; name it by data.test_table = 'FILE', "
        f"with a row a test image and its id in column {data.id!r}"
    )


def _cells(table: pd.DataFrame, id_column: str, columns: Sequence[str], ids: pd.Series, name: str) -> pd.DataFrame:
    """Cells as text (ids, columns) without blanks around, by id, with the index of the ids."""
    need_column(table, id_column, name, "data.features: data.id")
    lacking = [column for column in columns if column not in table.columns]
    if lacking:
        raise RequestError(
            f"data.features: {name} lacks {len(lacking)} of {len(columns)} columns ({some(lacking)}); it has "
            f"{', '.join(map(str, table.columns))}; take them out of features, or name another table by data.test_table"
        )
    known = table.set_index(id_column)
    missing = ids[~ids.isin(known.index)]
    if len(missing):
        raise RequestError(
            f"data.features: {name} has no row for {len(missing)} of {len(ids)} images: {some(missing.unique())}; its "
            f"column {id_column!r} holds {some(known.index[:3])}"
        )
    return known.loc[ids, list(columns)].apply(lambda column: column.str.strip()).set_index(ids.index)


def _typed(cells: pd.DataFrame, sorts: Mapping[str, str], ids: pd.Series, name: str) -> pd.DataFrame:
    columns = {
        PREFIX + column: _numbers(cells[column], ids, name) if sort == NUMBER else cells[column].astype(str)
        for column, sort in sorts.items()
    }
    return pd.DataFrame(columns, index=cells.index)


def _numbers(cells: pd.Series, ids: pd.Series, name: str) -> pd.Series:
    numbers = pd.to_numeric(cells.where(~_blank(cells)), errors="coerce").astype(np.float64)
    bad = (numbers.isna() & ~_blank(cells)) | np.isinf(numbers)
    if bad.any():
        raise RequestError(
            f"data.features: column {cells.name!r} holds numbers, but {int(bad.sum())} cells of {name} are none: "
            f"{some(cells[bad])} (ids {some(ids[bad])}); empty them, or say {{ name = '{cells.name}', as = 'word' }}"
        )
    return numbers


def _blank(cells: pd.Series) -> pd.Series:
    return cells.str.lower().isin(BLANKS)


def tell_features(features: pd.DataFrame, log: Log) -> None:
    """Say what each column is, and what in it might not be meant."""
    sorts, train = sorts_in(features), (features["split"] == "train").to_numpy()
    numbers = [name for name, sort in sorts.items() if sort == NUMBER]
    words = {name: features[PREFIX + name][train].nunique() for name, sort in sorts.items() if sort == WORD}
    parts = [f"numbers: {_shown(numbers)}"] if numbers else []
    parts += [f"words: {_shown([f'{name} ({count})' for name, count in words.items()])}"] if words else []
    log.say(f"data: {len(sorts)} feature(s) beside the images; {'; '.join(parts)}")
    blank = {name: _gaps(features[PREFIX + name]) for name in sorts}
    gaps = [f"{name} ({int(gone.sum())})" for name, gone in blank.items() if gone.any()]
    if gaps:
        log.say(f"data: features with blank cells: {_shown(gaps)} of {len(features):,} rows")
    constant = [name for name in sorts if features[PREFIX + name][train].nunique(dropna=False) == 1]
    if constant:
        log.warn(f"data.features: {len(constant)} column(s) are the same in every training row: {_shown(constant)}")
    for name, count in words.items():
        _tell_words(name, features[PREFIX + name], train, count, log)


def _tell_words(name: str, cells: pd.Series, train: np.ndarray, count: int, log: Log) -> None:
    rows = int(train.sum())
    filled = cells[train][~_blank(cells[train])]
    odd = filled[pd.to_numeric(filled, errors="coerce").isna()]
    if 0 < len(odd) < len(filled) / 2:
        log.warn(
            f"data.features: {name!r} is taken as words: {len(odd)} of {len(filled)} training cells are no numbers "
            f"({some(odd.unique())})"
        )
    elif len(odd) and count > max(20, rows / 2):
        log.warn(f"data.features: {name!r} has {count:,} different words in {rows:,} training rows: rather an id")
    new = cells[~train][~cells[~train].isin(cells[train])]
    if len(new):
        log.warn(
            f"data.features: {len(new):,} test row(s) hold words of {name!r} that no training row has (unknown to the "
            f"models): {some(new.unique())}"
        )


def _gaps(cells: pd.Series) -> pd.Series:
    return cells.isna() if pd.api.types.is_float_dtype(cells) else cells == ""


def _shown(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
