"""The case of each image, from a column of the table that names it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.cases import CASE
from pipeline.data.readers import image_endings
from pipeline.data.tables import need_column
from pipeline.data.walk import walk
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.targets.classes import some
from pipeline.vision.beside import bad_in_words, for_test
from pipeline.vision.data_config import ImageData


def cases_of(raw: Path, data: ImageData, table: pd.DataFrame, name: str) -> dict[str, pd.Series]:
    """The manifest's column of cases by its name, row for row with a table of that name; empty where none is said.

    Raises RequestError, with lines, for images without a case.
    """
    if data.case is None:
        return {}
    need_column(table, data.case, name, "data.case")
    cases = table[data.case].str.strip()
    if (cases == "").any():
        count, said = bad_in_words(raw, data, table, name, [data.case], lambda cells: (cells == "").to_numpy()[:, 0])
        raise RequestError(f"data.case: {count} rows of {name} have no {data.case!r}: {said}; every image is of a case")
    return {CASE: cases}


def ids_in_tables(rows: pd.DataFrame, data: ImageData) -> pd.Series:
    """What the tables call each row of the manifest: its id, or its case where they have a row for each case."""
    return rows[CASE if data.row_a_case else "id"]


def images_of_cases(
    raw: Path, data: ImageData, table: pd.DataFrame, filled: Sequence[str], fixed: str, key: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ids and paths of the images of a table with a row a case, and the row that each is of.

    `filled` are the folder of each, or a pattern with `*`, below `raw`; an image is called by its path below `fixed`.
    Raises RequestError for cases without an image, and images of several cases.
    """
    endings = tuple(image_endings())
    found = [[name for name in _names(raw, place) if name.lower().endswith(endings)] for place in filled]
    empty = [str(id) for id, names in zip(table[data.id], found, strict=True) if not names]
    if empty:
        raise RequestError(
            f"{key}: {len(empty)} of {len(found)} cases have no image: {some(empty)}; the first was looked for in "
            f"{raw / filled[[not names for names in found].index(True)]}"
        )
    paths = pd.Series([name for names in found for name in names])
    owner = np.repeat(np.arange(len(found)), [len(names) for names in found])
    twice = np.flatnonzero(paths.duplicated(keep=False))
    if len(twice):
        own = owner[(paths == paths[twice[0]]).to_numpy()][:2]
        raise RequestError(
            f"{key}: {paths.duplicated().sum()} images are of several cases, such as {paths[twice[0]]} of "
            f"{' and '.join(table[data.id].iloc[own])}; the pattern must tell them apart"
        )
    ids = paths.str.removeprefix("" if fixed == "." else f"{fixed.rstrip('/')}/")
    return pd.DataFrame({"id": ids, "path": paths}), table.iloc[owner].reset_index(drop=True)


def _names(raw: Path, place: str) -> list[str]:
    """Files of a folder below `raw`, or that match a pattern, sorted."""
    if (raw / place).is_dir():
        return [f"{place.rstrip('/')}/{name}" for name in walk(raw / place).files]
    if "*" not in place:
        return [place] if (raw / place).is_file() else []
    return sorted(path.relative_to(raw).as_posix() for path in raw.glob(place) if path.is_file())


def cases_of_test(
    raw: Path, data: ImageData, table: pd.DataFrame, name: str | None, log: Log | None = None
) -> dict[str, pd.Series]:
    """As `cases_of`, for test images named by a table, or by a folder where `name` is None."""
    if data.case is None:
        return {}
    return cases_of(raw, data, *for_test(raw, data, table, name, [data.case], "data.case", log))


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
