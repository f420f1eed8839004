"""Walking folders: links are followed, each real folder is entered once, and always in the same way."""

import os
import re
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Walked:
    """Files below a folder as sorted relative POSIX paths, without hidden ones, and the folders that were not entered.

    `again` are links to folders that lie elsewhere in the walk, or around it; `apart` those that the caller left out.
    """

    files: Sequence[str]
    again: Sequence[str]
    apart: Sequence[str]


def walk(root: Path, apart: Collection[str] = ()) -> Walked:
    """Every file below `root`. `apart` are real paths of folders to leave out.

    What lies below by itself goes before what is linked, so that a folder is never known by a link to it alone; a link
    to a folder around `root` is a circle.
    """
    start, real = str(root), os.path.realpath(root)
    entered = {real, *map(str, Path(real).parents)}
    files: list[str] = []
    again: list[str] = []
    left: list[str] = []
    links = deque([(start, real)])
    while links:
        place, real = links.popleft()
        for folder, names, found in os.walk(place):
            files += [os.path.join(folder, name) for name in found if name[0] != "."]
            below, kept = real + folder[len(place) :], []
            for name in sorted(name for name in names if name[0] != "."):
                path, target = os.path.join(folder, name), os.path.join(below, name)
                linked = os.path.islink(path)
                target = os.path.realpath(path) if linked else target
                if target in apart:
                    left.append(path)
                elif linked:
                    links.append((path, target))
                elif target in entered:
                    again.append(path)
                else:
                    entered.add(target)
                    kept.append(name)
            names[:] = kept
        while links and links[0][1] in entered:
            again.append(links.popleft()[0])
        if links:
            entered.add(links[0][1])
    return Walked(*(sorted(_relative(path, start) for path in paths) for paths in (files, again, left)))


def without_circles(folder: str, names: Iterable[str]) -> list[str]:
    """Those of the folders in `folder` that are no links to itself or to a folder around it."""
    names = list(names)
    linked = {name for name in names if os.path.islink(os.path.join(folder, name))}
    if not linked:
        return names
    here = Path(os.path.realpath(folder))
    around = {str(here), *map(str, here.parents)}
    return [n for n in names if n not in linked or os.path.realpath(os.path.join(folder, n)) not in around]


def endings_in_words(names: Iterable[str]) -> str:
    """How many files there are of each ending, the commonest first, such as '12 .heic, 3 without ending'."""
    counts = Counter(_ending(name) for name in names)
    return ", ".join(
        f"{count:,} {what}" for what, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )


def _ending(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return suffix if re.fullmatch(r"\.\w{1,10}", suffix) else "without ending"


def _relative(path: str, start: str) -> str:
    return Path(path).relative_to(start).as_posix()
