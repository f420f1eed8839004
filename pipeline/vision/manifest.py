"""The manifest: one row an image, with its id, split, file and labels, from table, names and folders."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from pipeline.cases import CASE
from pipeline.data.longform import LongForm
from pipeline.data.readers import all_endings, images_among
from pipeline.data.readers.foreign import refuse_foreign, refuse_foreign_in
from pipeline.data.several import files_of, is_several, joined, parts_of, state_of
from pipeline.data.tables import neighbours
from pipeline.data.walk import endings_in_words, walk
from pipeline.data.within import archives_in_words, unpack_for
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.targets.classes import some
from pipeline.targets.said import Target
from pipeline.vision.apart import fixed_folder, keep_apart, real_folder
from pipeline.vision.asked import asked_by, fields_in, fields_of, tell_test_table, test_table_of
from pipeline.vision.boxes import boxes_of, boxes_of_test
from pipeline.vision.cases import cases_of, cases_of_test, images_of_cases, refuse_disagreement
from pipeline.vision.cells import read_arrays
from pipeline.vision.data_config import ImageData
from pipeline.vision.endings import did_you_mean, with_endings
from pipeline.vision.joined import with_tables
from pipeline.vision.labels import labels_of, refuse_silent
from pipeline.vision.tables import TEST, need_beside, read_rows, refuse_repeats, without_traces
from pipeline.vision.weights import weights_of


def build_manifest(
    raw: Path,
    data: ImageData,
    targets: Sequence[Target],
    sample: Path | None,
    log: Log | None = None,
    id_in_sample: str | None = None,
    long: LongForm | None = None,
) -> pd.DataFrame:
    """All images of a competition, sorted by split and id: columns id, split, path, bytes, then the targets, then what
    else the file asks for (names that begin with `_`).

    `path` is relative to `raw`; labels are text, numbers for regression, and missing for test rows. `sample` is the
    sample submission, whose ids (in `id_in_sample`, if that is said, of rows as `long` says) name the test images where
    `data.test` is a pattern. What was passed over, and what might not be meant, goes to `log`. Raises RequestError for
    anything in the file that the raw folder contradicts.
    """
    unpack_for(raw, data.named_files, log)
    rows, table = _train_rows(raw, data, targets, log)
    test = None if data.test is None else find_test_rows(raw, data, sample, log, id_in_sample, long)
    if test is not None:
        kept = keep_apart(raw, data, rows, test, log)
        rows, table = rows[kept].reset_index(drop=True), table[kept].reset_index(drop=True)
    labels = {target.name: labels_of(target, rows, table, data, log, len(targets) > 1) for target in targets}
    refuse_silent(labels, rows["id"])
    name = str(data.table)
    beside = (
        weights_of(raw, data, table, log) | boxes_of(raw, data, table, name, log) | cases_of(raw, data, table, name)
    )
    if CASE in beside:
        refuse_disagreement(beside[CASE], labels, rows["id"])
    parts = [rows.assign(split="train", **labels, **beside)]
    if test is not None:
        parts.append(test.assign(split="test"))
    manifest = pd.concat(parts, ignore_index=True)
    manifest = manifest.sort_values(["split", "id"], ascending=[False, True], ignore_index=True)
    manifest["bytes"] = [_size(raw, path) for path in manifest["path"]]
    _refuse_missing(manifest, raw, data)
    return manifest[["id", "split", "path", "bytes", *[target.name for target in targets], *beside]]


def walk_images(folder: Path) -> list[str]:
    """Image files below a folder as sorted relative POSIX paths, without hidden files and other types.

    Linked folders are entered, each once: a `source.path` folder is used by links to its entries.
    """
    return images_among(walk(folder).files)


def _train_rows(
    raw: Path, data: ImageData, targets: Sequence[Target], log: Log | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ids and paths, and the table that they are from, row for row; without columns where they are from a folder."""
    if data.table is None:
        other = None if data.test is None else fixed_folder(data.test)
        rows = _walk(raw, data.images, "data.images", other, log)
        return rows, pd.DataFrame(index=rows.index)
    if data.arrays is not None:
        rows, table = read_arrays(raw, data, data.table, "data.table", log)
        refuse_repeats(rows["id"], data.table, data.id, raw / data.table, data)
    else:
        rows, table = None, read_rows(raw, data, data.table, "data.table", log, tags_of(targets))
        table = without_traces(table, data.id, data.table, log)
    table = with_tables(raw, data, table, data.table, log)
    for target in targets:
        for column in target.columns if target.in_table else ():
            need_beside(raw, data, table, column, data.table, f"targets {target.name!r}: column")
    if rows is not None:
        return rows, table
    return _rows_of(raw, data, table, data.images, data.table, "data.images", log)


def _rows_of(
    raw: Path, data: ImageData, table: pd.DataFrame, pattern: str, name: str, key: str, log: Log | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ids and paths of the images of a table, and the rows that they are of, which may be cases of several images."""
    if data.row_a_case:
        plain = table.map(glob.escape) if "*" in pattern else table
        filled = _filled(plain, data.id, pattern, name, key)
        unpack_for(raw, [f"{fixed_folder(pattern).rstrip('/')}/"], log)
        return images_of_cases(raw, data, table, filled, fixed_folder(pattern), key)
    return pd.DataFrame({"id": table[data.id], "path": _paths(raw, table, data, pattern, name, key, log)}), table


def tags_of(targets: Sequence[Target]) -> list[tuple[str, str | None]]:
    """The columns of tags, with what stands between them, where tables hold no other labels."""
    own = [target for target in targets if target.in_table]
    if not all("separator" in target.target_kind.takes and target.class_columns is None for target in own):
        return []
    return [(target.columns[0], target.separator) for target in own]


def find_test_rows(
    raw: Path,
    data: ImageData,
    sample: Path | None,
    log: Log | None = None,
    id_in_sample: str | None = None,
    long: LongForm | None = None,
) -> pd.DataFrame:
    """The test images alone: id and path, their boxes and cases. Arguments and errors as in `build_manifest`."""
    if data.test is None:
        raise RequestError("data.test: the file names no test images")
    if data.arrays is not None:
        rows, _ = read_arrays(raw, data, data.test, "data.test", log)
        refuse_repeats(rows["id"], data.test, data.id, raw / data.test, data)
        return rows
    folders = [f"{fixed_folder(one).rstrip('/')}/" for one in parts_of(data.test)]
    unpack_for(raw, [*data.named_files, *folders], log)
    plain = "{" not in data.test and data.test_table is None and not is_several(data.test)
    if plain and not data.row_a_case:
        rows = _walk(raw, data.test, "data.test", fixed_folder(data.images), log)
        ids = pd.DataFrame({data.id: rows["id"]})
        return rows.assign(**boxes_of_test(raw, data, ids, None, log), **cases_of_test(raw, data, ids, None, log))
    name = test_table_of(raw, data, sample, id_in_sample, long)
    if name is not None:
        tell_test_table(name, data, log)
        table = read_rows(raw, data, name, TEST, log)
    elif sample is None or not sample.is_file():
        raise RequestError(
            f"data.test = {data.test!r} takes its ids from the sample submission, which is missing; data.test_table "
            "names another table"
        )
    else:
        name, table = sample.name, asked_by(sample, raw, data, id_in_sample, long)
        refuse_repeats(table[data.id], name, data.id, sample)
    missing = set(fields_of(data.test)) - set(table.columns)
    if missing:
        table = with_tables(raw, data, table, name, log, missing)
    rows, table = _rows_of(raw, data, table, data.test, name, "data.test", log)
    _tell_unasked(raw, data, rows, name, log)
    return rows.assign(**boxes_of_test(raw, data, table, name, log), **cases_of_test(raw, data, table, name, log))


def _tell_unasked(raw: Path, data: ImageData, rows: pd.DataFrame, name: str, log: Log | None) -> None:
    """Say both counts where the folder of the test images holds more than the table asks for."""
    folder = fixed_folder(str(data.test)).rstrip("/")
    shared = f"{fixed_folder(data.images).rstrip('/')}/".startswith(f"{folder}/") or is_several(data.test)
    if log is None or folder in ("", ".") or shared or not (raw / folder).is_dir():
        return
    images = len(walk_images(raw / folder))
    if images > len(rows):
        log.warn(f"data.test: {folder} holds {images} images, and {name} asks for {len(rows)}; the others are left out")


def _walk(raw: Path, folder: str, key: str, other: str | None, log: Log | None) -> pd.DataFrame:
    """The images of a folder, without those of the folder `other` of the other side of the split."""
    place = raw / folder
    unpack_for(raw, [f"{folder.rstrip('/')}/"], log)
    if not place.is_dir():
        raise RequestError(f"{key}: no folder {folder!r} in {raw}{archives_in_words(raw) or neighbours(place)}")
    apart = set() if other is None else {real_folder(raw, other)} - {real_folder(raw, folder)}
    walked = walk(place, apart)
    names = images_among(walked.files)
    known = set(names)
    strange = [name for name in walked.files if name not in known]
    if not names:
        refuse_foreign(strange, key, f" in {place}")
        said = f"; passed over: {endings_in_words(strange)}" if strange else ""
        raise RequestError(f"{key}: no images in {place} (looked for {', '.join(sorted(all_endings()))}){said}")
    if log is not None:
        if strange:
            log.say(f"data: {key} = {folder!r}: passed over: {endings_in_words(strange)}")
        if walked.again:
            log.warn(f"{key}: the link {walked.again[0]} leads to a folder that is walked already; it was not entered")
        if walked.apart:
            log.say(f"data: {key} = {folder!r}: left out {', '.join(walked.apart)}, the other side of the split")
    return pd.DataFrame({"id": names, "path": [f"{folder.rstrip('/')}/{name}" for name in names]})


def _paths(
    raw: Path, table: pd.DataFrame, data: ImageData, pattern: str, table_name: str, key: str, log: Log | None
) -> list[str]:
    """Fill `train_images/{label}/{image_id}` from each row; a plain folder gets the id put behind it.

    An ending that the pattern leaves open is looked up. Of several patterns each gives a file of the image.
    """
    columns = [_files(raw, table, data, one, table_name, key, log) for one in parts_of(pattern)]
    if len(columns) == 1:
        return columns[0]
    _refuse_escapes(raw, pattern, [path for column in columns for path in column])
    try:
        return [joined(files) for files in zip(*columns, strict=True)]
    except ValueError as error:
        raise RequestError(f"{key}: {error}, which goes between the files of an image; rename it") from None


def _files(
    raw: Path, table: pd.DataFrame, data: ImageData, pattern: str, table_name: str, key: str, log: Log | None
) -> list[str]:
    """The file of each row by one pattern."""
    for field in _fields(pattern, key):
        need_beside(raw, data, table, field, table_name, key)
    filled = _filled(table, data.id, pattern, table_name, key)
    refuse_foreign(filled, key)
    unpack_for(raw, filled, log)
    return with_endings(raw, filled, pattern, key)


def _fields(pattern: str, key: str) -> list[str]:
    try:
        return fields_in(pattern)
    except ValueError as error:
        raise RequestError(f"{key} = {pattern!r} is not a pattern: {error}") from None


def _filled(table: pd.DataFrame, id_column: str, pattern: str, table_name: str, key: str) -> list[str]:
    if "{" not in pattern:
        return [f"{pattern.rstrip('/')}/{name}" for name in table[id_column]]
    fields = dict.fromkeys(_fields(pattern, key))
    try:
        return [pattern.format_map(row) for row in table[list(fields)].to_dict("records")]
    except (ValueError, TypeError, IndexError) as error:  # {image_id:05d}: cells are text
        raise RequestError(f"{key} = {pattern!r} cannot be filled from {table_name}: {error}") from None


def empty_class_folders(raw: Path, data: ImageData) -> list[str]:
    """Folders among the class folders that hold no image."""
    place = raw / data.images
    if data.table is not None or not place.is_dir():
        return []
    folders = sorted(entry for entry in place.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return [entry.name for entry in folders if not walk_images(entry)]


def _only_folders(place: Path, folder: str) -> str:
    """What to say of a folder that holds folders alone, as an archive may that has another one in it."""
    with os.scandir(place) as entries:
        found = [(entry.name, entry.is_dir()) for entry in entries if entry.name[0] != "."]
    names = sorted(name for name, is_dir in found if is_dir)
    alone = bool(names) and len(names) == len(found)
    return f"; {folder} holds folders alone: {some(names)}" if alone else ""


def _size(raw: Path, path: str) -> int:
    try:
        return state_of(os.path.join(raw, path)).size
    except OSError:
        return -1


def _refuse_missing(manifest: pd.DataFrame, raw: Path, data: ImageData) -> None:
    missing = manifest[manifest["bytes"] < 0]
    if len(missing):
        side = missing["split"].iloc[0]
        key, pattern = ("data.images", data.images) if side == "train" else ("data.test", str(data.test))
        gone = missing["path"][missing["split"] == side].tolist()
        if is_several(pattern):
            key, pattern, gone = _first_gone(raw, key, pattern, gone)
        folder = str(Path(gone[0]).parent)
        if (raw / folder).is_dir():
            refuse_foreign_in(raw / folder, key)
            hint = did_you_mean(raw, key, pattern, data.id, gone, int((manifest["split"] == side).sum()))
            hint = hint or _only_folders(raw / folder, folder)
        else:
            hint = f"; there is no folder {folder!r}{archives_in_words(raw) or neighbours(raw / folder)}"
        raise RequestError(
            f"{key}: {len(gone)} of {len(manifest)} image files are missing below {raw}: {some(gone)}{hint}"
        )
    _refuse_escapes(raw, data.images, manifest["path"])


def _first_gone(raw: Path, key: str, pattern: str, paths: Sequence[str]) -> tuple[str, str, list[str]]:
    """Of images of several files: the first of the patterns whose files are missing, and these."""
    for number, one in enumerate(parts_of(pattern)):
        files = [Path(files_of(raw / path)[number]) for path in paths]
        gone = [file.relative_to(raw).as_posix() for file in files if not file.is_file()]
        if gone:
            return f"{key}.{number}", one, gone
    return key, pattern, list(paths)


def _refuse_escapes(raw: Path, pattern: str, paths: Iterable[str]) -> None:
    escaped = [path for path in paths if path.startswith("/") or ".." in path.split("/")]
    if escaped:
        raise RequestError(f"data.images = {pattern!r} leads out of {raw}: {some(escaped)}")
