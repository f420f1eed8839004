"""Columns of a sample submission: what their names say goes into them, and what their cells say against it."""

from collections.abc import Mapping, Sequence

import pandas as pd

from pipeline.config import Competition
from pipeline.forms import FORMS, Column
from pipeline.targets import TargetSpec


def spread(said: Mapping[str, str], sample_columns: Sequence[str], specs: Sequence[TargetSpec]) -> dict[str, str]:
    """What the file says, and in place of `"*" = "target/*"` each column of the sample that is so called by a class."""
    vocab, found = {spec.name: spec.vocab for spec in specs}, {}
    for name, source in said.items():
        if "*" not in name:
            found[name] = source
            continue
        for label in vocab.get(Column.of(name, source).target, ()):
            if name.replace("*", label) in sample_columns:
                found[name.replace("*", label)] = source.removesuffix("*") + label
    return found


def by_default(
    comp: Competition, sample_columns: Sequence[str], named: Mapping[str, str], specs: Sequence[TargetSpec]
) -> dict[str, str]:
    """What the names of columns say: those that are `named` as targets, then a class of one target; or the only one."""
    found = dict(named)
    for column in sample_columns:
        of_class = [spec.name for spec in specs if column in spec.vocab]
        if column not in found and len(of_class) == 1:
            found[column] = f"{of_class[0]}/{column}"
    if not found and len(sample_columns) == len(comp.targets) == 1:
        found[sample_columns[0]] = comp.targets[0].name
    return found


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
        doubt = FORMS[column.kind].doubt(by_name[column.target], cells) if len(cells) else None
        if doubt is not None:
            shown = ", ".join(repr(cell) for cell in cells.unique()[:3].tolist())
            found.setdefault(
                (column.target, column.kind),
                f"submission.columns.{column.name}: the sample's cells ({shown}) {doubt}; is "
                f"{column.name} = '{column.source}' meant?",
            )
    return list(found.values())


def classes_left_out(columns: Sequence[Column], specs: Sequence[TargetSpec]) -> list[str]:
    """Classes without a column where others have one, but for the other one of two."""
    found = []
    for spec in specs:
        given = {column.label for column in columns if column.target == spec.name and column.label is not None}
        left = [label for label in spec.vocab if label not in given]
        if given and left and len(spec.vocab) > 2:
            shown = ", ".join(left[:3]) + (", ..." if len(left) > 3 else "")
            found.append(f"submission.columns: {len(left)} classes of {spec.name!r} have no column: {shown}")
    return found
