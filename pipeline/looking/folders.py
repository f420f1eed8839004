"""Competitions without a table of labels: classes are folders, or stand in the names of files."""

import os.path
import re
from collections import Counter
from collections.abc import Sequence

from pipeline.errors import RequestError
from pipeline.looking.files import Files, folder_of
from pipeline.looking.patterns import NO_PICTURES, patterns_of
from pipeline.looking.sample import Sample
from pipeline.looking.sides import Sides
from pipeline.looking.tables import SAYS_TEST, SAYS_TRAIN, Table

VALID = re.compile(r"^(valid|val|validation|dev)$", re.I)
IN_NAMES = (
    r"^(.+?)[._ -]\(?\d+\)?\.[^.]+$",  # cat.12.jpg, great_pyrenees_3.jpg
    r"^([A-Za-z]+)\d+\.[^.]+$",  # cat12.jpg
    r"^\d+[._ -]+(.+)\.[^.]+$",  # 12_cat.jpg
    r"^([^_]+)_[^_]+\.[^.]+$",  # cat_a8f.jpg
    r"^[^_]+_([^_]+)\.[^.]+$",  # a8f_cat.jpg
)
TRIED = 2000


def sides_of_folders(files: Files, sample: Sample | None, tests: Sequence[Table]) -> Sides:
    """Where images of both sides are, and the label in the folder or the name. Raises RequestError for no labels."""
    found = Sides("id", "", [])
    asked = _test_side(found, files, sample, tests)
    train = [path for path in files.images if path not in asked]
    pictures = [path for path in train if not NO_PICTURES.search(folder_of(path))]
    train = _train_side(pictures or train)
    if not train:
        raise RequestError("all images are those of the test set; where are the images to train on?")
    root = _root(train)
    found.images, found.paths = root or ".", train
    below = [path[len(root) + 1 if root else 0 :] for path in train]
    if all("/" in path for path in below):
        _by_folder(found, below)
    else:
        _by_name(found, [path.rpartition("/")[2] for path in train], sample)
    return found


def _test_side(found: Sides, files: Files, sample: Sample | None, tests: Sequence[Table]) -> set[str]:
    """Write down what the test set is; returns its images."""
    if sample is not None:
        found.id, said = sample.id, patterns_of(sample.table, files, True, [sample.id])
        if said:
            best = said[0]
            found.test, found.why_test = best.text, "filled from the sample's ids"
            return _in_folder(files, best.folder, best.text)
    for table in tests:
        said = patterns_of(table, files, True)
        if said and SAYS_TEST.search(table.name):
            found.test, found.test_table = said[0].text.replace(f"{{{said[0].column}}}", f"{{{found.id}}}"), table
            if sample is None:
                found.id = said[0].column
                found.test = said[0].text
            return _in_folder(files, said[0].folder, said[0].text)
    folder = test_folder(files)
    if folder is not None:
        found.test, found.why_test = folder, "a folder that is called so"
        found.sure = sample is None
        return _in_folder(files, folder, "")
    return set()


def _in_folder(files: Files, folder: str, pattern: str) -> set[str]:
    """Images of the test folder; of a folder that train shares, those that the pattern may mean."""
    inside = {path for path in files.images if not folder or path.startswith(f"{folder}/")}
    if len(inside) == len(files.images) and "{" in pattern:
        before, _, behind = pattern.partition("{")
        named = re.compile(re.escape(before) + r"[^/]*" + re.escape(behind.rpartition("}")[2].removesuffix(".*")))
        return {path for path in inside if named.match(path) and SAYS_TEST.search(path)}
    return inside


def test_folder(files: Files) -> str | None:
    """The folder that is called as the test set."""
    folders = {folder[: match.end()] for folder in files.by_folder if (match := _said_test(folder))}
    outer = sorted(folders, key=lambda folder: (folder.count("/"), bool(NO_PICTURES.search(folder)), folder))
    return outer[0] if outer else None


def _said_test(folder: str) -> re.Match[str] | None:
    return re.search(r"(^|(?<=/))[^/]*(?<![A-Za-z])test(ing)?(?![a-z])[^/]*", folder, re.I)


def _train_side(paths: list[str]) -> list[str]:
    """Images below a folder that is called train, where there is one beside others; with those of valid."""
    said = [
        path for path in paths if any(SAYS_TRAIN.search(part) or VALID.match(part) for part in path.split("/")[:-1])
    ]
    return said or paths


def _root(paths: Sequence[str]) -> str:
    """The folder that holds all of them; where that is a single class folder, it is the images' own."""
    return os.path.commonpath([folder_of(path) or "." for path in paths]).removeprefix(".") if paths else ""


def _by_folder(found: Sides, below: list[str]) -> None:
    """Each image lies in the folder of its class, or in that of its part of the split first."""
    first = Counter(path.split("/")[0] for path in below)
    valid = [name for name in first if VALID.match(name)]
    parts = [name for name in first if VALID.match(name) or SAYS_TRAIN.search(name)]
    if valid and len(parts) == len(first):
        found.valid = valid[0]
    names = [path.split("/")[-2] for path in below if "/" in path]
    found.label, found.classes = {"folder": True}, tuple(sorted(set(names)))
    depths = {path.count("/") - (found.valid is not None) for path in below}
    found.why = f"{len(found.classes)} folders of classes"
    if depths != {1}:
        found.doubts.append("images lie in several folders: folder = true is the innermost, folder = 1 the outermost")


def _by_name(found: Sides, names: list[str], sample: Sample | None) -> None:
    """The label is a part of the file's name: by the first of the usual ways that makes few classes of many files."""
    tried = names[:: max(1, len(names) // TRIED)]
    fitting = []
    for regex in IN_NAMES:
        matches = [re.match(regex, name) for name in tried]
        if not all(matches):
            continue
        labels = Counter(match[1] for match in matches if match)
        if 2 <= len(labels) <= len(tried) / 2:
            known = sample is not None and set(labels) <= set(sample.asked)
            fitting.append((not known, regex, labels))
    if not fitting:
        raise RequestError(
            f"there is no table that names the images, and their names ({', '.join(names[:3])}, ...) hold no "
            f"labels that could be seen; `pipeline new SLUG` writes a file to fill in by hand"
        )
    _, regex, labels = min(fitting, key=lambda entry: entry[0])
    found.label, found.classes = {"regex": regex}, tuple(sorted(labels))
    found.why = f"{len(labels)} names in {len(tried):,} files: {', '.join(sorted(labels)[:3])}"
    found.sure = len(fitting) == 1 or len(labels) <= 20
