"""Groups of images that no split takes apart: near-duplicates, and those of one cell of a column."""

import numpy as np
import pandas as pd

from pipeline.cases import CASE
from pipeline.data.boxes import CUT
from pipeline.data.columns import column_of
from pipeline.data.tables import header_of
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.rows import ALONE, torn
from pipeline.targets.classes import some
from pipeline.vision.cases import ids_in_tables
from pipeline.vision.config import ImageCompetition
from pipeline.vision.folds_config import ImageFolds
from pipeline.vision.joined import with_tables
from pipeline.vision.tables import names_for, read_one, tables_with
from pipeline.workspace import Workspace, read_json

LARGE = "larger_than_a_fold"  # in audit.json, where a group of near-duplicates is


def large_group(images: int, fold: int) -> dict[str, int]:
    """What `check` records of the largest group, for `folds` not to say it again."""
    return {"images": images, "fold": fold}


def groups_of(comp: ImageCompetition, workspace: Workspace, rows: pd.DataFrame, log: Log | None = None) -> np.ndarray:
    """A group number of each row (rows,). A blank cell of a column groups nothing; boxes of one image are together, and
    images of one case, whatever the file says.
    """
    alone = np.arange(len(rows))
    if comp.folds.group == "none":
        return pd.factorize(rows[CASE])[0] if CASE in rows else alone
    alike = np.where(rows["group"] == ALONE, alone, len(rows) + rows["group"])
    if CUT in rows:
        alike = joined(alike, pd.factorize(rows["path"])[0])
    if CASE in rows:
        alike = joined(alike, pd.factorize(rows[CASE])[0])
    if not comp.folds.by_column:
        return alike
    also = "or 'near-duplicates', or 'none'" + ("" if comp.folds.table else "; folds.table names another table")
    cells = cells_of(comp, workspace, rows, comp.folds.group, "folds.group", also, log)
    if comp.folds.group_regex is not None:
        cells = _found_in(cells, comp.folds.group_regex, comp.folds.group, rows["id"])
    codes = pd.factorize(cells)[0]
    return joined(np.where(cells == "", len(codes) + alone, codes), alike)


def _found_in(cells: np.ndarray, regex: str, column: str, ids: pd.Series) -> np.ndarray:
    """What the pattern's group finds in each cell; nothing in a blank one. Raises RequestError for others without."""
    found = pd.Series(cells, dtype=str).str.extract(regex, expand=False)
    strange = found.isna().to_numpy() & (cells != "")
    if strange.any():
        raise RequestError(
            f"folds.group_regex {regex!r} finds nothing in {int(strange.sum())} of {len(cells)} cells of {column!r}: "
            f"{some(cells[strange])} (of {some(ids.to_numpy()[strange])})"
        )
    return found.fillna("").to_numpy(dtype=str)


def cells_of(
    comp: ImageCompetition,
    workspace: Workspace,
    rows: pd.DataFrame,
    column: str,
    key: str,
    also: str = "",
    log: Log | None = None,
) -> np.ndarray:
    """Cells (rows,) as text of a column of folds.table, data.table or data.tables, or of the one table that has it."""
    table = table_of(comp, workspace, column, key, rows["id"])
    if table is None:
        raise RequestError(f"{key} = {column!r} is a column, but there is no data.table and no folds.table")
    if log is not None and table not in (comp.folds.table, comp.data.table):
        log.say(f"folds: column {column!r} is that of {table} (folds.table names another table)")
    cells = read_one(workspace.raw, comp.data, table, key)
    if table == comp.data.table and comp.data.tables:
        cells = with_tables(workspace.raw, comp.data, cells, table, None)
    return column_of(cells, table, comp.data.id, column, ids_in_tables(rows, comp.data), key, also)


def table_of(
    comp: ImageCompetition, workspace: Workspace, column: str, key: str, ids: pd.Series | None = None
) -> str | None:
    """The table that a column for folds is in: the one that is said, else the only one in the raw folder.

    `ids` are those of the training rows, by default as the manifest has them. Raises RequestError where several have
    the column, and these ids.
    """
    said = comp.folds.table or comp.data.table
    if comp.folds.table is not None or said is None or not (workspace.raw / said).is_file():
        return said
    raw, data = workspace.raw, comp.data
    for own in (said, *(joined.table for joined in data.tables)):
        names = names_for(data, own, key) or header_of(raw / own, data.separator, data.encoding)
        if column in (names or read_one(raw, data, own, key).columns):
            return said
    found = tables_with(raw, data, {data.id, column}, {said})
    if len(found) > 1:
        if ids is None:
            manifest = pd.read_parquet(workspace.manifest, columns=["id", "split"])
            ids = manifest["id"][manifest["split"] == "train"]
        found = [name for name in found if ids.isin(read_one(raw, data, name, key)[data.id]).all()] or found
    if len(found) > 1:
        raise RequestError(
            f"{key}: {said} has no column {column!r}, and {' and '.join(found)} have it; say which of them is meant: "
            f"folds.table = {found[0]!r}"
        )
    return found[0] if found else said


def report_large(groups: np.ndarray, folds: ImageFolds, workspace: Workspace, log: Log) -> None:
    """Warn of groups that hold more images than a fold should, unless `check` has said the same."""
    sizes, fold = np.sort(np.bincount(pd.factorize(groups)[0]))[::-1], round(folds.part * len(groups))
    large = int((sizes > fold).sum())
    if not large or (read_json(workspace.audit) or {}).get(LARGE) == large_group(int(sizes[0]), fold):
        return
    what = f"{folds.group!r} or near-duplicates" if folds.by_column else "near-duplicates"
    more = f" ({large - 1} more such)" if large > 1 else ""
    log.warn(
        f"a group of {sizes[0]:,} of {len(groups):,} images ({what}) is larger than a fold ({fold:,}){more}: "
        "folds differ in size; a smaller folds.n has larger folds, folds.group says what must stay together"
    )


def report_torn(numbers: np.ndarray, rows: pd.DataFrame, log: Log) -> None:
    """Warn of near-duplicates that lie in different folds because the file says so."""
    alike = (rows["group"] != ALONE).to_numpy()
    apart = torn(numbers[alike], rows["group"][alike])
    if len(apart):
        log.warn(
            f"{len(apart)} group(s) of near-duplicates lie in different folds, as the file says: "
            f"{some(rows['id'][rows['group'] == apart[0]])}; scores there are too good"
        )


def report_shared(numbers: np.ndarray, rows: pd.DataFrame, folds: ImageFolds, log: Log) -> None:
    """Warn of images that several rows name which lie in different folds because the file says so."""
    apart = torn(numbers, rows["path"])
    if len(apart):
        way = "" if folds.column or folds.valid else "; without folds.group = 'none' rows of one image stay together"
        log.warn(
            f"{len(apart):,} image(s) are named by several rows in different folds, as the file says: {apart[0]} by "
            f"{some(rows['id'][rows['path'] == apart[0]])}; scores there are too good{way}"
        )


def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Groups (rows,) of the rows that either grouping puts together, numbered as they first appear."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one, two = pd.factorize(first)[0], pd.factorize(second)[0]
    nodes = int(one.max()) + int(two.max()) + 2
    links = coo_array((np.ones(len(one), bool), (one, two + one.max() + 1)), shape=(nodes, nodes))
    return pd.factorize(connected_components(links, directed=False)[1][one])[0]
