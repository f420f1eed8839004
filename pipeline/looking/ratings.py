"""Rating competitions: which table says who rated what how, and the tables of users and items beside it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from pipeline.looking.beside import ITEM, USER, Side, side_in
from pipeline.looking.sample import Sample
from pipeline.looking.tables import Table

RATING = re.compile(r"rating|stars|^score|^rate|^prediction|^value|^grade|points|overall|preference", re.I)
TIME = re.compile(r"time|date|^when|^ts$", re.I)
PAIR = re.compile(r"^(\D*?)(\d+)(\D+?)(\d+)(\D*)$")  # r44_c1, 12_345
FOLD_FILES = re.compile(r"^(.*\D)([1-9])(\.test)$")


@dataclass
class Rated:
    """Columns are names, or numbers where the table has no header."""

    table: Table
    keys: dict[str, str]  # user, item, rating, timestamp -> column
    pair: str | None = None  # the pattern of a column of pairs, which is keys["pair"]
    test: Table | None = None
    test_columns: dict[str, str] = field(default_factory=dict)
    items: Side | None = None
    users: Side | None = None
    folds: tuple[str, int] | None = None
    sure: bool = True
    own_ids: str | None = None

    def column(self, key: str) -> str | int:
        """As the file says it."""
        name = self.keys[key]
        return name if self.table.header else int(name)


def rated_in(tables: Sequence[Table], sample: Sample | None) -> Rated | None:
    """The table of ratings with what lies beside it; None where there is none."""
    others = list(tables)
    found = [(table, keys) for table in others if (keys := _keys(table)) is not None]
    if not found:
        return None
    table, keys = max(found, key=lambda entry: _order(entry[0]))
    rated = Rated(table, keys, sure=table.header)
    if "pair" in keys:
        rated.pair = _pair_pattern(table.cells(keys["pair"]))
        rated.sure = False
    rated.test = _asked(table, keys, others)
    if rated.test is None:
        rated.test, rated.test_columns = _asked_otherwise(others)
    if rated.test is None and sample is not None and _pairs(keys) <= set(sample.table.columns):
        rated.test = sample.table  # which names users and items itself
    rest = [other for other in others if other is not table and other is not rated.test]
    if "item" in keys:
        rated.items = side_in(rest, "item", table, keys["item"])
    if "user" in keys:
        taken = None if rated.items is None else rated.items.table
        rated.users = side_in([other for other in rest if other is not taken], "user", table, keys["user"])
    rated.folds = _published(table, others)
    if sample is not None:
        rated.own_ids = sample.id
    return rated


def _order(table: Table) -> tuple[object, ...]:
    name = table.name.rpartition("/")[2].lower()
    said = "rating" in name or "train" in name or name in ("u.data", "data.csv")
    return not table.said_test, said, len(table.rows)


def _keys(table: Table) -> dict[str, str] | None:
    return _named(table) if table.header else _numbered(table)


def _named(table: Table) -> dict[str, str] | None:
    """By names: the first column for each of user, item and rating."""
    found: dict[str, str] = {}
    ways = (("user", USER), ("item", ITEM), ("rating", RATING), ("timestamp", TIME))
    for key, called in ways:
        fitting = [column for column in table.columns if called.search(column) and column not in found.values()]
        fitting.sort(
            key=lambda column: not re.search(r"id$|^user$|^item$", column, re.I) if key in ("user", "item") else 0
        )
        if key == "rating":
            fitting = [column for column in fitting if _numbers(table, column)]
        if fitting:
            found[key] = fitting[0]
    if {"user", "item", "rating"} <= found.keys():
        repeats = table.rows[found["user"]].duplicated().any() and table.rows[found["item"]].duplicated().any()
        return found if repeats else None
    return _paired(table, found)


def _paired(table: Table, found: dict[str, str]) -> dict[str, str] | None:
    """User and item in one column, such as r44_c1."""
    if len(table.columns) > 4:
        return None
    pairs = [column for column in table.columns if _pair_pattern(table.cells(column)) is not None]
    ratings = [column for column in table.columns if column not in pairs and _numbers(table, column)]
    if len(pairs) != 1 or not ratings:
        return None
    times = {"timestamp": found["timestamp"]} if "timestamp" in found else {}
    rest = [column for column in ratings if column not in times.values()]
    return {"pair": pairs[0], "rating": rest[0], **times} if rest else None


def _pair_pattern(cells: pd.Series) -> str | None:
    """The pattern of ids that hold two numbers, both of which repeat."""
    matches = [PAIR.match(cell) for cell in cells.head(2000)]
    if not matches or not all(matches):
        return None
    forms = {(match[1], match[3], match[5]) for match in matches if match}
    users, items = ([match[k] for match in matches if match] for k in (2, 4))
    if len(forms) != 1 or len(set(users)) == len(users) or len(set(items)) == len(items):
        return None
    before, between, behind = forms.pop()
    return f"{before}{{user}}{between}{{item}}{behind}"


def _numbered(table: Table) -> dict[str, str] | None:
    """Without a header: two columns of ids that repeat, then numbers of few values; large ones are a time."""
    if not 3 <= len(table.columns) <= 6:
        return None
    user, item, rating = table.columns[:3]
    cells = [table.rows[column] for column in (user, item)]
    if not all(each.duplicated().any() and each.nunique() > 1 for each in cells) or not _numbers(table, rating):
        return None
    if table.rows[rating].nunique() > 30:
        return None
    found = {"user": user, "item": item, "rating": rating}
    for column in table.columns[3:]:
        numbers = pd.to_numeric(table.rows[column], errors="coerce")
        if numbers.notna().all() and numbers.min() > 1e8:
            found["timestamp"] = column
            break
    return found


def _numbers(table: Table, column: str) -> bool:
    return bool(pd.to_numeric(table.rows[column], errors="coerce").notna().mean() > 0.95)


def _asked(table: Table, keys: dict[str, str], others: Sequence[Table]) -> Table | None:
    """The table with pairs to predict."""
    if not table.header:
        return None
    found = [other for other in others if other is not table and other.header and _pairs(keys) <= set(other.columns)]
    lacking = [other for other in found if keys["rating"] not in other.columns]
    said = [other for other in found if other.said_test]
    return next(iter([*[t for t in lacking if t.said_test], *lacking, *said]), None)


def _pairs(keys: dict[str, str]) -> set[str]:
    """The columns that name a pair."""
    return {keys[key] for key in ("user", "item", "pair") if key in keys}


def _asked_otherwise(others: Sequence[Table]) -> tuple[Table | None, dict[str, str]]:
    """The test table with names of its own for users and items."""
    for table in others:
        user, item = (next(filter(called.search, table.columns), None) for called in (USER, ITEM))
        if table.said_test and table.header and user is not None and item is not None:
            return table, {"user": user, "item": item}
    return None, {}


def _published(table: Table, others: Sequence[Table]) -> tuple[str, int] | None:
    """Files of held-out rows, numbered from 1, beside the table of ratings."""
    folder = table.name.rpartition("/")[0]
    found: dict[str, set[int]] = {}
    for other in others:
        match = FOLD_FILES.match(other.name.rpartition("/")[2])
        if match and other.name.rpartition("/")[0] == folder:
            found.setdefault(f"{match[1]}{{k}}{match[3]}", set()).add(int(match[2]))
    for pattern, numbers in found.items():
        if len(numbers) > 1 and numbers == set(range(1, len(numbers) + 1)):
            return pattern, len(numbers)
    return None
