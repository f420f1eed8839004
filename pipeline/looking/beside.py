"""Tables of users and items beside a table of ratings: a row each, by an id that the ratings hold."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.looking.tables import Table

USER = re.compile(
    r"^(user|reader|customer|member|reviewer|who|uid|person|people|client|visitor|listener|player|consumer|u$)", re.I
)
ITEM = re.compile(
    r"^(item|movie|film|book|anime|song|track|artist|product|isbn|game|joke|business|restaurant|recipe|profile|beer|hotel|"
    r"asin|iid|title_?id|course|show|place|m_?id|i$)",
    re.I,
)
CALLED = {"user": USER, "item": ITEM}
TITLE = re.compile(r"title|name", re.I)
HELD = 0.5  # the part of the ids that such a table must have


@dataclass(frozen=True)
class Side:
    """A table with its column of ids, and for items the one of titles."""

    table: Table
    id: str
    title: str | None = None


def side_in(tables: Sequence[Table], key: str, ratings: Table, column: str) -> Side | None:
    """The table of users, or of items (`key`), whose ids are those in a column of the ratings."""
    ids, found = set(ratings.rows[column]), []
    for table in tables:
        if table.header != ratings.header or len(table.columns) < 2:
            continue
        for name in table.columns if table.header else table.columns[:1]:
            named = not table.header or _alike(name, column, key)
            held = len(ids & set(table.rows[name])) / len(ids) if named else 0.0
            if held > HELD and not table.rows[name].duplicated().any():
                found.append(((_says(table.name, key), held), table, name))
    if not found:
        return None
    _, table, name = max(found, key=lambda entry: entry[0])
    return Side(table, name, _title(table, name) if key == "item" else None)


def _title(table: Table, id_column: str) -> str | None:
    if table.header:
        return next((name for name in table.columns if TITLE.search(name) and name != id_column), None)
    words = (c for c in table.columns[1:] if pd.to_numeric(table.rows[c], errors="coerce").isna().mean() > 0.9)
    return next(words, None)


def _alike(column: str, other: str, key: str) -> bool:
    return column.lower() in (other.lower(), "id") or bool(CALLED[key].search(column))


def _says(name: str, key: str) -> bool:
    last = name.rpartition("/")[2]
    return bool(CALLED[key].search(last) or last.endswith(f".{key}"))
