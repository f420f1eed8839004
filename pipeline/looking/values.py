"""What the cells of a column are: yes and no, classes, grades, tags, numbers."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

SEPARATORS = ("|", ";", ",", " ")
FEW = 20  # whole numbers of up to so many values are classes
SKEWED = 10  # times the median
MANY_CLASSES = 2000  # so many texts, each once or twice, are no classes
NAMES_CLASS = re.compile(
    r"(^|[_ -])(class(es)?|label|category|cat|species|breed|type|kind|id|code|target|family|genus|diagnosis|variety|"
    r"disease|(has|is)[_ -].*)($|[_ -])",
    re.I,
)
NAMES_NUMBER = re.compile(
    r"age|count|num(ber)?|score|price|weight|height|width|length|area|popularity|percent|ratio|mean|rate|amount|"
    r"quantity|years?|months?|density|volume|depth|temperature|yield|mass|_g$|_mm$|_cm$|total",
    re.I,
)
NAMES_GRADE = re.compile(r"diagnosis|grade|level|severity|stage|isup|quality|rating|stars|score", re.I)
YES_NO = ({"0", "1"}, {"0.0", "1.0"}, {"true", "false"}, {"yes", "no"}, {"0"}, {"0.0"}, {"1"}, {"1.0"})


@dataclass(frozen=True)
class Values:
    """`kind` is binary, category, multilabel or regression; `sure` is whether cells and name leave no other."""

    kind: str
    classes: tuple[str, ...]
    why: str
    sure: bool = True
    separator: str = ""
    graded: bool = False
    skewed: bool = False  # numbers from 0 up, the largest far above most


def values_of(column: str, cells: pd.Series, asked: pd.Series | None = None) -> Values:
    """What a column of labels holds; `asked` are the cells of the sample that stand for it."""
    cells = cells[cells != ""]
    counts = Counter(cells.tolist())
    numbers = pd.to_numeric(pd.Series(list(counts), dtype=object), errors="coerce")
    if len(counts) == 2 and (numbers.isna().any() or set(numbers) == {0, 1}):
        return Values("binary", _ordered(counts), "two values")
    if len(numbers) and numbers.notna().all():
        return _numeric(column, counts, numbers, asked)
    separator = separator_in(counts, set() if asked is None else set(asked))
    if separator is not None:
        tags = {part.strip() for cell in counts for part in _split(cell, separator)} - {""}
        return Values("multilabel", _ordered(tags), f"{len(tags)} tags, several in a cell", separator=separator)
    sure = len(counts) <= max(MANY_CLASSES, len(cells) // 3)
    return Values("category", _ordered(counts), f"{len(counts):,} values", sure)


def _numeric(column: str, counts: Counter[str], numbers: pd.Series, asked: pd.Series | None) -> Values:
    """Numbers: classes by number, grades, or quantities."""
    classes, distinct = _ordered(counts), len(counts)
    whole = bool((numbers % 1 == 0).all())
    repeated = sum(counts.values()) / max(distinct, 1)
    if not whole:
        skewed = bool(numbers.min() >= 0 and numbers.max() > SKEWED * numbers.median())
        return Values("regression", (), f"{distinct:,} numbers with decimals", skewed=skewed)
    if asked is not None and has_fractions(asked):
        return Values(
            "regression", (), f"whole numbers, and the sample has others ({asked.iloc[0]})", sure=distinct > 2
        )
    span = numbers.max() - numbers.min() + 1
    if distinct <= FEW:
        graded = distinct > 2 and bool(NAMES_GRADE.search(column)) and span == distinct
        sure = not NAMES_NUMBER.search(column) or graded
        return Values("category", classes, f"{distinct} whole numbers", sure, graded=graded)
    if NAMES_NUMBER.search(column) and not re.search(r"(^|_)(id|class|label|category)$", column, re.I):
        return Values("regression", (), f"{distinct:,} whole numbers, called as a quantity")
    if NAMES_CLASS.search(re.sub(r"([a-z])([A-Z])", r"\1_\2", column)) and (repeated >= 2 or distinct > FEW):
        return Values("category", classes, f"{distinct:,} whole numbers, called as a class")
    return Values("regression", (), f"{distinct:,} whole numbers: a quantity, or kind = category?", sure=False)


def separator_in(counts: Counter[str], asked: Collection[str] = ()) -> str | None:
    """What stands between the tags of cells: it makes fewer names out of them than there are cells.

    `asked` are cells of the sample: a tag that is no cell by itself shows that cells hold several.
    """
    for separator in SEPARATORS:
        tags = {cell: _split(cell, separator) for cell in counts}
        several = [cell for cell, names in tags.items() if len(names) > 1]
        parts = {name for names in tags.values() for name in names}
        lengths = {len(names) for names in tags.values()}
        if not several:
            continue
        new = [set(_split(cell, separator)) for cell in asked if cell not in counts]
        if any(names <= parts for names in new) or all(part.isdigit() for part in parts):
            return separator
        fewer = len(parts) < len(counts) + (separator != " ")
        alone = [cell for cell in several if set(tags[cell]) & (set(counts) - {cell})]
        if (separator == "|" and fewer) or (len(lengths) > 1 and (fewer or len(alone) > len(several) / 2)):
            return separator
    return None


def looks_listed(cells: pd.Series, classes: Collection[str]) -> int:
    """How many classes a cell of the sample ranks, separated by blanks; 0 where it is one."""
    known, tried = set(classes), cells.head(200)
    if set(tried) <= known or any(" " in label for label in known):
        return 0
    counts = {len(cell.split()) for cell in tried}
    most = max(counts, default=0)
    held = any(part in known for cell in tried for part in cell.split())
    return most if len(counts) == 1 and (most > 2 or (most == 2 and held)) else 0


def has_fractions(cells: pd.Series) -> bool:
    """Whether all cells are numbers, some with decimals."""
    numbers = pd.to_numeric(cells, errors="coerce")
    return bool(numbers.notna().all() and (numbers % 1 != 0).any())


def _split(cell: str, separator: str) -> list[str]:
    parts = cell.split() if separator == " " else [part.strip() for part in cell.split(separator)]
    return [part for part in parts if part]


def _ordered(classes: Counter[str] | set[str]) -> tuple[str, ...]:
    def natural(label: str) -> tuple[float, str]:
        return (float(label), "") if re.fullmatch(r"-?\d+(\.\d+)?", label) else (float("inf"), label)

    return tuple(sorted(classes, key=natural))


def is_mark(cells: pd.Series) -> bool:
    """Whether cells are yes or no: a column that is one class."""
    return {cell.lower() for cell in cells.unique()} - {""} in YES_NO
