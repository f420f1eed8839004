"""The box of each row, from columns of the table that names it."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.boxes import CUT, EMPTY, SIDES
from pipeline.data.tables import lines_of, need_column, read_table
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.targets.classes import some
from pipeline.vision.config import ImageData


def boxes_of(
    raw: Path, data: ImageData, table: pd.DataFrame, name: str, log: Log | None = None
) -> dict[str, pd.Series]:
    """The manifest's columns `SIDES`, row for row with a table of that name; none where no box is said.

    Blank cells mean the whole image, which is said in the log. Raises RequestError, with lines, for other cells that
    are no numbers, and for boxes without width or height.
    """
    if data.box is None:
        return {}
    for column in data.box:
        need_column(table, column, name, "data.box")
    cells = table[list(data.box)].apply(lambda column: column.str.strip())
    whole = (cells == "").all(axis=1)
    if not _is_box(cells[~whole]).all():
        raise RequestError(_bad_cells(raw, data, name))
    if log is not None and whole.any():
        log.say(f"data: {int(whole.sum()):,} of {len(table):,} rows of {name} have no box: the whole image is taken")
    return _sides(cells, data.box_margin)


def boxes_of_test(
    raw: Path, data: ImageData, table: pd.DataFrame, name: str | None, log: Log | None = None
) -> dict[str, pd.Series]:
    """As `boxes_of`, for test images named by a table, or by a folder where `name` is None.

    What does not stand there is looked up by id in data.table. Raises RequestError where it is not there either.
    """
    if data.box is None or (name is not None and set(data.box) <= set(table.columns)):
        return boxes_of(raw, data, table, name or "", log)
    known = read_table(raw / str(data.table), "data.table", separator=data.separator)
    by_id = known.drop_duplicates(data.id).set_index(data.id)
    missing = table[data.id][~table[data.id].isin(by_id.index)]
    if len(missing):
        shown = ", ".join(data.box)
        raise RequestError(
            f"data.box: test images need boxes too, and {f'{name} has no' if name else 'a folder has no'} columns "
            f"{shown}, nor has {data.table} a row for {some(missing)}; data.test_table names the table that has them"
        )
    return boxes_of(raw, data, by_id.loc[table[data.id]].reset_index(drop=True), str(data.table), log)


def refuse_empty(rows: pd.DataFrame, cuts: pd.Series, widths: pd.Series, heights: pd.Series) -> None:
    """Raise RequestError for boxes in which no pixel of their image is. `rows` of the manifest."""
    bad = np.flatnonzero((cuts == EMPTY).to_numpy())
    if not len(bad):
        return
    first = rows.iloc[bad[0]]
    left, top, right, bottom = (first[side] for side in SIDES[:4])
    raise RequestError(
        f"data.box: {len(bad)} boxes lie outside of their image: {some(rows['id'].iloc[bad])}; {first['id']} says "
        f"x {left:g} to {right:g}, y {top:g} to {bottom:g}, and {first['path']} is {widths.iloc[bad[0]]} x "
        f"{heights.iloc[bad[0]]} pixels; data.box is left, top, width, height"
    )


def counts_of(rows: pd.DataFrame, facts: pd.DataFrame) -> dict[str, int]:
    """Readable rows that are cut, those of these that reach beyond their image with their margin, whole ones."""
    readable = facts["readable"].to_numpy(bool)
    left, top, right, bottom, margin = rows[list(SIDES)].to_numpy(float)[readable].T
    width, height = (facts[side].to_numpy()[readable] for side in ("width", "height"))
    beyond = (left < margin) | (top < margin) | (right + margin > width) | (bottom + margin > height)
    whole = int((facts[CUT].to_numpy()[readable] == "").sum())
    return {"cut": int(readable.sum()) - whole, "beyond": int(beyond.sum()), "whole": whole}


def _is_box(cells: pd.DataFrame) -> np.ndarray:
    numbers = cells.apply(lambda column: pd.to_numeric(column, errors="coerce")).to_numpy(float)
    return np.asarray(np.isfinite(numbers).all(axis=1) & (numbers[:, 2:] > 0).all(axis=1))


def _sides(cells: pd.DataFrame, margin: float) -> dict[str, pd.Series]:
    x, y, width, height = (pd.to_numeric(cells[name], errors="coerce").astype(float) for name in cells.columns)
    around = margin * width.where(width > height, height)
    return dict(zip(SIDES, (x, y, x + width, y + height, around), strict=True))


def _bad_cells(raw: Path, data: ImageData, name: str) -> str:
    """In words, which rows of a table, as it is in the file, hold no box."""
    cells = read_table(raw / name, "data.box", separator=data.separator)[list(data.box or ())]
    cells = cells.apply(lambda column: column.str.strip())
    bad = np.flatnonzero(~_is_box(cells) & ~(cells == "").all(axis=1).to_numpy())
    lines = lines_of(raw / name, bad[:3].tolist(), separator=data.separator)
    shown = ", ".join(
        f"({', '.join(cell or 'blank' for cell in cells.iloc[row])}) in line {line}"
        for row, line in zip(bad, lines, strict=False)
    )
    return (
        f"data.box: {len(bad)} rows of {name} hold no box in {', '.join(cells.columns)}: {shown}"
        f"{', ...' if len(bad) > len(lines) else ''}; expected left, top, width and height in pixels, or all four blank"
    )
