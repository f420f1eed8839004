"""The label of each image: from a column of its row, from its name or path, or from a folder that it lies in."""

import re
from collections.abc import Mapping

import pandas as pd

from pipeline.data.several import first_of, is_several
from pipeline.data.tables import need_column
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.targets import Label
from pipeline.targets.classes import refuse_unlisted, some
from pipeline.targets.said import Target
from pipeline.vision.data_config import ImageData

YES, NO = (
    ("1", "1.0", "true", "yes"),
    ("0", "0.0", "false", "no"),
)  # cells of a column that is a class, in small letters


def labels_of(
    target: Target,
    rows: pd.DataFrame,
    table: pd.DataFrame,
    data: ImageData,
    log: Log | None = None,
    others: bool = False,
) -> pd.Series:
    """A target's labels of `rows` (columns id and path), as the manifest holds them; `table` is row for row with them.

    With `others` beside it, a blank cell of its column is no answer, which is missing in the manifest. Raises
    RequestError for a column that is not there, names that do not match, and cells that are no labels.
    """
    paths = rows["path"].map(first_of) if is_several(data.images) else rows["path"]
    if target.regex is not None:
        labels = _matched(target.name, "regex", target.regex, paths.str.rsplit("/", n=1).str[-1], "file names")
    elif target.path_regex is not None:
        labels = _matched(target.name, "path_regex", target.path_regex, paths, "paths")
    elif target.folder:
        labels = _from_folders(target, paths, first_of(data.images), log)
    else:
        columns = target.columns
        for column in columns:
            need_column(table, column, str(data.table), f"targets {target.name!r}: column")
        cells = table[columns].apply(lambda column: column.str.strip())
        known = (cells != "").any(axis=1)
        if others and not known.all() and (len(columns) > 1 or not target.target_kind.blank_answers):
            if not known.any():
                raise RequestError(f"target {target.name!r}: no row of {data.table} has an answer in {some(columns)}")
            return _parsed(target, cells[known], rows["id"][known]).reindex(rows.index)
        return _parsed(target, cells, rows["id"])
    return _parsed(target, labels.to_frame(), rows["id"])


def refuse_silent(labels: Mapping[str, pd.Series], ids: pd.Series) -> None:
    """Raise RequestError for rows that answer none of the targets."""
    silent = ids[pd.DataFrame(labels).isna().all(axis=1)]
    if len(silent):
        raise RequestError(
            f"targets: {len(silent)} training rows have no label of any target, for example {some(silent)}; "
            "fill them in or take the rows out"
        )


def _parsed(target: Target, cells: pd.DataFrame, ids: pd.Series) -> pd.Series:
    """Labels as the manifest holds them, from a column of them, or one for each class."""
    kind, labels = target.target_kind, cells.iloc[:, 0]
    if target.class_columns is not None:
        labels = _from_columns(target, cells, ids)
    else:
        kind.check_separator(target.name, labels, target.separator is not None)
    parsed = kind.parse_labels(target.name, labels, ids)
    if target.order is not None and "columns" in kind.takes:  # a kind with classes
        refuse_unlisted(target.name, parsed.map(lambda label: _names(kind.sample_label(label))), target.order, ids)
    return parsed


def _names(label: Label) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else (str(label),)


def _from_columns(target: Target, cells: pd.DataFrame, ids: pd.Series) -> pd.Series:
    """Labels out of a column of yes and no for each class."""
    texts = cells.apply(lambda column: column.str.lower())
    yes, no = texts.isin(YES), texts.isin(NO)
    bad = (~(yes | no)).to_numpy()
    if bad.any():
        rows, columns = bad.nonzero()
        raise RequestError(
            f"target {target.name!r}: {len(set(rows))} rows have cells that are neither 0 nor 1, for example "
            f"{cells.iloc[rows[0], columns[0]]!r} in column {cells.columns[columns[0]]!r} of {ids.iloc[rows[0]]}"
        )
    names = [str(name) for name in cells.columns]
    labels = target.target_kind.from_columns(target.name, names, yes.to_numpy(), ids)
    return pd.Series(labels, index=cells.index, dtype=str)


def _matched(target: str, key: str, regex: str, texts: pd.Series, what: str) -> pd.Series:
    pattern, texts = re.compile(regex), texts.str.removeprefix("./")  # of data.images = "."
    matches = [pattern.search(text) for text in texts]
    unmatched = [text for text, match in zip(texts, matches, strict=True) if match is None]
    if unmatched:
        raise RequestError(
            f"target {target!r}: {key} {regex!r} does not match {len(unmatched)} of {len(texts)} "
            f"{what}, for example {some(unmatched)}"
        )
    labels = [match.group(1) if pattern.groups == 1 else match.lastgroup for match in matches if match]
    return pd.Series(["" if label is None else label for label in labels], index=texts.index, dtype=str)


def _from_folders(target: Target, paths: pd.Series, images: str, log: Log | None) -> pd.Series:
    # The folders that `data.images` itself names are no classes.
    fixed = images.split("{", 1)[0] if "{" in images else f"{images.rstrip('/')}/"
    folders = paths.str.split("/").str[fixed.count("/") : -1]
    depths = folders.str.len()
    if target.folder is True:
        flat = paths[depths < 1]
        if len(flat):
            raise RequestError(
                f"target {target.name!r}: folder = true, but images lie outside of class folders: {some(flat)}"
            )
        _tell_depths(target.name, depths, log)
        return folders.str[-1]
    level = int(target.folder)
    shallow = paths[depths < level]
    if len(shallow):
        raise RequestError(
            f"target {target.name!r}: folder = {level}, but {len(shallow)} images lie in fewer folders below "
            f"{fixed.rstrip('/') or '.'!r}: {some(shallow)}"
        )
    return folders.str[level - 1]


def _tell_depths(target: str, depths: pd.Series, log: Log | None) -> None:
    """Say which folder was taken where it is not the only one."""
    least, most = depths.min(), depths.max()
    if log is None or most == 1:
        return
    where = f"in {most} folders" if least == most else f"in {least} to {most} folders"
    text = f"target {target!r}: images lie {where}, and folder = true is the innermost; folder = 1 is the outermost"
    if least == most:
        log.say(f"data: {text}")
    else:
        log.warn(text)
