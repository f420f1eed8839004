"""Which columns of a training table are labels, by what the sample asks for and by what the test table lacks."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import pandas as pd

from pipeline.errors import RequestError
from pipeline.looking.answers import Answer, Asked, target_name
from pipeline.looking.forms import YES, classes_in, labels_asked, probabilities_asked
from pipeline.looking.sample import Sample
from pipeline.looking.tables import Table
from pipeline.looking.values import NAMES_CLASS, is_mark, values_of

CALLED_LABEL = re.compile(
    r"^(labels?|targets?|class|classes|category|tags?|y|answer|diagnosis|(class|category|label|species)_?id)$", re.I
)
NEVER = re.compile(
    r"path|file|url|date|time|width|height|fold|split|license|rights|source|author|user|bbox|box|_x$|_y$|^unnamed|"
    r"description|annotation|institution|region|patient|subject|location|site|seq|frame|orientation|latitude|longitude|height|camera",
    re.I,
)


def asked_of(train: Table, ids: Sequence[str], sample: Sample | None, test: Table | None) -> Asked:
    """What the sample asks of the columns of `train`; `ids` are columns that name rows and files."""
    own = [column for column in train.columns if column not in ids]
    if sample is None:
        return _unasked(train, own, test)
    asked = sample.asked
    said = [column for column in asked if column in own]
    if said and len(said) == len(asked):
        return _by_name(train, said, sample, _beside(own, said, test))
    spread = _as_classes(train, own, sample)
    if spread is not None:
        return spread
    if len(asked) == 1:
        return _only(train, own, asked[0], sample, test)
    if said:
        found = _by_name(train, said, sample, _beside(own, said, test))
        missing = [column for column in asked if column not in said]
        found.doubts.append(f"the sample's columns {', '.join(missing[:4])} have no namesake in {train.name}")
        return found
    found = _unasked(train, own, test)
    found.doubts.append(
        f"the sample's columns ({', '.join(asked[:4])}, ...) are neither columns nor classes that were found"
    )
    return found


def _by_name(train: Table, said: list[str], sample: Sample, others: list[str]) -> Asked:
    """Columns of the table that the sample has too."""
    cells = {column: train.cells(column) for column in said}
    if len(said) > 1 and all(is_mark(column) for column in cells.values()):
        return _marks(train, said, others)
    answers = []
    for column in said:
        values = values_of(column, cells[column], sample.cells(column) if len(sample.cells(column)) else None)
        answers.append(Answer.of(target_name(column), column, values, len(train.rows)))
    if len(answers) > 1:
        # Columns that are called as those of the table fill themselves.
        return Asked(answers, "number" if answers[0].is_number else "label", others=others)
    return labels_asked(answers[0], said[0], sample, others)


def _marks(train: Table, said: list[str], others: list[str]) -> Asked:
    """A column of 0 and 1 for each class: of one class a row, or of any number."""
    marks = pd.DataFrame({column: train.cells(column).str.lower() for column in said})
    sums = marks.isin(YES).sum(axis=1)
    exclusive = bool((sums == 1).all())
    why = "one of them is 1 in every row" if exclusive else f"{sums.min()} to {sums.max()} of them are 1 in a row"
    kind, name = ("category", "label") if exclusive else ("multilabel", "labels")
    answer = Answer(name, kind, {"column": said}, f"columns of 0 and 1; {why}", tuple(said), rows=len(train.rows))
    return Asked([answer], "probabilities", {}, "columns are called as the classes", others=others)


def _as_classes(train: Table, own: list[str], sample: Sample) -> Asked | None:
    """The sample's columns as classes of a column of the table."""
    found = []
    for column in own:
        values = values_of(column, train.cells(column))
        columns = classes_in(sample.asked, values.classes) if values.classes else None
        if columns is not None:
            found.append((len(values.classes) != len(sample.asked), values, column, columns))
    if not found:
        return None
    _, values, column, columns = min(found, key=lambda entry: (entry[0], own.index(entry[2])))
    answer = Answer.of(target_name(column), column, values, len(train.rows))
    return probabilities_asked(answer, columns)


def _only(train: Table, own: list[str], asked: str, sample: Sample, test: Table | None) -> Asked:
    """One column, which has no namesake: which column of the table may be meant."""
    cells = sample.cells(asked)
    marks = _mark_columns(train, own, test)
    if len(marks) > 2 and sample.numbers(asked) is not None and len(marks) == len(_candidates(train, own, test)):
        return _listed_marks(train, marks, asked, sample)
    if not own:
        raise_nothing(train)
    ranked = {column: _fit(train, column, asked, cells, test) for column in own}
    if sample.ranked(asked):  # of thousands of classes, as a rule
        ranked[max(own, key=lambda column: train.cells(column).nunique() if ranked[column] > 0 else 0)] += 2
    best = max(own, key=lambda column: (ranked[column], -own.index(column)))
    values = values_of(best, train.cells(best), cells if len(cells) else None)
    alike = [column for column in own if ranked[column] >= ranked[best] - 1 and column != best]
    answer = Answer.of(target_name(best), best, values, len(train.rows), sure=not alike)
    if alike:
        answer = _doubted(answer, alike)
    return labels_asked(answer, asked, sample, _beside(own, [best], test))


def _doubted(answer: Answer, alike: list[str]) -> Answer:
    return replace(answer, why=f"{answer.why}; or is it {' or '.join(alike[:3])}?")


def _listed_marks(train: Table, marks: list[str], asked: str, sample: Sample) -> Asked:
    found = _marks(train, marks, [])
    return labels_asked(found.answers[0], asked, sample, [])


def _mark_columns(train: Table, own: list[str], test: Table | None) -> list[str]:
    return [column for column in _candidates(train, own, test) if is_mark(train.cells(column))]


def _candidates(train: Table, own: list[str], test: Table | None) -> list[str]:
    """Columns that the test table lacks; all where there is none."""
    lacking = [column for column in own if test is None or column not in test.columns]
    return lacking or own


def _fit(train: Table, column: str, asked: str, cells: pd.Series, test: Table | None) -> float:
    """How well a column fits what a column of the sample is called and holds."""
    found = train.cells(column)
    classes = set(found.unique())
    plain, wanted = _plain(column), _plain(asked)
    score = (
        4.0 * (plain == wanted) + 2.0 * (wanted in plain or plain in wanted) + 2.0 * bool(CALLED_LABEL.match(column))
    )
    score += 1.0 * bool(NAMES_CLASS.search(column)) - 4.0 * bool(NEVER.search(column))
    if test is not None:
        score += 4.0 if column not in test.columns else -6.0
    parts = {part for cell in cells.unique()[:200] for part in (cell, *cell.split())}
    score += 2.0 * bool(parts & classes)
    if len(classes) < 2:
        score -= 8
    numbers = pd.to_numeric(found, errors="coerce").notna().all()
    if len(classes) == len(found) and (not numbers or re.search(r"id$", column, re.I)):
        score -= 6  # each has its own: it names rows
    return score


def _unasked(train: Table, own: list[str], test: Table | None) -> Asked:
    """Without a sample: columns that the test table lacks; else the one that is called a label, or the last."""
    open_ones = [column for column in _candidates(train, own, test) if train.cells(column).nunique() > 1]
    marks = [column for column in open_ones if is_mark(train.cells(column))]
    if len(marks) > 2 and len(marks) >= len(open_ones) - 1:
        return _marks(train, marks, [])
    if len(open_ones) > 1 and all(train.cells(column).nunique() == 2 for column in open_ones):
        return _each(train, open_ones)
    scores = {column: _fit(train, column, "label", pd.Series(dtype=str), test) for column in open_ones}
    if not scores:
        raise_nothing(train)
    best = max(open_ones, key=lambda column: (scores[column], open_ones.index(column) == 0))
    values = values_of(best, train.cells(best))
    others = [column for column in open_ones if column != best and not NEVER.search(column)]
    answer = Answer.of(target_name(best), best, values, len(train.rows), sure=len(open_ones) == 1)
    if len(open_ones) > 1 and not CALLED_LABEL.match(best):
        answer = _doubted(answer, others)
    return Asked([answer], "number" if answer.is_number else "label", others=others)


def _each(train: Table, columns: list[str]) -> Asked:
    """A target of each of several columns."""
    found = [Answer.of(target_name(c), c, values_of(c, train.cells(c)), len(train.rows), sure=False) for c in columns]
    return Asked(found)


def raise_nothing(train: Table) -> NoReturn:
    raise RequestError(f"{train.name} has no column that could be a label; it has {', '.join(train.columns)}")


def _beside(own: list[str], chosen: list[str], test: Table | None) -> list[str]:
    """Other columns that the test table lacks: labels that may be learnt beside."""
    held = set() if test is None else set(test.columns)
    return [column for column in own if column not in chosen and column not in held and not NEVER.search(column)]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
