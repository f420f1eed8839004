"""Arrays in a table's cells: written out once as .npy files below the workspace, which are the images from then on.

A column holds all the numbers of a channel (`band_1`: a list in JSON, or text with blanks between), or a pattern such
as `pixel*` names columns of one number each.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from pipeline.data.layouts import layout_of
from pipeline.data.layouts.json_records import JsonRecords, cell, each_record
from pipeline.data.tables import need_column
from pipeline.data.text import Unreadable, text_of
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.vision.data_config import ImageData
from pipeline.vision.tables import TEST, read_one
from pipeline.workspace import ARRAYS, META, atomic_folder

AT_ONCE = 1000  # rows


def read_arrays(raw: Path, data: ImageData, name: str, key: str, log: Log | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ids and paths of the images in a table, written out, and its other columns, row for row.

    `key` is the setting that names the table, whose last word is that of the folder. Without a column of ids the rows
    are numbered from 1. Raises RequestError for cells that are no such arrays.
    """
    place = Path(META) / ARRAYS / key.rpartition(".")[2]
    kept: list[dict[str, str]] = []
    rows: list[tuple[str, str]] = []
    known: dict[tuple[str, ...], tuple[list[list[str]], list[str]]] = {}  # by the keys of records, mostly the same
    with atomic_folder(raw / place) as making:
        making.mkdir()
        for number, record in enumerate(_records(raw, name, key, data, log), 1):
            if tuple(record) not in known:
                columns = _columns(data.arrays or [], list(record), name)
                taken = {column for group in columns for column in group}
                known[tuple(record)] = columns, [column for column in record if column not in taken]
            columns, others = known[tuple(record)]
            kept.append({column: cell(record[column]) for column in others})
            own = kept[-1].get(data.id, str(number))
            try:
                array = _array([[record[column] for column in group] for group in columns], data.array_shape)
            except ValueError as error:
                raise RequestError(f"data.arrays: {own!r}, row {number} of {name}: {error}") from None
            file = f"{quote(own, safe='')}.npy"
            np.save(making / file, array)
            rows.append((own, f"{place.as_posix()}/{file}"))
    names = list(dict.fromkeys(column for row in kept for column in row))
    table = pd.DataFrame({column: [row.get(column, "") for row in kept] for column in names}, dtype=str)
    if data.id not in table.columns:
        table = table.assign(**{data.id: [own for own, _ in rows]})
        if log is not None:
            log.say(f"data: {name} has no column {data.id!r}; its rows are numbered from 1")
    return pd.DataFrame(rows, columns=["id", "path"]), table


def columns_beside(raw: Path, data: ImageData, name: str, key: str) -> pd.DataFrame:
    """The other columns of a table of images, row for row, and no image written out."""
    taken: dict[tuple[str, ...], set[str]] = {}  # by the keys of records, mostly the same
    kept: list[dict[str, str]] = []
    for number, record in enumerate(_records(raw, name, key, data, None), 1):
        if tuple(record) not in taken:
            groups = _columns(data.arrays or [], list(record), name)
            taken[tuple(record)] = {column for group in groups for column in group}
        others = {column: cell(record[column]) for column in record if column not in taken[tuple(record)]}
        kept.append({data.id: str(number), **others})
    return pd.DataFrame(kept, dtype=str).fillna("")


def _records(raw: Path, name: str, key: str, data: ImageData, log: Log | None) -> Iterator[Mapping[str, Any]]:
    """Rows by their columns; of JSON one at a time: lists of numbers take many times the room of their text."""
    try:
        text = text_of(raw / name, data.encoding).content
        if isinstance(layout_of(name, text), JsonRecords):
            yield from each_record(text)
            return
    except (OSError, Unreadable):  # which is told by the reader of tables
        pass
    table = read_one(raw, data, name, key if name == data.table else TEST, log)
    names = [str(name) for name in table.columns]
    for start in range(0, len(table), AT_ONCE):  # as Python's own text: pandas' rows come cell by cell
        for row in table.iloc[start : start + AT_ONCE].to_numpy(dtype=object).tolist():
            yield dict(zip(names, row, strict=True))


def _columns(said: Sequence[str], there: Sequence[str], name: str) -> list[list[str]]:
    """The columns of each channel."""
    found = []
    for pattern in said:
        own = [column for column in there if fnmatchcase(column, pattern)] if "*" in pattern else []
        if not own:
            need_column(pd.DataFrame(columns=list(there)), pattern, name, "data.arrays")
        found.append(own or [pattern])
    return found


def _array(channels: Sequence[Sequence[Any]], shape: tuple[int, int] | None) -> np.ndarray:
    """float32 (height, width) of one channel, else (channels, height, width). Raises ValueError for what is none."""
    planes = [_plane(cells[0] if len(cells) == 1 else list(cells), shape) for cells in channels]
    if len({plane.shape for plane in planes}) > 1:
        raise ValueError(f"its channels have the shapes {' and '.join(str(plane.shape) for plane in planes)}")
    return planes[0] if len(planes) == 1 else np.stack(planes)


def _plane(value: Any, shape: tuple[int, int] | None) -> np.ndarray:
    if isinstance(value, str):
        value = json.loads(value) if value.strip()[:1] == "[" else re.split(r"[\s,;]+", value.strip())
    try:
        numbers = np.array(
            [list(map(float, one)) if isinstance(one, list) else float(one) for one in value], np.float32
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"no numbers ({error})") from None
    if numbers.ndim == 2 and shape in (None, numbers.shape):
        return numbers
    side = math.isqrt(numbers.size)
    if shape is None and (numbers.ndim != 1 or side * side != numbers.size):
        raise ValueError(f"{numbers.size} numbers are no square; say data.array_shape = [height, width]")
    height, width = shape or (side, side)
    if numbers.size != height * width:
        raise ValueError(f"{numbers.size} numbers are no {height} rows of {width}")
    return numbers.reshape(height, width)
