"""coco: one JSON object with lists of images, annotations and categories, as in COCO, iNaturalist, iWildCam, Herbarium.

A row is an image with all that is known of it: its own keys, those of its annotation, and of the category and any other
list (regions, institutions, ...) that an id of either names, with that list's word before them: `category_name`. An
image with annotations of several categories has a row for each; boxes of one category are one row. Then keys of an
annotation that are no ids (area, count) are left out, for they are those of a part. What is neither text nor number
(boxes, outlines) is left out always.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.layouts import Layout
from pipeline.data.layouts.json_records import decoder, is_lines, unpacked
from pipeline.data.text import Unreadable

IMAGES = re.compile(rb'"images"\s*:\s*\[\s*\{')
OTHERS = re.compile(rb'"(image_id|file_name)"\s*:')
ROW = "\x1frow"  # a column that no file has
Records = Sequence[Mapping[str, Any]]


class Coco(Layout):
    """Lists in one object, joined by the ids in them."""

    def fits(self, name: str, text: bytes) -> bool:
        if not unpacked(name).endswith(".json") or text[:64].lstrip()[:1] != b"{" or not IMAGES.search(text):
            return False
        return OTHERS.search(text) is not None and not is_lines(text)

    def read(self, text: bytes, header: bool, separator: str | None) -> pd.DataFrame:
        lists = _lists(text)
        table = _frame(lists["images"])
        key = _key(table, "image", "images")
        if table[key].duplicated().any():
            again = table[key][table[key].duplicated()].iloc[0]
            raise Unreadable(f"its images have the {key} {again!r} more than once")
        if lists.get("annotations"):
            table = _annotated(table, key, _frame(lists["annotations"]))
        return _named(table, lists)

    def lines(self, text: bytes, header: bool, separator: str | None, rows: Sequence[int]) -> list[int]:
        return [row + 1 for row in rows]  # which row: they may all be in one line


def _lists(text: bytes) -> dict[str, Records]:
    """The lists of objects in the one object."""
    try:
        whole = decoder.decode(text.decode())
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON: {error}") from None
    found = {key: value for key, value in whole.items() if isinstance(value, list)}
    for key in ("images", "annotations", "categories"):
        odd = next((n for n, entry in enumerate(found.get(key, ()), 1) if not isinstance(entry, dict)), None)
        if odd is not None:
            raise Unreadable(f"entry {odd} of its {key} is no JSON object")
    if not found.get("images"):
        raise Unreadable("its list of images is empty")
    return {key: value for key, value in found.items() if value and isinstance(value[0], dict)}


def _frame(records: Records) -> pd.DataFrame:
    """Records as text, without what is neither text nor number."""
    keys = dict.fromkeys(key for record in records for key in record)
    columns = {key: [record.get(key) for record in records] for key in keys}
    nested = [key for key, values in columns.items() if any(isinstance(value, (list, dict)) for value in values)]
    return pd.DataFrame({key: _texts(values) for key, values in columns.items() if key not in nested}, dtype=str)


def _texts(values: Iterable[Any]) -> list[str]:
    return [value if isinstance(value, str) else "" if value is None else json.dumps(value) for value in values]


def _key(table: pd.DataFrame, word: str, where: str) -> str:
    """The column of ids of a list of images, categories, ...: id, or image_id."""
    for key in (f"{word}_id", "id"):
        if key in table.columns:
            return key
    raise Unreadable(f"its {where} have neither 'id' nor '{word}_id', but {', '.join(table.columns)}")


def _annotated(images: pd.DataFrame, key: str, annotations: pd.DataFrame) -> pd.DataFrame:
    """The images with their annotations: a row for each of different ids."""
    if "image_id" not in annotations.columns:
        raise Unreadable(f"its annotations have no 'image_id', but {', '.join(annotations.columns)}")
    rows = pd.Index(images[key]).get_indexer(pd.Index(annotations["image_id"]))
    if (rows < 0).any():
        unknown = annotations["image_id"][rows < 0]
        raise Unreadable(
            f"{len(unknown)} of its annotations are of images that it does not list, such as {unknown.iloc[0]}"
        )
    own = {name: name if name not in images.columns and name != "id" else f"annotation_{name}" for name in annotations}
    cells = annotations.drop(columns="image_id").rename(columns=own)
    places = np.full(len(images), -1)
    places[rows] = np.arange(len(rows))
    if len(rows) == (places >= 0).sum():
        return _beside(images, cells, places)
    ids = [own[name] for name in annotations.columns if name.endswith("_id") and name != "image_id"]
    parts = cells[ids].assign(**{ROW: rows}).drop_duplicates().sort_values(ROW, kind="stable")
    bare = pd.DataFrame({ROW: np.flatnonzero(places < 0)})
    parts = pd.concat([parts, bare]).fillna("").sort_values(ROW, kind="stable", ignore_index=True)
    table = images.iloc[parts[ROW].to_numpy()].reset_index(drop=True)
    return pd.concat([table, parts[ids]], axis=1)


def _named(table: pd.DataFrame, lists: Mapping[str, Records]) -> pd.DataFrame:
    """With what other lists say of the ids in the table: category_id is an entry of categories."""
    for column in [name for name in table.columns if name.endswith("_id")]:
        word = column.removesuffix("_id")
        records = _list_of(word, lists)
        if records is None:
            continue
        entries = _frame(records)
        key = column if column in entries.columns else "id"
        if key not in entries.columns or entries[key].duplicated().any():
            continue
        names = {name: f"{word}_{name}" for name in entries.columns if name != key}
        fresh = [name for name in names if names[name] not in table.columns]
        places = pd.Index(entries[key]).get_indexer(pd.Index(table[column]))
        unknown = table[column][(places < 0) & (table[column] != "").to_numpy()]
        if len(unknown):
            raise Unreadable(
                f"{len(unknown)} of its rows have a {column} that it does not list, such as {unknown.iloc[0]}"
            )
        table = _beside(table, entries[fresh].rename(columns=names), places)
    return table


def _list_of(word: str, lists: Mapping[str, Records]) -> Records | None:
    """The list of categories for category; of genera, by the key in it, for genus."""
    for name in (f"{word}s", f"{word[:-1]}ies", word):
        if name in lists and name not in ("images", "annotations"):
            return lists[name]
    own = [name for name, records in lists.items() if f"{word}_id" in records[0]]
    own = [name for name in own if name not in ("images", "annotations")]
    return lists[own[0]] if len(own) == 1 else None


def _beside(table: pd.DataFrame, cells: pd.DataFrame, places: np.ndarray) -> pd.DataFrame:
    """The table with the rows of `cells` at `places` beside it; blank where that is -1."""
    found = {}
    for name in cells.columns:
        values = cells[name].to_numpy(dtype=object)[places]
        values[places < 0] = ""
        found[name] = values
    return pd.concat([table, pd.DataFrame(found, index=table.index, dtype=str)], axis=1)


ENTRY = Coco()
