"""Files whose folder a pattern leaves open: `test-jpg*/{id}.jpg` is looked up in every folder that is called so."""

import glob
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from pipeline.data.within import ANY, open_ended
from pipeline.errors import RequestError

Holding = Callable[[str], list[str]]  # the folders, in order, in which the file of a name is


def with_folders(
    raw: Path, paths: Sequence[str], pattern: str, key: str, among: Callable[[Sequence[str]], Holding]
) -> Sequence[str]:
    """Paths filled from a pattern, each in that of the folders in which its file is there; `among` lists folders once.

    Raises RequestError for a file that is in several of them; one that is in none is left in the first.
    """
    if ANY not in (pattern.rpartition("/")[0] if "{" in pattern else pattern):
        return paths

    @cache
    def called(folder: str) -> list[str]:
        return sorted(place for place in glob.glob(open_ended(folder), root_dir=raw) if (raw / place).is_dir())

    @cache
    def holding(folder: str) -> Holding:
        return among(called(folder))

    found, several = list[str](), list[list[str]]()
    for path in paths:
        folder, _, name = path.rpartition("/")
        own = [f"{place}/{name}" for place in holding(folder)(name)]
        if len(own) > 1:
            several.append(own)
        found.append([*own, *(f"{place}/{name}" for place in called(folder)[:1]), path][0])
    if several:
        raise RequestError(
            f"{key} = {pattern!r}: {len(several)} files lie in more than one folder, for example "
            f"{' and '.join(several[0])}; name the folder"
        )
    return found
