"""From a raw folder to the draft of a competition file: images or ratings, by what lies there."""

from pathlib import Path

from pipeline.errors import RequestError
from pipeline.looking.draft import Draft, Head
from pipeline.looking.files import Files, stem_of
from pipeline.looking.image_file import image_draft
from pipeline.looking.ratings import rated_in
from pipeline.looking.ratings_file import ratings_draft
from pipeline.looking.sample import Sample
from pipeline.looking.tables import Table, read_tables, sample_of

FEW_IMAGES = 10  # pictures of a description beside tables of ratings


def look(raw: Path, head: Head) -> Draft:
    """What a raw folder says. Raises RequestError where neither labelled images nor ratings are found."""
    files = Files.of(raw)
    tables, refused = read_tables(files)
    sample = _sample(files, tables)
    draft = _ratings(head, files, tables, sample) or _images(head, files, tables, sample, refused)
    draft.doubts += refused
    return draft


def _sample(files: Files, tables: list[Table]) -> Sample | None:
    found = sample_of(files, tables)
    if found is None:
        return None
    names = {path.rpartition("/")[2] for path in files.images} | {stem_of(path) for path in files.images}
    others = [table for table in tables if table is not found]
    asked = {cell for table in others if table.said_test for cell in table.rows.iloc[:, 0]}
    return Sample.of(found, names | asked, {column for table in others for column in table.columns})


def _ratings(head: Head, files: Files, tables: list[Table], sample: Sample | None) -> Draft | None:
    if len(files.images) > FEW_IMAGES:
        return None
    rated = rated_in(tables, sample)
    return None if rated is None else ratings_draft(head, rated, sample)


def _images(head: Head, files: Files, tables: list[Table], sample: Sample | None, refused: list[str]) -> Draft:
    if not files.images:
        seen = ", ".join([table.name for table in tables[:6]] + refused[:2]) or "none"
        raise RequestError(
            f"--from {head.given}: found neither images nor a table of ratings (tables: {seen}); "
            f"`pipeline new {head.slug}` without --from writes a file to fill in by hand"
        )
    return image_draft(head, files, tables, sample)
