"""From a raw folder to the draft of a competition file: images or ratings, by what lies there."""

from dataclasses import replace
from pathlib import Path

from pipeline.errors import RequestError
from pipeline.looking.cells import pixels_of
from pipeline.looking.draft import Draft, Head
from pipeline.looking.files import Files, stem_of
from pipeline.looking.image_file import image_draft
from pipeline.looking.long import Long, long_in, lookup_in
from pipeline.looking.ratings import rated_in
from pipeline.looking.ratings_file import ratings_draft
from pipeline.looking.sample import Sample
from pipeline.looking.tables import Table, read_tables, sample_of

FEW_IMAGES = 10  # pictures of a description beside tables of ratings


def look(raw: Path, head: Head) -> Draft:
    """What a raw folder says. Raises RequestError where neither labelled images nor ratings are found."""
    files = Files.of(raw)
    tables, refused = read_tables(files)
    sample, tables = _sample(files, tables)
    draft = _ratings(head, files, tables, sample) or _images(head, files, tables, sample, refused)
    draft.doubts += refused
    return draft


def _sample(files: Files, tables: list[Table]) -> tuple[Sample | None, list[Table]]:
    """The sample, and all other tables; those with a row for each id and name as tables of ids."""
    found = sample_of(files, tables)
    others = [table for table in tables if table is not found]
    if found is None:
        return None, others
    names = {path.rpartition("/")[2] for path in files.images} | {stem_of(path) for path in files.images}
    asked = {cell for table in others if table.said_test for cell in table.rows.iloc[:, 0]}
    long = _long(found, names)
    lookup = None if long is not None else lookup_in(found, others)
    if lookup is not None:
        table, long = lookup
        others = [other for other in others if other.name != long.table]
        return Sample(long.wide(replace(table, name=found.name), long.value, long.id), long.id, long), others
    if long is None:
        return Sample.of(found, names | asked, {column for table in others for column in table.columns}), others
    value = next(column for column in found.columns if column not in (long.column, long.name))
    others = [_wide(table, long, value) if long.fits(table) else table for table in others]
    return Sample(long.wide(found, value, long.id), long.id, long), others


def _long(table: Table, names: set[str]) -> Long | None:
    """Rows of ids and names; a column of ids of images and one besides are rows of images."""
    of_images = all(table.cells(column).head(50).isin(names).all() for column in table.columns[:1])
    return None if of_images and len(table.columns) <= 2 else long_in(table)


def _wide(table: Table, long: Long, value: str) -> Table:
    held = value if value in table.columns else None
    return replace(long.wide(table, held, long.id), long=None if held is None else long.said(held))


def _ratings(head: Head, files: Files, tables: list[Table], sample: Sample | None) -> Draft | None:
    if len(files.images) > FEW_IMAGES:
        return None
    rated = rated_in(tables, sample)
    return None if rated is None else ratings_draft(head, rated, sample)


def _images(head: Head, files: Files, tables: list[Table], sample: Sample | None, refused: list[str]) -> Draft:
    if not files.images and all(pixels_of(table) is None for table in tables):
        seen = ", ".join([table.name for table in tables[:6]] + refused[:2]) or "none"
        raise RequestError(
            f"--from {head.given}: found neither images nor a table of ratings (tables: {seen}); "
            f"`pipeline new {head.slug}` without --from writes a file to fill in by hand"
        )
    return image_draft(head, files, tables, sample)
