"""Tables as text: reading one of any of the usual layouts, and what to say where there is none."""

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.data.layouts import layout_of
from pipeline.data.text import text_of
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.registry import meant

HEAD = 1 << 18  # bytes that show the names of columns
LONG = 64 << 20  # bytes of a file that is not read for the names of its columns alone
TABLE = re.compile(r"\.(csv|tsv|txt|json|jsonl|ndjson)(\.(zip|gz|bz2|xz|7z))?$")


def read_table(
    path: Path,
    key: str,
    header: bool = True,
    separator: str | None = None,
    encoding: str | None = None,
    log: Log | None = None,
) -> pd.DataFrame:
    """A table as text, nothing taken for missing but empty cells; columns are numbered without a header.

    Its encoding, layout and separator are found out (`separator`, `encoding`: as the file says them). `key` names the
    setting that names the table; `log` is told of a text that was taken for Latin-1. Raises RequestError if it cannot
    be read, with the first line that does not fit the header.
    """
    try:
        text, latin = text_of(path, encoding)
        table = layout_of(path.name, text).read(text, header, separator)
    except FileNotFoundError:
        raise RequestError(f"{key}: no file at {path}{neighbours(path)}") from None
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise RequestError(f"{key}: {path} is not a readable CSV ({error})") from error
    if latin is not None and log is not None:
        log.say(f"data: {path.name} is not UTF-8; read as Latin-1, such as {latin!r} (data.encoding says another)")
    return table


def header_of(path: Path, separator: str | None = None, encoding: str | None = None) -> list[str]:
    """Names of a table's columns, by its first lines where they show them; none of what is no table."""
    for most in (HEAD, None):
        try:
            if most is None and path.stat().st_size > LONG:
                break
            text = text_of(path, encoding, most).content
            return list(map(str, layout_of(path.name, text).read(text, True, separator).columns))
        except (OSError, ValueError, pd.errors.ParserError):
            continue
    return []


def tables_in(folder: Path) -> list[str]:
    """Names of the files in a folder that are called as tables are."""
    if not folder.is_dir():
        return []
    found = [entry for entry in os.scandir(folder) if entry.name[0] != "." and entry.is_file()]
    return sorted(entry.name for entry in found if TABLE.search(entry.name.lower()))


def lines_of(
    path: Path, rows: Sequence[int], header: bool = True, separator: str | None = None, encoding: str | None = None
) -> list[int]:
    """In which lines of a table, which can be read, these rows begin: for messages."""
    text = text_of(path, encoding).content
    return layout_of(path.name, text).lines(text, header, separator, rows)


def need_column(table: pd.DataFrame, column: str, where: str, key: str, also: str = "", otherwise: str = "") -> None:
    """Raise RequestError, with the columns that there are, unless the table has this one.

    `key` is the setting that names it; `also` is said behind the columns, `otherwise` where none of them is near.
    """
    if column not in table.columns:
        known = list(map(str, table.columns))
        hint = meant(column, known) or otherwise
        raise RequestError(f"{key}: {where} has no column {column!r}; it has {', '.join(known)}{also}{hint}")


def each_once(table: pd.DataFrame, ids: pd.Series) -> pd.DataFrame:
    """Of rows that are equal in every cell the first, with its number in the index; others of an id stay."""
    return table[~table.duplicated()] if ids.duplicated().any() else table


def copies_in_words(key: str, name: str, before: int, after: int) -> str:
    """What to warn of where `each_once` left rows out."""
    return f"{key}: {before - after} of {before} rows of {name} are there already, cell for cell; each is taken once"


def neighbours(path: Path) -> str:
    """What lies where a missing path was looked for."""
    while not path.parent.is_dir():
        path = path.parent
    names = sorted(entry.name for entry in path.parent.iterdir() if not entry.name.startswith("."))
    near = difflib.get_close_matches(path.name, names, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; {path.parent} holds {', '.join(names[:6]) or 'nothing'}{', ...' if len(names) > 6 else ''}"
