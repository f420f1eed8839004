"""The case of each image, from a column of the table that names it."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipeline.cases import CASE
from pipeline.data.tables import lines_of, need_column, read_table
from pipeline.errors import RequestError
from pipeline.targets.classes import some
from pipeline.vision.config import ImageData


def cases_of(raw: Path, data: ImageData, table: pd.DataFrame, name: str) -> dict[str, pd.Series]:
    """The manifest's column of cases by its name, row for row with a table of that name; empty where none is said.

    Raises RequestError, with lines, for images without a case.
    """
    if data.case is None:
        return {}
    need_column(table, data.case, name, "data.case")
    cases = table[data.case].str.strip()
    if (cases == "").any():
        cells = read_table(raw / name, "data.case", separator=data.separator)[data.case].str.strip()
        blank = [row for row, cell in enumerate(cells) if cell == ""]
        lines = ", ".join(map(str, lines_of(raw / name, blank[:3], separator=data.separator)))
        raise RequestError(
            f"data.case: {len(blank)} rows of {name} have no {data.case!r} (lines {lines}); every image is of a case"
        )
    return {CASE: cases}


def cases_of_test(raw: Path, data: ImageData, table: pd.DataFrame, name: str | None) -> dict[str, pd.Series]:
    """As `cases_of`, for test images named by a table, or by a folder where `name` is None.

    What does not stand there is looked up by id in data.table. Raises RequestError where it is not there either.
    """
    if data.case is None or (name is not None and data.case in table.columns):
        return cases_of(raw, data, table, name or "")
    known = read_table(raw / str(data.table), "data.table", separator=data.separator)
    by_id = known.drop_duplicates(data.id).set_index(data.id)
    missing = table[data.id][~table[data.id].isin(by_id.index)]
    if len(missing):
        raise RequestError(
            f"data.case: test images need a case too, and {f'{name} has no' if name else 'a folder has no'} column "
            f"{data.case!r}, nor has {data.table} a row for {some(missing)}; data.test_table names one that has it"
        )
    return cases_of(raw, data, by_id.loc[table[data.id]].reset_index(drop=True), str(data.table))


def refuse_disagreement(cases: pd.Series, labels: Mapping[str, pd.Series], ids: pd.Series) -> None:
    """Raise RequestError for images of a case that have different labels of a target; none is no label."""
    for target, own in labels.items():
        different = own.groupby(cases.to_numpy()).nunique()
        odd = different.index[different > 1]
        if len(odd):
            first = (cases == odd[0]).to_numpy() & own.notna().to_numpy()
            shown = own[first].drop_duplicates()
            said = " and ".join(f"{label!r} ({ids[row]})" for row, label in shown.iloc[:2].items())
            raise RequestError(
                f"data.case: images of {len(odd):,} of {cases.nunique():,} cases have different labels of {target!r}; "
                f"the first is {odd[0]!r}: {said}; a case has one answer"
            )
