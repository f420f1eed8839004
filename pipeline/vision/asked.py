"""Which test images are asked for: by a table of the test set, or by the sample submission."""

import re
import string
from pathlib import Path

import pandas as pd

from pipeline.data.longform import LongForm, unfolded
from pipeline.data.sample import id_column_of
from pipeline.data.several import parts_of
from pipeline.data.tables import need_column, read_table
from pipeline.data.text import as_it_lies
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.vision.data_config import ImageData
from pipeline.vision.tables import TEST, read_one

TRIED = 20  # rows whose files show which column of a sample names them


def test_table_of(
    raw: Path, data: ImageData, sample: Path | None, id_in_sample: str | None, long: LongForm | None
) -> str | None:
    """The table that is said; else the one called as that of train, where the sample cannot fill the pattern, or lacks
    boxes and cases that stand there.
    """
    if data.test_table is not None:
        return data.test_table
    usual = None if data.table is None else as_test(data.table)
    if usual is None or data.test is None or not as_it_lies(raw / usual).is_file() or raw / usual == sample:
        return None
    needed, beside = {*fields_of(data.test), data.id}, {*(data.box or ()), *([data.case] if data.case else ())}
    fills = False
    if sample is not None and sample.is_file():
        if long is None:
            held = set(read_table(sample, "submission.sample", encoding=data.encoding).columns)
        else:
            held = set(unfolded(sample, long).columns)
        fills = needed <= held or needed - {data.id} <= held - {id_in_sample}
        if fills and beside <= held:
            return None
    own = set(read_one(raw, data, usual, TEST).columns)
    return usual if needed <= own and (not fills or beside <= own) else None


def asked_by(
    sample: Path, raw: Path, data: ImageData, id_in_sample: str | None, long: LongForm | None = None
) -> pd.DataFrame:
    """The rows of the sample, their ids in the column that train has them in."""
    if long is not None:
        return unfolded(sample, long)
    table = read_table(sample, "submission.sample", encoding=data.encoding)
    if id_in_sample is not None:
        need_column(table, id_in_sample, sample.name, "submission.id")
    if data.case is not None and not data.row_a_case and data.id not in table.columns:
        raise RequestError(
            f"data.test = {data.test!r} is filled with images, and {sample.name} asks for cases; data.test_table names "
            f"the table that has {data.id!r} and {data.case!r} of the test images"
        )
    column = id_in_sample or (data.id if data.id in table.columns else _by_files(table, raw, data))
    return table.assign(**{data.id: table[column]})


def tell_test_table(name: str, data: ImageData, log: Log | None) -> None:
    """Say which table was taken where the file names none."""
    if log is not None and data.test_table is None:
        log.say(f"data: test images are those of {name} (data.test_table names another table)")


def fields_of(pattern: str) -> list[str]:
    """Columns that a pattern takes from a row; none for what is no pattern."""
    try:
        return fields_in(pattern)
    except ValueError:
        return []


def fields_in(pattern: str) -> list[str]:
    """The same; {id[0]} is a letter of a cell of one. Raises ValueError for what is no pattern."""
    fields = [field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None]
    return [re.split(r"[.\[]", field)[0] for field in fields]


def as_test(table: str) -> str | None:
    """The name of a table of train with test in place of train; None where it has none such."""
    folder, slash, name = table.rpartition("/")
    for train, test in (("train", "test"), ("Train", "Test"), ("TRAIN", "TEST")):
        if train in name:
            return f"{folder}{slash}{name.replace(train, test)}"
    return None


def _by_files(table: pd.DataFrame, raw: Path, data: ImageData) -> str:
    """The column whose cells are names of test images."""
    rows, pattern = table.head(TRIED), parts_of(str(data.test))[0]
    found: dict[str, int] = {}
    for column in table.columns:
        if table[column].duplicated().any():
            continue
        try:
            paths = [pattern.format_map(row) for row in rows.assign(**{data.id: rows[column]}).to_dict("records")]
        except (KeyError, ValueError, IndexError):
            continue
        found[str(column)] = sum(_is_there(raw, path) for path in paths)
    best = max(found, key=lambda column: found[column]) if found else None
    return best if best is not None and found[best] else id_column_of(table, None, data.id, ())


def _is_there(raw: Path, path: str) -> bool:
    if Path(path).is_absolute() or ".." in Path(path).parts:
        return False
    return any(True for _ in raw.glob(path)) if "*" in path else (raw / path).is_file()
