"""Competitions with a table: which one it is, which of its columns is the id, and how rows name images."""

from collections.abc import Sequence

from pipeline.looking.files import Files
from pipeline.looking.folders import test_folder
from pipeline.looking.patterns import Pattern, patterns_of
from pipeline.looking.sample import Sample
from pipeline.looking.sides import Sides
from pipeline.looking.tables import SAYS_TRAIN, Table


def sides_of_table(files: Files, tables: Sequence[Table], sample: Sample | None) -> Sides | None:
    """Both sides by the table whose rows name images; None where none does."""
    found = [(table, patterns) for table in tables if (patterns := patterns_of(table, files, False))]
    trains = [entry for entry in found if _may_train(entry[0], entry[1][0], sample)]
    if not trains:
        return None
    train, patterns = max(trains, key=lambda entry: _trains(entry[0], entry[1][0], sample))
    test = test_table_of(train, tables, sample)
    column = _id_of(train, patterns, sample, test)
    own = next((each for each in patterns if each.column == column), patterns[0])
    pattern = own if own.share >= patterns[0].share and "*" not in own.text else patterns[0]
    sides = Sides(column, pattern.files, [], train, used={column, *(p.column for p in patterns)})
    sides.case = _case_of(train, pattern, sample)
    sides.paths = _paths(files, pattern)
    sides.why = f"names {pattern.share:.0%} of the files that were looked for"
    sides.sure = pattern.share > 0.9
    again = [table.name for table, _ in trains if table is not train and table.columns == train.columns]
    sides.doubts += [f"{name} names images too, and its rows are left out" for name in again]
    _name_test(sides, files, pattern, sample, test)
    return sides


def test_table_of(train: Table, tables: Sequence[Table], sample: Sample | None) -> Table | None:
    """The table with a row a test image: called so, and of the columns of train."""
    own = set(train.columns)
    found = [t for t in tables if t.said_test and t is not train and len(own & set(t.columns)) and _fewer(t, train)]
    asked = set() if sample is None else set(sample.ids.head(200))

    def order(table: Table) -> tuple[object, ...]:
        held = any(table.rows[column].isin(asked).any() for column in table.columns) if asked else False
        return held, len(own & set(table.columns)), -table.name.count("/"), -len(table.name)

    return max(found, key=order) if found else None


def _fewer(table: Table, train: Table) -> bool:
    return not set(train.columns) < set(table.columns)


def _may_train(table: Table, pattern: Pattern, sample: Sample | None) -> bool:
    """A table of the test set has no labels: it is called so, or its ids are those of the sample."""
    if table.said_test and not SAYS_TRAIN.search(table.name.rpartition("/")[2]):
        return False
    if sample is not None and set(table.rows[pattern.column].head(200)) <= set(sample.ids):
        return False
    if pattern.of_folder and (sample is None or sample.id != pattern.column):
        return False  # names of classes, as those of folders are
    return len(table.columns) > len(set(pattern.fields))


def _trains(table: Table, pattern: Pattern, sample: Sample | None) -> tuple[object, ...]:
    """What speaks for a table: the sample's columns, one row an image, its name."""
    held = 0 if sample is None else len(set(sample.asked) & set(table.columns))
    name = table.name.rpartition("/")[2]
    once = not table.rows[pattern.column].duplicated().any()
    return (
        round(pattern.share),
        held,
        once,
        bool(SAYS_TRAIN.search(name)),
        round(pattern.share, 1),
        -table.name.count("/"),
        len(table.rows),
    )


def _id_of(train: Table, patterns: Sequence[Pattern], sample: Sample | None, test: Table | None) -> str:
    """The column of ids: as the sample calls it, else as files are named."""
    named = patterns[0].column
    if sample is None:
        return named
    plain = {column.lower(): column for column in train.columns}
    called = sample.id if sample.id in train.columns else plain.get(sample.id.lower())
    if called is not None and called not in sample.asked and not train.rows[called].duplicated().any():
        return called
    if test is not None:
        asked = set(sample.ids.head(200))
        for column in test.columns:
            unique = column in train.columns and not train.rows[column].duplicated().any()
            if unique and asked <= set(test.rows[column]):
                return column
    return named


def _case_of(train: Table, pattern: Pattern, sample: Sample | None) -> str | None:
    """The column of what several images have one answer for: the sample's ids, which repeat, or names of folders."""
    if pattern.of_folder:
        return pattern.column
    if sample is not None and sample.id in train.columns and pattern.column != sample.id:
        return sample.id if train.rows[sample.id].duplicated().any() else None
    return None


def _paths(files: Files, pattern: Pattern) -> list[str]:
    folder = f"{pattern.folder}/"
    return [path for path in files.images if path.startswith(folder)] or files.images


def _name_test(sides: Sides, files: Files, pattern: Pattern, sample: Sample | None, test: Table | None) -> None:
    """Where the test images are: by the sample's ids, by the test table, or a folder."""
    other = pattern.column != sides.id and test is not None and pattern.column in test.columns
    if other and test is not None and _by_test_table(sides, files, pattern, sample, test):
        return
    if sample is not None:
        found = patterns_of(sample.table, files, True, [sample.id])
        if found:
            sides.test, sides.why_test = found[0].named(sample.id, sides.id).files, "filled from the sample's ids"
            if sample.id not in (sides.id, sides.case):
                sides.id_in_sample = sample.id
            return
    if test is not None and _by_test_table(sides, files, pattern, sample, test):
        return
    folder = test_folder(files)
    if folder is not None and not all(path.startswith(f"{folder}/") for path in sides.paths[:50]):
        sides.test, sides.why_test = folder, "a folder that is called so; no table names its images"


def _by_test_table(sides: Sides, files: Files, pattern: Pattern, sample: Sample | None, test: Table) -> bool:
    found = patterns_of(test, files, True, [c for c in (pattern.column, *test.columns) if c in test.columns])
    if not found:
        return False
    if sides.id not in test.columns:
        sides.doubts.append(f"{test.name} has no column {sides.id!r}")
        return False
    alike = [each for each in found if each.column == pattern.column]
    sides.test, sides.test_table = (alike or found)[0].files, test
    sides.why_test = f"filled from {test.name}"
    if sample is not None and sample.id not in (sides.id, sides.case):
        sides.id_in_sample = sample.id
    return True
