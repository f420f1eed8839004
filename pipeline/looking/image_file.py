"""The file of an image competition: what was found, as lines with a comment beside each."""

from collections.abc import Sequence

from pipeline.looking.answers import Answer, Asked
from pipeline.looking.draft import Draft, Head, tops
from pipeline.looking.files import Files
from pipeline.looking.groups import FOLDS, Group
from pipeline.looking.images import Images, images_in
from pipeline.looking.lines import Part
from pipeline.looking.metric import metric_of
from pipeline.looking.pictures import ARCH, Pictures, sizes_for
from pipeline.looking.sample import Sample
from pipeline.looking.sides import Sides
from pipeline.looking.tables import Table

HOLDOUT = 0.2


def image_draft(head: Head, files: Files, others: list[Table], sample: Sample | None) -> Draft:
    """Everything that a file says of images. Raises RequestError where no label can be found."""
    seen = images_in(files, others, sample)
    sides, asked = seen.sides, seen.asked
    parts = [_top(head, asked), head.source(), _data(seen, sample)]
    parts += [_columns(asked.answers)] if _alike(asked.answers) else [_target(answer) for answer in asked.answers]
    parts += [_folds(sides, seen.groups), _model(seen.pictures), _submission(sides, sample, asked)]
    _say_others(parts, asked)
    return Draft(parts, _found(sides, asked, files), [*sides.doubts, *asked.doubts])


def _top(head: Head, asked: Asked) -> Part:
    part = head.top("image")
    metric, why = metric_of(asked)
    part.add("metric", metric, why, guess=True)
    return part


def _data(seen: Images, sample: Sample | None) -> Part:
    part, sides = Part("[data]"), seen.sides
    if sides.table is not None:
        part.add("table", sides.table.name, f"{len(sides.table.rows):,} rows; {sides.why}", guess=not sides.sure)
        if not sides.table.header:
            part.add("columns", sides.table.columns, "it has no header: names for its columns", guess=True)
        if sides.table.long is not None:
            part.add("long", sides.table.long, "a row for each image and name")
        part.add(
            "id",
            sides.id,
            "a row's name" + (", as in the sample" if sample is not None and sample.id == sides.id else ""),
        )
        if sides.case is not None:
            part.add("case", sides.case, "several images have one answer: those of one cell")
    elif sides.test is not None and sides.id != "id":
        part.add("id", sides.id, "the sample's column of ids")
    if seen.pixels is not None:
        part.add("arrays", list(seen.pixels.said), "the columns of a channel each")
        if not seen.pixels.square:
            part.add("array_shape", list(seen.pixels.sides), "height and width; or others of that product?", guess=True)
    else:
        part.add("images", sides.images, _said_images(sides.images))
    if sides.test is not None:
        part.add("test", sides.test, sides.why_test, guess=not sides.why_test)
        if sides.test_table is not None:
            part.add("test_table", sides.test_table.name, "a row for each test image")
    else:
        part.add("holdout", HOLDOUT, "no test images were found: a share of train, held back", guess=sample is not None)
    if seen.features:
        part.add("features", seen.features, "columns of both tables, for models with features = true", off=True)
    return part


def _said_images(images: str | list[str]) -> str:
    if not isinstance(images, str):
        return "the files of one image, whose channels lie in this order"
    return "filled from each row" if "{" in images else "a folder"


def _target(answer: Answer) -> Part:
    part = Part("[[targets]]")
    part.add("name", answer.name)
    for key, value in answer.where.items():
        part.add(key, value, answer.why, guess=not answer.sure)
    rows = f" over {answer.rows:,} rows" if answer.rows else ""
    shown = f": {', '.join(answer.classes[:4])}{', ...' if len(answer.classes) > 4 else ''}" if answer.classes else ""
    why = f"{answer.why}{rows}{shown}" if not answer.where or not answer.sure else shown.removeprefix(": ")
    part.add("kind", answer.kind, why, guess=not answer.sure)
    if answer.separator not in ("", " "):
        part.add("separator", answer.separator, "between the tags of a cell")
    _possible(part, [answer])
    return part


def _alike(answers: Sequence[Answer]) -> bool:
    """Whether several targets differ in their column alone."""
    kinds = {(answer.kind, answer.separator, answer.sure) for answer in answers}
    return len(answers) > 1 and len(kinds) == 1 and all(answer.where.keys() <= {"column"} for answer in answers)


def _columns(answers: Sequence[Answer]) -> Part:
    """A target of each column, said at once."""
    part, first = Part("[[targets]]"), answers[0]
    part.add("columns", [answer.where.get("column", answer.name) for answer in answers], "a target of each")
    part.add("kind", first.kind, first.why, guess=not first.sure)
    _possible(part, answers)
    return part


def _possible(part: Part, answers: Sequence[Answer]) -> None:
    """What else is often said of such targets."""
    if all(answer.skewed for answer in answers):
        part.add("transform", "log1p", "the largest are far above most: learned so, predicted in their unit", off=True)
    if all(answer.graded for answer in answers):
        part.add("kind", "regression", "grades as numbers: quadratic_kappa then fits cut points", off=True)


def _say_others(parts: list[Part], asked: Asked) -> None:
    """Columns that the test set lacks may be learnt beside the target."""
    if asked.others:
        last = [part for part in parts if part.title == "[[targets]]"][-1]
        names = ", ".join(asked.others[:6]) + (", ..." if len(asked.others) > 6 else "")
        last.note = f"columns that the test set lacks, and that may be targets too: {names}"


def _folds(sides: Sides, groups: Sequence[Group]) -> Part:
    part = Part("[folds]")
    if sides.valid is not None:
        part.add("n", 1)
        part.add("valid", sides.valid, "the folder that is held out; without these two lines, 5 folds of all rows")
        return part
    strong = [group for group in groups if group.strong][:1]
    part.add("n", strong[0].folds if strong else FOLDS)
    for group in strong:
        part.add("group", group.column, f"{group.groups:,} values, whose rows stay together", guess=True)
        if group.table is not None:
            part.add("table", group.table, "where that column is")
    for group in [group for group in groups if group not in strong][:3]:
        where = "" if group.table is None else f" (table = {group.table!r})"
        part.add("group", group.column, f"or this: {group.groups:,} values{where}", off=True)
    return part


def _model(pictures: Pictures | None) -> Part:
    size, larger = sizes_for(pictures)
    part = Part("[[models]]", note="a first model, quick to train; another entry is another member of the ensemble")
    part.add("name", ARCH)
    part.add("arch", ARCH, "any architecture of timm")
    part.add(
        "resize",
        {"size": larger, "method": "squish"},
        pictures.words if pictures else "no image could be opened",
        guess=pictures is None,
    )
    part.add("size", size, "of training: a number, or [height, width]")
    part.add("epochs", 5)
    part.add("frozen_bn", True, "keeps the weights' batch norm statistics: worth points on small sets")
    part.add("tta", 4)
    return part


def _submission(sides: Sides, sample: Sample | None, asked: Asked) -> Part:
    part = Part("[submission]")
    if sample is None or sides.test is None:
        return part
    part.add("sample", sample.table.name, f"{len(sample.ids):,} rows; asks for {tops(sample.asked)}")
    if sample.long is not None:
        part.add("long", sample.long.said(), "a row for each id and name")
    if sides.id_in_sample is not None and (sample.long is None or sample.long.row is None):
        part.add("id", sides.id_in_sample, "the sample's column of ids")
    if asked.columns:
        part.add("columns", asked.columns, asked.why, guess=not asked.sure)
    return part


def _found(sides: Sides, asked: Asked, files: Files) -> list[str]:
    where = f"table {sides.table.name} with {len(sides.table.rows):,} rows" if sides.table is not None else sides.why
    images = f"images = {sides.images!r}" if sides.images else "images in its cells"
    found = [f"{len(files.images):,} images; {where}; {images}, test = {sides.test!r}"]
    for answer in asked.answers[:12]:
        classes = f", {len(answer.classes):,} classes ({tops(answer.classes)})" if answer.classes else ""
        found.append(f"target {answer.name!r}: {answer.kind}{classes}")
    if len(asked.answers) > 12:
        found.append(f"and {len(asked.answers) - 12} more targets")
    return found
