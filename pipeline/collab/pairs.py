"""User and item in one cell, as "r{user}_c{item}" says it: taken apart, and put together."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from pipeline.errors import RequestError

PART = re.compile(r"\{(user|item)(?::((?:[^{}]|\{[\d,]+\})+))?\}")  # {user}, or {user:\d+}: what an id is made of
EXAMPLE = "as in pair = 'r{user}_c{item}', or pair = '{user:[0-9]+}_{item}' where an id may hold what lies between"


def check_pattern(pattern: str) -> str:
    """The pattern. Raises ValueError unless it names user and item once each, with something between them."""
    parts = list(PART.finditer(pattern))
    if sorted(part[1] for part in parts) != ["item", "user"] or re.search(r"[{}]", PART.sub("", pattern)):
        raise ValueError(f"{pattern!r} should hold {{user}} and {{item}} once each, {EXAMPLE}")
    if not pattern[parts[0].end() : parts[1].start()] and not (parts[0][2] or parts[1][2]):
        raise ValueError(f"{pattern!r} has nothing between user and item; {EXAMPLE}")
    try:
        _compiled(pattern, "?")
    except re.error as error:
        raise ValueError(f"{pattern!r}: not a regular expression: {error}") from None
    return pattern


def matches(cells: pd.Series, pattern: str) -> pd.Series:
    """Which cells (n,) hold a pair."""
    return cells.str.strip().str.fullmatch(_compiled(pattern, "?"))


def apart(cells: pd.Series, pattern: str, where: str) -> pd.DataFrame:
    """User and item of each cell. Raises RequestError, naming rows, for cells that hold none, or could hold two."""
    cells = cells.str.strip()
    held = matches(cells, pattern).to_numpy(dtype=bool)
    if not held.all():
        bad = np.flatnonzero(~held)
        shown = ", ".join(f"{cells.iloc[row]!r} in row {row}" for row in bad[:3])
        raise RequestError(f"data.pair: {len(bad)} of {len(cells)} rows of {where} are not as {pattern!r}: {shown}")
    shortest, longest = (_split(cells, pattern, more) for more in ("?", ""))
    unclear = np.flatnonzero((shortest != longest).any(axis=1))
    if len(unclear):
        row = unclear[0]
        ways = " or ".join(
            f"user {way['user'].iloc[row]!r} and item {way['item'].iloc[row]!r}" for way in (shortest, longest)
        )
        raise RequestError(
            f"data.pair: {cells.iloc[row]!r} in row {row} of {where} may be {ways}; say what an id is made of, "
            "such as pair = '{user:[0-9]+}_{item}'"
        )
    return shortest


def together(users: Iterable[str], items: Iterable[str], pattern: str) -> list[str]:
    """A cell of each pair."""
    form = PART.sub(lambda part: "{" + part[1] + "}", pattern)
    return [form.format(user=user, item=item) for user, item in zip(users, items, strict=True)]


def _split(cells: pd.Series, pattern: str, more: str) -> pd.DataFrame:
    return cells.str.extract(f"^(?:{_compiled(pattern, more).pattern})$")[["user", "item"]]


def _compiled(pattern: str, more: str) -> re.Pattern[str]:
    """`more` behind `.+` tells whether what comes first takes as little or as much as it can."""
    texts, end = [], 0
    for part in PART.finditer(pattern):
        texts += [re.escape(pattern[end : part.start()]), f"(?P<{part[1]}>{part[2] or '.+' + more})"]
        end = part.end()
    return re.compile("".join([*texts, re.escape(pattern[end:])]))
