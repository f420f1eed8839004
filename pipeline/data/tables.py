"""Tables as text: reading a CSV, and what to say where there is none."""

import difflib
from pathlib import Path

import pandas as pd

from pipeline.errors import RequestError


def read_table(path: Path, what: str) -> pd.DataFrame:
    """A CSV as text, nothing taken for missing but empty cells. Raises RequestError if it cannot be read."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise RequestError(f"{what}: no file at {path}{neighbours(path)}") from None
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise RequestError(f"{what}: {path} is not a readable CSV ({error})") from error


def neighbours(path: Path) -> str:
    """What lies where a missing path was looked for."""
    while not path.parent.is_dir():
        path = path.parent
    names = sorted(entry.name for entry in path.parent.iterdir() if not entry.name.startswith("."))
    near = difflib.get_close_matches(path.name, names, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; {path.parent} holds {', '.join(names[:6]) or 'nothing'}{', ...' if len(names) > 6 else ''}"
