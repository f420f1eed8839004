"""The box of each row, from columns of the table that names it."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.boxes import CUT, EMPTY, SIDES
from pipeline.data.tables import need_column
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.targets.classes import some
from pipeline.vision.beside import bad_in_words, for_test, stripped
from pipeline.vision.data_config import ImageData


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
    cells = stripped(table, data.box)
    whole = (cells == "").all(axis=1)
    if not _is_box(cells[~whole]).all():
        count, said = bad_in_words(raw, data, table, name, data.box, _are_none)
        raise RequestError(
            f"data.box: {count} rows of {name} hold no box in {', '.join(data.box)}: {said}; expected left, top, width "
            "and height in pixels, or all four blank"
        )
    if log is not None and whole.any():
        log.say(f"data: {int(whole.sum()):,} of {len(table):,} rows of {name} have no box: the whole image is taken")
    return _sides(cells, data.box_margin)


def boxes_of_test(
    raw: Path, data: ImageData, table: pd.DataFrame, name: str | None, log: Log | None = None
) -> dict[str, pd.Series]:
    """As `boxes_of`, for test images named by a table, or by a folder where `name` is None."""
    if data.box is None:
        return {}
    return boxes_of(raw, data, *for_test(raw, data, table, name, data.box, "data.box", log), log)


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


def _are_none(cells: pd.DataFrame) -> np.ndarray:
    return ~_is_box(cells) & ~(cells == "").all(axis=1).to_numpy()
