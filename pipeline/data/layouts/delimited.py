"""delimited: a row a line, its cells between commas, semicolons, tabs, bars, colons or blanks.

The separator is the one by which all rows have as many cells as the header, not the first that occurs. Rows longer or
shorter than the header are refused, for their cells cannot be told from those of the next column; a separator at the
end of every row is passed over.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.layouts import Layout
from pipeline.data.shape import BLANKS, LF, QUOTE, Shape, shape_of, unclosed
from pipeline.data.text import Unreadable

USUAL = ("\t", "::", ",", ";", "|")  # where several fit equally well, the first of them
HEAD = 1 << 16  # bytes that the separator is chosen by
# Lines before a table: MatrixMarket's and KONECT's begin with %, others with #; #id is the name of a column.
COMMENTS = re.compile(rb"(?:[ \t]*\r?\n|(?:%%|[%#]+(?=\s))[^\n]*(?:\n|\Z))*")
STAND_INS = "\x1f\x1e\x1d\x1c\x02\x01"  # one of them, for a separator of several characters
PANDAS: dict[str, dict[str, Any]] = {
    "doubled": {},
    "escaped": {"escapechar": "\\"},
    "plain": {"quoting": csv.QUOTE_NONE},
}


@dataclass(frozen=True)
class Form:
    """Text with a separator of one character, as it is read, and that separator as it is written."""

    text: bytes
    separator: str
    written: str
    shape: Shape

    def line(self, record: int) -> int:
        """The number of a record's first line, from 1."""
        before = self.text[: int(self.shape.starts[record])]
        return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")

    def shown(self, record: int) -> str:
        """A record as it is written, cut to what fits in a message."""
        low, high = int(self.shape.starts[record]), int(self.shape.ends[record])
        said = self.text[low:high][:400].decode(errors="replace").replace(self.separator, self.written)
        return said if len(said) <= 80 else f"{said[:77]}..."


class Delimited(Layout):
    """Text with a separator."""

    def fits(self, name: str, text: bytes) -> bool:
        return True

    def read(self, text: bytes, header: bool, separator: str | None) -> pd.DataFrame:
        form = _form_of(text, header, separator)
        if not len(form.shape.starts):
            raise Unreadable("it has no rows")
        surplus = _refuse_ragged(form, header)
        table = _parsed(form, header, surplus)
        if len(table) != len(form.shape.starts) - header:
            raise Unreadable(
                f"it has {len(form.shape.starts)} lines of cells, but {len(table)} rows; are quotes closed?"
            )
        return _without_trailing(table, form, header)

    def lines(self, text: bytes, header: bool, separator: str | None, rows: Sequence[int]) -> list[int]:
        form = _form_of(text, header, separator)
        return [form.line(row + header) for row in rows]


def _form_of(text: bytes, header: bool, said: str | None) -> Form:
    """The form by the separator that is said, or that fits best."""
    found = COMMENTS.match(text)
    skipped = found.end() if found else 0
    separator = said or _best(_head(text, skipped), header, skipped)
    form = _formed(text, separator, header, skipped)
    if form is None:
        place = unclosed(text, separator[0], skipped) or text.find(b'"')
        line = 1 + text.count(b"\n", 0, place)
        shown = text[place : place + 60].split(b"\n")[0].decode(errors="replace")
        raise Unreadable(f"line {line} opens a quote that is not closed: {shown}; close it, or take it out")
    return form


def _formed(text: bytes, separator: str, header: bool, skipped: int) -> Form | None:
    read, several = separator, separator != BLANKS and len(separator.encode()) > 1
    if several:
        read = next(mark for mark in STAND_INS if mark.encode() not in text)
        text = text[:skipped] + text[skipped:].replace(separator.encode(), read.encode())
    shape = shape_of(text, read, header, skipped, literal=several)
    return None if shape is None else Form(text, read, separator, shape)


def _head(text: bytes, skipped: int) -> bytes:
    """The first records, cut at a line break that is not within quotes."""
    head = text[: skipped + HEAD]
    if len(head) == len(text):
        return text
    buffer = np.frombuffer(head, np.uint8)
    breaks = np.flatnonzero(buffer == LF)
    quotes = np.flatnonzero(buffer == QUOTE)
    outside = breaks[np.searchsorted(quotes, breaks) % 2 == 0]
    return head[: int(outside[-1]) + 1] if len(outside) else head


def _best(head: bytes, header: bool, skipped: int) -> str:
    """The separator by which the head has the most even rows of two cells and more; a comma where none has."""
    scores = {}
    for separator in (*USUAL, BLANKS):
        form = _formed(head, separator, header, skipped) if separator.encode() in head or separator == BLANKS else None
        if form is not None and form.shape.usual(header) > 1:
            scores[separator] = (form.shape.share(header), form.shape.usual(header))
    blanks, _ = scores.pop(BLANKS, (0.0, 0))
    even = {separator: cells for separator, (share, cells) in scores.items() if share == 1}
    if even:
        return max(even, key=lambda separator: even[separator])
    nearly = max(scores, key=lambda separator: scores[separator][0]) if scores else ","
    return BLANKS if blanks == 1 and (not scores or scores[nearly][0] < 0.5) else nearly


def _refuse_ragged(form: Form, header: bool) -> int:
    """How many separators too many are at the end of every row. Raises Unreadable for rows of other lengths."""
    cells, usual = form.shape.cells, form.shape.usual(header)
    odd = np.flatnonzero(cells != usual)
    if not len(odd):
        return 0
    rows = cells[1:]
    surplus = int(rows[0]) - usual
    if header and surplus > 0 and (rows == rows[0]).all() and _ends_empty(form, surplus):
        return surplus
    first = int(odd[0])
    names = f"its header names {usual}" if header else f"most rows have {usual}"
    raise Unreadable(
        f"line {form.line(first)} has {cells[first]} cells, {names} ({len(odd)} of {len(cells)} lines differ): "
        f"{form.shown(first)!r}; quote cells that hold {_named(form.written)}, or complete the header"
    )


def _ends_empty(form: Form, surplus: int) -> bool:
    """Whether each row ends in that many separators, so that nothing but empty cells is too much."""
    if form.separator == BLANKS:
        return False
    buffer, mark = np.frombuffer(form.text, np.uint8), ord(form.separator)
    return all((buffer[form.shape.ends[1:] - 1 - back] == mark).all() for back in range(surplus))


def _parsed(form: Form, header: bool, surplus: int) -> pd.DataFrame:
    """The cells by pandas, which now can do nothing but split each record into as many."""
    start = int(form.shape.starts[0])
    if form.shape.quoting == "loose":
        return _by_csv(form, header, surplus)
    options = {
        "sep": r"\s+" if form.separator == BLANKS else form.separator,
        "dtype": str,
        "keep_default_na": False,
        "encoding": "utf-8",
        "engine": "c",
        **PANDAS[form.shape.quoting],
    }
    if not surplus:
        text = io.BytesIO(form.text[start:] if start else form.text)
        return pd.read_csv(text, header=0 if header else None, index_col=False, **options)
    names = pd.read_csv(io.BytesIO(form.text[start : int(form.shape.ends[0])]), index_col=False, **options).columns
    rows = io.BytesIO(form.text[int(form.shape.starts[1]) :])
    table = pd.read_csv(rows, header=None, index_col=False, **options)
    return table.iloc[:, : len(names)].set_axis(names, axis=1)


def _by_csv(form: Form, header: bool, surplus: int) -> pd.DataFrame:
    text = form.text[int(form.shape.starts[0]) :].decode()
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=form.separator) if any(row)]
    names = pd.read_csv(io.StringIO(",".join(f'"{name}"' for name in rows[0]))).columns if header else None
    width = len(rows[0])
    return pd.DataFrame([row[:width] for row in rows[header:]], columns=names, dtype=str)


def _without_trailing(table: pd.DataFrame, form: Form, header: bool) -> pd.DataFrame:
    """Without columns that have neither a name nor a cell, behind a separator at the end of every line."""
    first = form.text[int(form.shape.starts[0]) : int(form.shape.ends[0])]
    while header and table.shape[1] > 1 and form.separator != BLANKS and first.endswith(form.separator.encode()):
        if not (table.iloc[:, -1] == "").all():
            break
        table, first = table.iloc[:, :-1], first[: -len(form.separator.encode())]
    return table


def _named(separator: str) -> str:
    return {"\t": "a tab", BLANKS: "blanks"}.get(separator, repr(separator))


ENTRY = Delimited()
