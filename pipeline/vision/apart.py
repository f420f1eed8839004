"""Training and test images are different files, however their folders lie in one another."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.several import files_of
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.targets.classes import some
from pipeline.vision.data_config import ImageData


def fixed_folder(pattern: str) -> str:
    """The folder that a pattern such as 'train/{id}.jpg' names before its first field; a plain folder as it is."""
    if "{" not in pattern:
        return pattern
    return pattern.split("{", 1)[0].rpartition("/")[0] or "."


def real_folder(raw: Path, folder: str) -> str:
    """A folder below `raw` with every link on the way to it resolved."""
    return os.path.realpath(raw / folder)


def keep_apart(raw: Path, data: ImageData, train: pd.DataFrame, test: pd.DataFrame, log: Log | None) -> np.ndarray:
    """Which training rows (n,) stay: of a walked folder, those that are not among the test images that are named.

    Raises RequestError where a file would otherwise be on both sides.
    """
    both = _same_files(raw, train["path"], test["path"])
    shared = train["path"].isin(both).to_numpy()
    if not both:
        return ~shared
    if data.table is None and "{" in str(data.test) and not shared.all():
        if log is not None:
            log.say(f"data: data.images = {data.images!r}: left out {len(both):,} files that are test images")
        return ~shared
    raise RequestError(
        f"data.test = {data.test!r}: {len(both):,} files are training and test images at once, for example "
        f"{some(sorted(both))}; let data.images and data.test name different files"
    )


def _same_files(raw: Path, train: Sequence[str] | pd.Series, test: Sequence[str] | pd.Series) -> set[str]:
    """Paths of training files that are test files too. Another name of the same content (a hard link) is a copy."""
    ours, theirs = _by_inode(raw, train), _by_inode(raw, test)
    return {
        path
        for inode in ours.keys() & theirs.keys()
        for path, file in ours[inode]
        if os.path.realpath(file) in {os.path.realpath(other) for _, other in theirs[inode]}
    }


def _by_inode(raw: Path, paths: Iterable[str]) -> dict[tuple[int, int], list[tuple[str, str]]]:
    """Paths of images with each of their files."""
    found: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for path, file in ((image, file) for image in paths for file in files_of(raw / image)):
        try:
            stat = os.stat(file)
        except OSError:  # a file that is missing is told later
            continue
        found.setdefault((stat.st_dev, stat.st_ino), []).append((path, file))
    return found
