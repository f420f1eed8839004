"""How the rows of a table name image files: `train/{id}.*`, `train/{label}/{id}`, found by trying a few rows."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from pipeline.looking.files import Files, ending_of, folder_of
from pipeline.looking.opened import opened
from pipeline.looking.tables import SAYS_TEST, Table

TRIED, FIRST = 200, 25  # rows whose files are looked up; those that show whether a column names files at all
NAMED = 0.5  # the part of the rows tried that a column must name files for
NO_PICTURES = re.compile(r"mask|annot|segment|depth|thumb|overlay|heatmap|ground.?truth|crop|preview|sample", re.I)
PLAIN = (".jpg", ".jpeg", ".png")  # of the same picture in several formats, those that are read as they are
FOLDERS_TRIED, WAYS = 8, 64  # files of one cell that are tried, and patterns of one file
CHANNELS = ("red", "green", "blue", "r", "g", "b")
Look = Callable[[str, Files], list[str]]  # from a cell to files that it may mean
LETTERS = 3  # of an id that may each be a folder: train/0/1/2/012ab.jpg


@dataclass(frozen=True)
class Pattern:
    """A pattern of image files with the column that names them, and the part of the tried rows that it fits."""

    column: str
    text: str
    share: float
    beside: tuple[str, ...] = ()  # patterns of further files of the same image
    of_folder: bool = False  # whose files are the images of one row

    @property
    def files(self) -> str | list[str]:
        """As the file says it: one pattern, or one for each file of an image."""
        return [self.text, *self.beside] if self.beside else self.text

    @property
    def folder(self) -> str:
        """What stands before the first field."""
        return folder_of(self.text.split("{", 1)[0])

    @property
    def fields(self) -> list[str]:
        return re.findall(r"\{([^{}\[]*)[^{}]*\}", self.text)

    def named(self, old: str, new: str) -> "Pattern":
        """With another name for a field."""
        column = new if self.column == old else self.column
        texts = [
            text.replace(f"{{{old}}}", f"{{{new}}}").replace(f"{{{old}[", f"{{{new}[")
            for text in (self.text, *self.beside)
        ]
        return replace(self, column=column, text=texts[0], beside=tuple(texts[1:]))


def patterns_of(table: Table, files: Files, test: bool, among: Sequence[str] = ()) -> list[Pattern]:
    """What the columns of a table say, the best pattern of each, the best column first; `among` are all that may be.

    Cells that are names of files come before those that are a part of them, and those before names of folders.
    """
    rows = tried(table.rows)
    columns = [column for column in among or table.columns if _usable(column)]
    for look in (_exact, _partly, _inside):
        found = [best for column in columns if (best := _best(rows, column, files, test, look)) is not None]
        if found:
            # Of 400 files 0.png, 1.png, ... a column of five classes names five: it is no column of files.
            counts = {pattern.column: rows[pattern.column].nunique() for pattern in found}
            found = [pattern for pattern in found if 2 * counts[pattern.column] > max(counts.values())]
            return sorted(found, key=lambda pattern: _order(pattern, test))
    return []


def tried(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows from all over a table."""
    step = max(1, len(rows) // TRIED)
    return rows.iloc[::step].head(TRIED)


def _best(rows: pd.DataFrame, column: str, files: Files, test: bool, look: Look) -> Pattern | None:
    if not any(look(cell, files) for cell in rows[column].head(FIRST)):
        return None
    counted: Counter[str] = Counter()
    for row in rows.to_dict("records"):
        cells = {str(name): str(cell) for name, cell in row.items()}
        paths = look(cells[column], files)
        counted.update({text for path in paths[:FOLDERS_TRIED] for text in _texts(path, cells, column)})
    counted = opened(counted, len(rows))
    ways = [Pattern(column, text, count / len(rows)) for text, count in counted.items()]
    best = min(ways, key=lambda pattern: _order(pattern, test), default=None)
    if best is None or best.share < NAMED:
        return None
    return _with_files_beside(best, counted) if look is _partly else replace(best, of_folder=look is _inside)


def _with_files_beside(best: Pattern, counted: Counter[str]) -> Pattern:
    """With patterns that differ from it in one word, for as many rows: `{id}_red.png` and `{id}_green.png`."""
    head, _, name = best.text.rpartition("/")
    form = re.sub(r"[a-z0-9]+(?=\.[a-z]+$)", "*", name, flags=re.I)
    alike = [text for text, count in counted.items() if count == counted[best.text] and text.rpartition("/")[0] == head]
    alike = [
        text for text in alike if re.sub(r"[a-z0-9]+(?=\.[a-z]+$)", "*", text.rpartition("/")[2], flags=re.I) == form
    ]
    alike = [text for text in alike if not NO_PICTURES.search(text)]
    if len(alike) < 2 or "*" not in form:
        return best
    first, *others = sorted(alike, key=_channel)
    return replace(best, text=first, beside=tuple(others))


def _channel(text: str) -> tuple[int, str]:
    """Red, green and blue first: what pretrained weights expect."""
    places = (place for place, colour in enumerate(CHANNELS) if re.search(rf"(?<![a-z]){colour}(?![a-z])", text, re.I))
    return next(places, len(CHANNELS)), text


def _usable(column: str) -> bool:
    """Whether a pattern can name the column."""
    return bool(column) and not re.search(r"[{}!:\[\].]", column)


def _exact(cell: str, files: Files) -> list[str]:
    """Images that a cell names, with or without folders before it or an ending."""
    name = cell.rstrip("/").rpartition("/")[2]
    if not name:
        return []
    paths = [*files.by_name.get(name, ()), *files.by_stem.get(name, ())]
    if "/" not in cell:
        return paths
    plain = cell.removeprefix("./").lstrip("/")
    return [path for path in paths if f"/{path}".rpartition(".")[0].endswith(f"/{plain}") or path.endswith(plain)]


def _partly(cell: str, files: Files) -> list[str]:
    """Images whose name has something before or behind what a cell says."""
    return files.by_part.get(cell, []) if len(cell) > 1 or cell.isdigit() else []


def _inside(cell: str, files: Files) -> list[str]:
    """Folders that are called as a cell, and hold images."""
    return files.folders_by_name.get(cell, [])


def _texts(path: str, row: dict[str, str], column: str) -> Iterator[str]:
    """Patterns that a file's path may be filled from, in the fields of its row."""
    cell = row[column]
    at = path.rfind(cell)
    if at < 0 or "/" in path[at + len(cell) :] or "{" in path or "}" in path:
        return
    head, tail = path[:at], path[at + len(cell) :]
    folders = head.split("/")
    ways = []
    for folder in folders[:-1]:
        named = [f"{{{c}}}" for c, said in row.items() if said == folder and c != column and _usable(c)]
        letters = [f"{{{column}[{k}]}}" for k in range(LETTERS) if cell[k : k + 1] == folder]
        ways.append([folder, *named[:3], *letters])
    for chosen in itertools.islice(itertools.product(*ways), WAYS):
        yield "/".join([*chosen, folders[-1]]) + f"{{{column}}}" + tail


def _order(pattern: Pattern, test: bool) -> tuple[object, ...]:
    """What is likelier meant comes first: more rows, the right side of the split, pictures, few fields."""
    literal = re.sub(r"\{[^{}]*\}", "", pattern.text)
    wrong_side = bool(SAYS_TEST.search(literal)) != test
    before, _, after = pattern.text.rpartition("{")
    tail = after.partition("}")[2]
    ending = ending_of(f"x{tail}")
    changed = bool(before.rpartition("/")[2] or tail.removesuffix(ending))
    return (
        round(-pattern.share, 1),
        wrong_side,
        bool(NO_PICTURES.search(literal)),
        -pattern.share,
        "*" in folder_of(pattern.text),
        changed,
        len(pattern.fields),
        bool(ending) and ending.lower() not in (*PLAIN, ".*"),
        len(pattern.text),
    )
