"""The tables of an image competition: a row an image, columns that the file names, further tables beside them."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from pipeline.data.longform import LongForm
from pipeline.data.readers import image_endings
from pipeline.data.tables import (
    copies_in_words,
    each_once,
    header_of,
    lines_of,
    need_column,
    read_table,
    tables_in,
)
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.targets.classes import some
from pipeline.vision.data_config import ImageData

TEST = "data.test_table"
TRACES = (".DS_Store", "Thumbs.db", "desktop.ini")  # of macOS and Windows


def read_rows(
    raw: Path, data: ImageData, name: str, key: str, log: Log | None, tags: Sequence[tuple[str, str | None]] = ()
) -> pd.DataFrame:
    """A table with a row an image, its ids in data.id: of rows that are equal in every cell the first.

    `tags` are columns of tags with what stands between them, if that is said: where the file has no other labels, rows
    of one image are one. Raises RequestError for ids that are empty, or whose rows differ otherwise.
    """
    table = read_one(raw, data, name, key, log)
    if key == TEST:
        table = _with_ids(table, data, name, log)
    need_column(table, data.id, name, "data.id", otherwise=_no_header(table.columns))
    once = each_once(table, table[data.id])
    if log is not None and len(once) < len(table):
        log.warn(copies_in_words(key, name, len(table), len(once)))
    tags = [(column, separator) for column, separator in tags if column in table.columns]
    if tags and once[data.id].duplicated().any():
        once = _tags_together(once, data, name, tags, log)
    header, column = not has_names(data, name, key), data.id if key != TEST else data.test_id or data.id
    also = "" if key == TEST else "; several labels of an image are tags, of a target of kind = 'multilabel'"
    refuse_repeats(once[data.id], name, column, raw / name, data, header, also)
    return once.reset_index(drop=True)


def read_one(raw: Path, data: ImageData, name: str, key: str, log: Log | None = None) -> pd.DataFrame:
    """A table; with a row an id where the file says that it has one for each id and name."""
    table = _as_written(raw, data, name, key, log)
    if data.long is None or name != data.table:
        return table
    return LongForm(data.long, None, data.id, frozenset(), raw, data.encoding, "data.long").with_the_rest(table, name)


def _as_written(raw: Path, data: ImageData, name: str, key: str, log: Log | None) -> pd.DataFrame:
    """A table as the file says that it is written; without a header its columns have the names that the file gives."""
    names = names_for(data, name, key)
    table = read_table(raw / name, key, names is None, data.separator, data.encoding, log)
    if names is None:
        return table
    first = [] if table.empty else table.iloc[0].tolist()
    if set(names) <= set(first) or (key == TEST and data.id in first):
        if key != TEST:
            raise RequestError(
                f"{key}: the first row of {name} is a header ({some(first)}); take the names of its columns out"
            )
        return read_table(raw / name, key, True, data.separator, data.encoding)
    if key == TEST:  # the labels come last, and are not there
        names = names[: table.shape[1]]
    if table.shape[1] != len(names):
        raise RequestError(
            f"{key}: {name} has {table.shape[1]} columns, and columns names {len(names)} ({some(names)}); "
            f"the first row is {some(first)}"
        )
    return table.set_axis(list(names), axis=1)


def names_for(data: ImageData, name: str, key: str) -> Sequence[str] | None:
    """What the file calls the columns of a table; None for one that has a header."""
    if name == data.table or key == TEST:
        return data.columns
    return next((joined.columns for joined in data.tables if joined.table == name), None)


def has_names(data: ImageData, name: str, key: str) -> bool:
    """Whether a table has no header, so that the file names its columns."""
    return names_for(data, name, key) is not None


def refuse_repeats(
    ids: pd.Series,
    where: str,
    column: str,
    path: Path,
    data: ImageData | None = None,
    header: bool = True,
    also: str = "",
) -> None:
    """Raise RequestError for ids that are there twice, or empty. They are numbered by their rows in the table.

    `also` is said behind what is wrong with those that are there twice.
    """
    repeated = ids[ids.duplicated()]
    if len(repeated):
        rows = ids.index[ids == repeated.iloc[0]][:2].tolist()
        written = (None, None) if data is None else (data.separator, data.encoding)
        lines = " and ".join(map(str, lines_of(path, rows, header, *written)))
        raise RequestError(
            f"data.id: column {column!r} of {where} repeats {len(repeated)} ids ({some(repeated)}); "
            f"every image needs its own, and lines {lines} both have {repeated.iloc[0]!r}{also}"
        )
    blank = ids[ids.str.strip() == ""]
    if len(blank):
        raise RequestError(f"data.id: column {column!r} of {where} is empty in {len(blank)} rows")


def without_traces(table: pd.DataFrame, column: str, name: str, log: Log | None) -> pd.DataFrame:
    """Without rows for the hidden files that systems leave in folders, which somebody took for images."""
    traces = table[column].str.strip().str.rpartition("/")[2].isin(TRACES)
    if traces.any() and log is not None:
        log.warn(f"{name}: left out {some(table[column][traces])}, which no image is called")
    return table[~traces].reset_index(drop=True) if traces.any() else table


def tables_with(raw: Path, data: ImageData, columns: Collection[str], apart: Collection[str] = ()) -> list[str]:
    """Tables in the raw folder that have all these columns, by their headers."""
    names = [name for name in tables_in(raw) if name not in apart]
    return [name for name in names if set(columns) <= set(header_of(raw / name, data.separator, data.encoding))]


def need_beside(raw: Path, data: ImageData, table: pd.DataFrame, column: str, name: str, key: str) -> None:
    """As `need_column`; where the column is missing, the tables of the raw folder are looked at for it."""
    if column not in table.columns:
        need_column(table, column, name, key, elsewhere(raw, data, column))


def elsewhere(raw: Path, data: ImageData, column: str) -> str:
    """What to say behind the columns of a table where another one has the column that it lacks."""
    known = {data.table, data.test_table, *(joined.table for joined in data.tables)}
    found = tables_with(raw, data, {data.id, column}, known) if data.table is not None else []
    return f" ({some(found)} has it: data.tables = [{found[0]!r}] joins it by {data.id!r})" if found else ""


def _with_ids(table: pd.DataFrame, data: ImageData, name: str, log: Log | None) -> pd.DataFrame:
    """The test table with its ids in the column that train has them in."""
    own = data.test_id
    if own is not None:
        need_column(table, own, name, "data.test_id")
    elif data.id not in table.columns:
        alike = [column for column in table.columns if str(column).casefold() == data.id.casefold()]
        if len(alike) == 1:
            own = str(alike[0])
            if log is not None:
                log.say(f"data: column {own!r} of {name} is its {data.id!r} (data.test_id names another)")
    return table if own is None else table.assign(**{data.id: table[own]})


def _tags_together(
    table: pd.DataFrame, data: ImageData, name: str, tags: Sequence[tuple[str, str | None]], log: Log | None
) -> pd.DataFrame:
    """A row an image, with the tags of all its rows. What else differs between these is of no use, and goes."""
    columns = [column for column, _ in tags]
    for column, separator in tags:
        odd = table[column][table[column].str.strip().str.contains(r"\s")]
        if separator is None and len(odd):
            raise RequestError(
                f"data.id: {name} has several rows an image, whose tags are put together, and {column!r} holds blanks "
                f"({some(odd)}); say what shall stand between tags: separator = '|' in the target"
            )
    first = ~table[data.id].duplicated()
    count = int(first.sum())
    same = [c for c in table.columns if c not in columns and len(table[[data.id, c]].drop_duplicates()) == count]
    kept = table.loc[first, [*same, *columns]].copy()
    several = table[table[data.id].duplicated(keep=False)]
    for column, separator in tags:
        own = several.drop_duplicates([data.id, column]).groupby(data.id)[column].agg((separator or " ").join)
        kept[column] = kept[data.id].map(own).fillna(kept[column])
    if log is not None:
        log.say(f"data: {len(table):,} rows of {name} are of {count:,} images; the tags of an image are put together")
    return kept


def _no_header(names: Collection[object]) -> str:
    """A hint where what should be names of columns looks like the first row."""
    texts = [str(name) for name in names]
    numbers = pd.to_numeric(pd.Series(texts, dtype=str), errors="coerce").notna()
    if numbers.any() or any(text.lower().endswith(tuple(image_endings())) for text in texts):
        return "; where a table has no header, data.columns = ['id', ...] names its columns"
    return ""
