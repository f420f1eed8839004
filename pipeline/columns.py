"""Columns of a sample submission: what their names say goes into them, and what their cells say against it."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from pipeline.codes import with_class
from pipeline.config import Competition
from pipeline.errors import RequestError
from pipeline.forms import RANKED, Column, Source
from pipeline.metrics.onehot import OneClass
from pipeline.targets import TargetSpec


def spread(said: Mapping[str, Source], sample_columns: Sequence[str], specs: Sequence[TargetSpec]) -> dict[str, Source]:
    """What the file says, and in place of `"*" = "target/*"` each column of the sample that is so called by a class."""
    vocab, found = {spec.name: spec.vocab for spec in specs}, dict[str, Source]()
    held, alike = set(sample_columns), _once(sample_columns)
    for name, source in said.items():
        if "*" not in name:
            found[name] = source
            continue
        labels = vocab.get(Column.of(name, source).target, ())
        plain = _once(labels)
        for label in labels:
            wanted = name.replace("*", label)
            called = wanted if wanted in held else alike.get(_plain(wanted))
            if called is not None and (called == wanted or plain.get(_plain(label)) == label):
                found[called] = with_class(source, label)
    return found


def by_default(
    comp: Competition, sample_columns: Sequence[str], named: Mapping[str, str], specs: Sequence[TargetSpec]
) -> dict[str, Source]:
    """What the names of columns say: those that are `named` as targets, then a class of one target; or the only one.

    A class is called so to the letter, or where that is nobody's name, but for case, blanks and marks.
    """
    found: dict[str, Source] = dict(named)
    exact = {spec.name: {label: label for label in spec.vocab} for spec in specs}
    loose = {spec.name: _once(spec.vocab) for spec in specs}
    for column in sample_columns:
        of_class = [(name, own[column]) for name, own in exact.items() if column in own]
        of_class = of_class or [(name, own[_plain(column)]) for name, own in loose.items() if _plain(column) in own]
        if column not in found and len(of_class) == 1:
            found[column] = "/".join(of_class[0])
    if not found and len(sample_columns) == len(comp.targets) == 1:
        found[sample_columns[0]] = comp.targets[0].name
    return found


def _plain(name: str) -> str:
    """A name without what people spell in two ways: case, blanks, marks between words."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", name).casefold() if letter.isalnum()) or name


def _once(names: Sequence[str]) -> dict[str, str]:
    """Names by how they are called plainly, those that are then still told apart."""
    counts = Counter(map(_plain, names))
    return {_plain(name): name for name in names if counts[_plain(name)] == 1}


def in_form(comp: Competition, column: Column) -> Column:
    """The column in the form that the metric asks for where the file says none: the k likeliest of a ranked one."""
    metric = comp.leaderboard.of.get(column.target)
    if column.form or column.given or column.label is not None or metric is None or not metric.entry.ranked:
        return column
    k = getattr(metric.options, "k", 1)
    return replace(column, form=RANKED, given=(("k", k),)) if k > 1 else column


def refuse_unfit(comp: Competition, columns: Sequence[Column], specs: Sequence[TargetSpec]) -> None:
    """Raise RequestError for a column that cannot be written, or that its metric cannot score."""
    by_name = {spec.name: spec for spec in specs}
    for column in columns:
        metric, key = comp.leaderboard.of.get(column.target), f"submission.columns.{column.name}"
        if metric and metric.entry.needs_probabilities and not column.entry.gives_probabilities:
            raise RequestError(
                f"{key}: metric {metric.name!r} scores probabilities, but this column would "
                f"hold decided classes; give each class a column, such as {column.name} = '{column.target}/CLASS'"
            )
        spec = by_name.get(column.target)
        if spec is None:
            continue
        if column.label is not None:
            column.code(spec)  # raises for a class that there is not
        problem = column.entry.unfit(spec)
        if problem is not None:
            raise RequestError(f"{key}: target {column.target!r} cannot be written as {column.kind!r}: {problem}")
        decision = metric and metric.decision(spec.kind)
        if metric and decision and column.entry.ranks and decision.changes(spec):
            raise RequestError(
                f"{key}: metric {metric.name!r} decides {column.target!r} by thresholds, and what is decided has no "
                f"order to be written in as {column.kind!r}; write {column.name} = '{column.target}:decision', or say "
                "threshold = 0.5 in the metric"
            )


def example(comp: Competition, specs: Sequence[TargetSpec]) -> str:
    """What a column might hold: a probability where the metric scores those."""
    target = comp.targets[0].name
    vocab = next((spec.vocab for spec in specs if spec.name == target), ())
    return f"{target}/{vocab[0]}" if vocab and comp.leaderboard.needs_probabilities else target


def doubts_in(sample: pd.DataFrame, columns: Sequence[Column], specs: Sequence[TargetSpec]) -> list[str]:
    """What the sample's cells say against what would be written; of columns alike the first."""
    by_name, found = {spec.name: spec for spec in specs}, {}
    for column in columns:
        cells = sample[column.name]
        cells = cells[cells.str.strip() != ""]
        doubt = column.entry.doubt(by_name[column.target], cells) if len(cells) else None
        if doubt is not None:
            shown = ", ".join(repr(cell) for cell in cells.unique()[:3].tolist())
            found.setdefault(
                (column.target, column.kind),
                f"submission.columns.{column.name}: the sample's cells ({shown}) {doubt}; is "
                f"{column.name} = '{column.source}' meant?",
            )
    return list(found.values())


def alone(columns: Sequence[Column], spec: TargetSpec) -> Column | None:
    """The only column of a target with more than two classes, of which it then says one against the rest."""
    own = [column for column in columns if column.target == spec.name]
    one = len(own) == 1 and own[0].label is not None and spec.exclusive and len(spec.vocab) > 2
    return own[0] if one else None


def _alone_in_words(comp: Competition, column: Column) -> str | None:
    """Where a metric is of all classes, and the submission says one; None where the metric is of that one too."""
    metric = comp.leaderboard.of.get(column.target)
    turned, options = column.entry.turned, None if metric is None else metric.options
    if metric is None or not isinstance(options, OneClass):
        return None
    key, said = ("against", options.against) if turned else ("of", options.of)
    if said is not None:
        return ""
    return (
        f"submission.columns.{column.name} says {column.label!r} alone, and metric {metric.name!r} is the mean over "
        f"all classes of {column.target!r}; metric = {{ name = '{metric.name}', {key} = '{column.label}' }} is of it"
    )


def classes_left_out(comp: Competition, columns: Sequence[Column], specs: Sequence[TargetSpec]) -> list[str]:
    """Classes without a column where others have one, but for the other one of two."""
    found = []
    for spec in specs:
        one = alone(columns, spec)
        said = None if one is None else _alone_in_words(comp, one)
        if said is not None:
            found += [said] if said else []
            continue
        given = {column.label for column in columns if column.target == spec.name and column.label is not None}
        left = [label for label in spec.vocab if label not in given]
        if given and left and len(spec.vocab) > 2:
            shown = ", ".join(left[:3]) + (", ..." if len(left) > 3 else "")
            found.append(f"submission.columns: {len(left)} classes of {spec.name!r} have no column: {shown}")
    return found
