"""The tables of a raw folder that can be read, and which of them is the sample submission."""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.data.readers import image_endings
from pipeline.data.sample import NAMES, PACKED, USUAL, find_sample
from pipeline.data.tables import read_table
from pipeline.errors import RequestError
from pipeline.looking.files import Files

LARGEST = 4 << 30  # bytes of a table that is looked into
HALF = 0.5
SAYS_TEST = re.compile(r"(?<![a-z])(test|eval|holdout|unlabell?ed|private|public)", re.I)
SAYS_TRAIN = re.compile(r"train|(?<![a-z])labels?(?![a-z])", re.I)
SAYS_SAMPLE = re.compile(r"sample|submi|benchmark", re.I)


@dataclass(frozen=True)
class Table:
    """A table with its path below the raw folder; `header` is whether its first row names the columns."""

    name: str
    rows: pd.DataFrame
    header: bool = True
    long: dict[str, Any] | None = None  # how its rows of ids and names were taken apart, as the file says it

    @property
    def columns(self) -> list[str]:
        return list(map(str, self.rows.columns))

    def cells(self, column: str) -> pd.Series:
        """A column without blanks around its cells."""
        return self.rows[column].str.strip()

    @property
    def said_test(self) -> bool:
        return bool(SAYS_TEST.search(self.name))


def read_tables(files: Files) -> tuple[list[Table], list[str]]:
    """Tables of at least one row, and in words what could not be read."""
    found, refused = [], []
    for name in files.tables:
        path = files.raw / name
        if path.stat().st_size > LARGEST:
            refused.append(f"{name} is too large to look into")
            continue
        try:
            rows = read_table(path, name)
        except RequestError as error:
            refused.append(_short(str(error), str(path)))
            continue
        if len(rows) and rows.shape[1]:
            found.append(_without_header(files, name) if _no_names(rows) else Table(name, rows))
    return found, refused


def sample_of(files: Files, tables: list[Table]) -> Table | None:
    """The sample submission: by its usual name, else the one table that is called so."""
    usual = find_sample(files.raw, USUAL)
    if usual is not None:
        return next((table for table in tables if table.name == usual.name), None)
    named = [table for table in tables if _is_called_sample(table.name)]
    named = named or [table for table in tables if SAYS_SAMPLE.search(table.name.rpartition("/")[2])]
    return named[0] if named else None


def _is_called_sample(name: str) -> bool:
    last = name.rpartition("/")[2].lower()
    for ending in PACKED:
        last = last.removesuffix(ending)
    return bool(NAMES.fullmatch(re.sub(r"[ _-]", "", last)))


def _no_names(rows: pd.DataFrame) -> bool:
    """Whether what should be names of columns is the first row of a table without a header: numbers, or an image."""
    names = list(map(str, rows.columns))
    if any(name.lower().endswith(tuple(image_endings())) for name in names):
        return True
    plain = pd.Series(names).str.replace(r"\.\d+$", "", regex=True)  # of names that are there twice
    numbers = pd.to_numeric(plain, errors="coerce").notna()
    written = names[names[0] in ("", "Unnamed: 0") :]  # with numbers for names, behind those of rows
    counted = written == [str(k) for k in range(len(written))]
    return bool(len(names) > 1 and numbers.iloc[:2].any() and numbers.mean() >= HALF) and not counted


def _without_header(files: Files, name: str) -> Table:
    rows = read_table(files.raw / name, name, header=False)
    return Table(name, rows.rename(columns=str), header=False)


def _short(text: str, path: str) -> str:
    text = text.replace(path, "it", 1)
    return text if len(text) <= 160 else f"{text[:157]}..."
