"""An image competition as it is seen: both sides of the split, what is asked, and what else the tables hold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.looking.answers import Answer, Asked, target_name
from pipeline.looking.cells import Pixels, sides_of_cells
from pipeline.looking.files import Files
from pipeline.looking.folders import sides_of_folders
from pipeline.looking.forms import classes_in, labels_asked, probabilities_asked
from pipeline.looking.groups import Group, features_in, groups_in
from pipeline.looking.pictures import Pictures, pictures_in
from pipeline.looking.rows import sides_of_table, test_table_of
from pipeline.looking.sample import Sample
from pipeline.looking.sides import Sides
from pipeline.looking.tables import Table
from pipeline.looking.targets import asked_of


@dataclass(frozen=True)
class Images:
    """What was found; groups and features only where there is a table."""

    sides: Sides
    asked: Asked
    pictures: Pictures | None
    groups: Sequence[Group] = ()
    features: Sequence[str] = ()
    pixels: Pixels | None = None  # where they are numbers in the table


def images_in(files: Files, tables: list[Table], sample: Sample | None) -> Images:
    """Labels by a table, or else by folders and names. Raises RequestError where there are none."""
    tables = [table if table.header else _named(table) for table in tables]
    if not files.images and (cells := sides_of_cells(tables, sample)) is not None:
        sides, pixels, pictures = cells
        test = next((table for table in tables if table.name == sides.test), None)
        return _with_columns(Images(sides, _asked(sides, sample, test), pictures, pixels=pixels), test, tables)
    sides = sides_of_table(files, tables, sample)
    if sides is None or sides.table is None:
        sides = sides_of_folders(files, sample, [table for table in tables if table.said_test])
        return Images(sides, _of_names(sides, sample), pictures_in(files.raw, sides.paths))
    test = sides.test_table or test_table_of(sides.table, tables, sample)
    found = Images(sides, _asked(sides, sample, test), pictures_in(files.raw, sides.paths))
    return _with_columns(found, test, tables)


def _asked(sides: Sides, sample: Sample | None, test: Table | None) -> Asked:
    assert sides.table is not None
    asked = asked_of(sides.table, sorted(sides.used), sample, test)
    asked.answers = [_over_rows(answer, sides) for answer in asked.answers]
    return asked


def _with_columns(seen: Images, test: Table | None, tables: Sequence[Table]) -> Images:
    """With what else its table holds."""
    sides = seen.sides
    assert sides.table is not None
    taken = {*_labels(seen.asked), *sides.used, sides.case or ""}
    groups = groups_in(sides.table, sides.id, taken, tables)
    features = features_in(sides.table, test, taken | {group.column for group in groups})
    return replace(seen, groups=groups, features=features)


def _over_rows(answer: Answer, sides: Sides) -> Answer:
    """A class that differs between rows of one id: their tags together."""
    column = answer.where.get("column", answer.name)
    if sides.table is None or not answer.is_class or not isinstance(column, str):
        return answer
    different = sides.table.rows[[sides.id, column]].drop_duplicates()[sides.id].duplicated().any()
    if not different:
        return answer
    return replace(answer, kind="multilabel", why="rows of one image differ: tags in several rows", sure=False)


def _named(table: Table) -> Table:
    """With names for the columns of a table that has no header: patterns and targets need some."""
    return replace(table, rows=table.rows.set_axis([f"column_{k}" for k in range(table.rows.shape[1])], axis=1))


def _of_names(sides: Sides, sample: Sample | None) -> Asked:
    """The label of folders or names, and what the sample asks of it."""
    asked = [] if sample is None else sample.asked
    columns = classes_in(asked, sides.classes)
    name = target_name(asked[0] if len(asked) == 1 else "label")
    kind = "binary" if len(sides.classes) == 2 else "category"
    answer = Answer(name, kind, sides.label, sides.why, sides.classes, sure=sides.sure, rows=len(sides.paths))
    if columns is not None:
        return probabilities_asked(answer, columns)
    if sample is not None and len(asked) == 1:
        return labels_asked(answer, asked[0], sample, [])
    return Asked([answer])


def _labels(asked: Asked) -> set[str]:
    """Columns that are labels."""
    found: set[str] = set()
    for answer in asked.answers:
        column = answer.where.get("column", answer.name)
        found |= set(column) if isinstance(column, list) else {str(column)}
    return found
