"""Competitions whose pixels are numbers in a table: a column each, or all of an image in one cell."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipeline.looking.pictures import Pictures
from pipeline.looking.rows import test_table_of
from pipeline.looking.sample import Sample
from pipeline.looking.sides import Sides
from pipeline.looking.tables import SAYS_TRAIN, Table

LEAST = 64  # numbers of an image
TRIED = 5  # rows


@dataclass(frozen=True)
class Pixels:
    """`said` are the columns as the file names them, `columns` all that they are; of `numbers` a channel."""

    said: tuple[str, ...]
    columns: tuple[str, ...]
    numbers: int
    shape: tuple[int, int] | None = None  # where a cell has rows of its own

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width: a square if it can be one, else as near to it as there are whole numbers for."""
        height = next(side for side in range(math.isqrt(self.numbers), 0, -1) if self.numbers % side == 0)
        return self.shape or (height, self.numbers // height)

    @property
    def square(self) -> bool:
        return self.shape is not None or self.sides[0] == self.sides[1]


def sides_of_cells(tables: Sequence[Table], sample: Sample | None) -> tuple[Sides, Pixels, Pictures] | None:
    """Both sides by the tables that hold pixels; None where none does."""
    held = [(table, found) for table in tables if (found := pixels_of(table)) is not None]
    trains = [entry for entry in held if not entry[0].said_test or SAYS_TRAIN.search(entry[0].name)]
    if not trains:
        return None
    train, pixels = max(trains, key=lambda entry: _trains(entry[0]))
    alike = [table for table, found in held if table is not train and found.said == pixels.said]
    test = test_table_of(train, alike, sample)
    own = _id_of(train, test, sample)
    if own not in train.columns:
        train = replace(train, rows=train.rows.assign(**{own: [str(row + 1) for row in range(len(train.rows))]}))
    sides = Sides(own, "", [], train, used={own, *pixels.columns})
    sides.why = f"{pixels.numbers:,} numbers a row are its pixels"
    if test is not None:
        sides.test, sides.why_test = test.name, "a table of the same pixels"
        if sample is not None and sample.id != sides.id:
            sides.id_in_sample = sample.id
    sides.doubts += [
        f"{other.name} holds pixels too, and its rows are left out" for other in alike if other is not test
    ]
    height, width = pixels.sides
    return sides, pixels, Pictures(height, width, True, 1)


def pixels_of(table: Table) -> Pixels | None:
    """The columns of a table that hold pixels: whole channels in cells, else numbered ones of a number each."""
    rows = table.rows.head(TRIED)
    shapes = {column: shape for column in table.columns if (shape := _shape_of(rows[column])) is not None}
    if shapes:
        shape = next(iter(shapes.values()))
        columns = tuple(column for column, own in shapes.items() if own == shape)
        return Pixels(columns, columns, math.prod(shape), (shape[0], shape[1]) if len(shape) == 2 else None)
    stems: dict[str, list[str]] = defaultdict(list)
    for column in table.columns:
        stems[re.sub(r"\d+(x\d+)?$", "", column)].append(column)
    stem, columns = max(stems.items(), key=lambda entry: len(entry[1]))
    if not stem or len(columns) < LEAST or not _numbers(rows[columns]):
        return None
    return Pixels((f"{stem}*",), tuple(columns), len(columns))


def _trains(table: Table) -> tuple[object, ...]:
    return bool(SAYS_TRAIN.search(table.name.rpartition("/")[2])), len(table.columns), len(table.rows)


def _id_of(train: Table, test: Table | None, sample: Sample | None) -> str:
    """The column of ids, which may be the test table's alone; without one, as the sample calls the numbers of rows."""
    there = set(train.columns) if test is None else set(test.columns)
    if sample is not None and (sample.id in there or test is None or set(test.columns) <= set(train.columns)):
        return sample.id
    if sample is None or test is None:
        return "id"
    asked = set(sample.ids.head(200))
    return next((column for column in test.columns if asked <= set(test.rows[column])), sample.id)


def _shape_of(cells: pd.Series) -> tuple[int, ...] | None:
    """How many numbers a cell of a channel has; None for cells that are none."""
    shapes = {_shape(cell) for cell in cells}
    return shapes.pop() if len(shapes) == 1 else None


def _shape(cell: str) -> tuple[int, ...] | None:
    try:
        value = json.loads(cell) if cell.lstrip()[:1] == "[" else re.split(r"[\s,;]+", cell.strip())
        numbers = np.array(value, dtype=np.float64)
    except (ValueError, TypeError):
        return None
    return numbers.shape if numbers.size >= LEAST and numbers.ndim in (1, 2) else None


def _numbers(cells: pd.DataFrame) -> bool:
    return bool(cells.apply(pd.to_numeric, errors="coerce").notna().all(axis=None))
