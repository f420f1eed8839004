"""Forms of the sample's columns: a label, a probability of each class or of one, the best few, a number."""

import itertools
import re
from collections.abc import Sequence
from typing import Any

from pipeline.looking.answers import Answer, Asked
from pipeline.looking.sample import Sample

NOTHING = re.compile(r"^(cover|normal|healthy|none|negative|no_.*|no finding|background|benign|0|0\.0|false)$", re.I)
YES = ("1", "1.0", "true", "yes")


def classes_in(asked: Sequence[str], classes: Sequence[str]) -> dict[str, str] | None:
    """The class that each of the sample's columns is called by, all with one beginning or end; None where none is."""
    known = set(classes)
    if len(asked) < 2 or len(known) < 2:
        return None
    start, end = _shared(asked), _shared([name[::-1] for name in asked])
    ways = [("", ""), *((start[:k], "") for k in range(len(start), 0, -1))]
    ways += [("", end[:k][::-1]) for k in range(len(end), 0, -1)]
    for before, behind in ways:
        named = {name: name[len(before) : len(name) - len(behind)] for name in asked}
        held = {name: label for name, label in named.items() if label in known}
        if len(held) == len(asked) or (len(held) > 2 and len(held) >= 0.9 * len(asked)):
            return held
    return None


def _shared(names: Sequence[str]) -> str:
    """What all begin with."""
    pairs = zip(min(names), max(names), strict=False)
    return "".join(one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def probabilities_asked(answer: Answer, columns: dict[str, str]) -> Asked:
    """A column for each class."""
    said: dict[str, Any] = {}
    name, label = next(iter(columns.items()))
    if name != label:
        before = name.removesuffix(label)
        star = f"{before}*" if name.endswith(label) else f"*{name.removeprefix(label)}"
        said = {star: f"{answer.name}/*"}
    return Asked([answer], "probabilities", said, "a column for each class")


def labels_asked(answer: Answer, column: str, sample: Sample, others: Sequence[str]) -> Asked:
    """What one column holds of a target, by its cells in the sample."""
    cells, constant = sample.cells(column), sample.constant(column)
    found = Asked([answer], "label", {column: answer.name}, others=others)
    if answer.is_number:
        found.form = "number"
        return found
    ranks = sample.ranked(column, answer.classes) if answer.is_class else 0
    if ranks:
        return _ranked(found, column, ranks)
    words = not set(cells) & set(answer.classes) and sample.numbers(column) is not None and not _numbers(answer.classes)
    if words or (sample.probable([column]) and not set(cells) <= set(answer.classes)):
        return _one_probability(found, column, f"the sample's cells are {constant or 'numbers'}")
    if len(answer.classes) == 2 and constant in ("0", "0.0") and set(answer.classes) <= {"0", "1", "0.0", "1.0"}:
        found = _one_probability(found, column, "every cell of the sample is 0: a probability, or the class 0?")
        found.sure = False
        return found
    found.why = "its cells are classes" if len(cells) and set(cells) <= set(answer.classes) else ""
    return found


def _numbers(classes: Sequence[str]) -> bool:
    return all(re.fullmatch(r"-?\d+(\.\d+)?", label) for label in classes)


def _ranked(found: Asked, column: str, ranks: int) -> Asked:
    found.form, found.ranks = "ranked", ranks
    found.why = f"{ranks} answers in a cell of the sample, the likeliest first"
    found.columns = {column: {"target": found.answers[0].name, "form": "best", "k": ranks}}
    return found


def _one_probability(found: Asked, column: str, why: str) -> Asked:
    """The probability of one class: of two, that which says yes; of more, of any but the one that says no."""
    answer, name = found.answers[0], found.answers[0].name
    found.form, found.why = "probabilities", why
    classes = list(answer.classes)
    none = [label for label in classes if NOTHING.match(label)]
    if len(classes) == 2:
        yes = [label for label in classes if label.lower() in YES] or [
            c for c in classes if c.lower() == column.lower()
        ]
        label = yes[0] if yes else next((c for c in classes if c not in none), classes[-1])
        found.sure = bool(yes or none)
        if not found.sure:
            label = classes[-1]
            found.why = f"{why}: of {label}, or of {classes[0]}?"
        found.columns = {column: f"{name}/{label}"}
    elif none:
        found.columns, found.sure = {column: f"{name}:complement/{none[0]}"}, False
        found.why = f"{why}: that it is not {none[0]}?"
    else:
        found.sure = False
        found.why = f"{why}: of which of the {len(classes)} classes?"
        found.columns = {column: f"{name}/{classes[-1]}"}
    return found
