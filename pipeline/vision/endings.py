"""Files by ids that lack their ending, or spell it otherwise: looked up in one listing of each folder."""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from pipeline.data.readers import all_endings, images_among
from pipeline.errors import RequestError
from pipeline.vision.folders import with_folders

ANY = ".*"  # what a pattern such as 'train/{id}.*' ends in


class Endings:
    """What the name of an image ends in, for many names."""

    def __init__(self) -> None:
        known = all_endings()
        self._plain = frozenset(ending for ending in known if ending.count(".") == 1)
        self._longest_first = sorted((ending for ending in known if ending.count(".") > 1), key=len, reverse=True)

    def split(self, name: str) -> tuple[str, str]:
        """A name, and the ending of an image that it has, as it is spelled; empty where it has none."""
        lower = name.lower()
        found = next((ending for ending in self._longest_first if lower.endswith(ending)), "")
        if not found and "." in name and f".{lower.rpartition('.')[2]}" in self._plain:
            found = name[name.rindex(".") :]
        cut = len(name) - len(found)
        return (name[:cut], name[cut:]) if cut else (name, "")


class Listing:
    """The files of one folder, by their names without the ending of an image."""

    def __init__(self, folder: Path, endings: Endings) -> None:
        self._split = endings.split
        try:
            self.names = set(os.listdir(folder))
        except OSError:  # which is said of the files in it
            self.names = set[str]()

    def find(self, name: str) -> list[str]:
        """Images called `name` but for their ending, which `name` may have, lack or spell otherwise; the nearest ones.

        Names in another Unicode form come last.
        """
        stem, ending = self._split(name)
        for table, form in ((self._stems, str), (self._forms, _form)):
            whole = images_among(table.get(form(name), []))
            if whole:
                return whole
            others = images_among(table.get(form(stem), [])) if ending else []
            same = [other for other in others if self._split(other)[1].lower() == ending.lower()]
            if others:
                return [name] if name in others else same or others
        return []

    def calls(self, is_open: bool) -> set[str]:
        """By what its files may be asked for: their names; where the ending `is_open`, also what is before it."""
        return {*self.names, *self._forms} if is_open else self.names

    def like(self, name: str) -> str | None:
        """A file that is called like `name` in other letters, or with an ending that no reader knows."""
        return self._bare.get(_bare(name)) or self._bare.get(_bare(self._split(name)[0]))

    @cached_property
    def _bare(self) -> dict[str, str]:
        names = sorted(self.names, reverse=True)
        return {_bare(name): name for name in names} | {_bare(PurePosixPath(name).stem): name for name in names}

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in sorted(self.names):
            stem, ending = self._split(name)
            if ending:
                found.setdefault(stem, []).append(name)
        return found

    @cached_property
    def _forms(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for stem, names in self._stems.items():
            found.setdefault(_form(stem), []).extend(names)
        return found


class Listings:
    """Folders below `raw`, each listed once."""

    def __init__(self, raw: Path) -> None:
        self.raw, self.endings = raw, Endings()
        self._known: dict[str, Listing] = {}

    def of(self, path: str) -> Listing:
        """That of the folder which holds `path`."""
        folder = path.rpartition("/")[0]
        if folder not in self._known:
            self._known[folder] = Listing(self.raw / folder, self.endings)
        return self._known[folder]

    def find(self, path: str) -> list[str]:
        """Paths of the images that `path`, without its ending, may mean."""
        folder, slash, name = path.rpartition("/")
        return [f"{folder}{slash}{found}" for found in self.of(path).find(name)]


class Held:
    """In which of several folders files are, by names that may leave their ending open; each folder is listed once."""

    def __init__(self, listings: Listings, places: Sequence[str], is_open: bool) -> None:
        self._listings, self._places, self._is_open = listings, places, is_open
        self._numbers: dict[str, list[int]] = {}
        for number, place in enumerate(places):
            for called in self._listings.of(f"{place}/").calls(is_open):
                self._numbers.setdefault(called, []).append(number)

    def holding(self, name: str) -> list[str]:
        """The folders with a file that is called so, in their order."""
        bare = name.removesuffix(ANY)
        calls = {name, _form(bare), _form(self._listings.endings.split(bare)[0])} if self._is_open else {name}
        may = sorted({number for called in calls for number in self._numbers.get(called, ())})
        return [place for place in (self._places[number] for number in may) if self._is_there(f"{place}/{name}")]

    def _is_there(self, path: str) -> bool:
        there = _last(path) in self._listings.of(path).names
        return there or (self._is_open and bool(self._listings.find(path.removesuffix(ANY))))


def with_endings(raw: Path, paths: Sequence[str], pattern: str, key: str) -> list[str]:
    """Paths filled from a pattern, each that lacks its ending with the one that its file has.

    A pattern that ends in `.*`, or a plain folder with ids without ending, leaves the ending to the folder. Raises
    RequestError for an id with more than one file; a path without any stays as it is.
    """
    listings, is_open = Listings(raw), pattern.endswith(ANY) or "{" not in pattern
    paths = with_folders(raw, paths, pattern, key, lambda places: Held(listings, places, is_open).holding)
    if not is_open:
        return list(paths)
    found, several = list[str](), list[list[str]]()
    for path in paths:
        name = path.removesuffix(ANY)
        files = [path]
        if pattern.endswith(ANY) or not (_last(name) in listings.of(name).names or listings.endings.split(name)[1]):
            files = listings.find(name) or [path]
        if len(files) > 1:
            several.append(files)
        found.append(files[0])
    if several:
        raise RequestError(
            f"{key} = {pattern!r}: {len(several)} ids have more than one file, for example {' and '.join(several[0])}; "
            "name the ending, or take one of them away"
        )
    return found


def did_you_mean(raw: Path, key: str, pattern: str, id_column: str, missing: Sequence[str], rows: int) -> str:
    """What lies beside files that are missing, as the end of a message; empty where nothing does.

    `missing` are paths that were filled from `pattern`, of `rows` in all.
    """
    listings = Listings(raw)
    base, ending = _split_pattern(pattern, listings.endings)
    if "{" not in pattern:
        base = f"{pattern.rstrip('/')}/{{{id_column}}}"
    found = {}
    for path in missing:
        named = path[: len(path) - len(ending)]
        for file in listings.find(named)[:1]:
            found[path] = file[len(named) :] if file.startswith(named) else None
    if pattern.endswith(ANY) or not found:
        return next(_beside(listings, missing[:20]), "")
    (first, *others) = set(found.values())
    every = first is not None and not others and len(found) == rows
    return f"; did you mean {key.rpartition('.')[2]} = {base + (first if every and first else ANY)!r}?"


def _beside(listings: Listings, missing: Sequence[str]) -> Iterator[str]:
    for path in missing:
        other = listings.of(path).like(_last(path.removesuffix(ANY)))
        if other is not None:
            yield f"; beside them lies {other!r}"


def _split_pattern(pattern: str, endings: Endings) -> tuple[str, str]:
    """A pattern without its ending, and that; a plain folder has none."""
    if "{" not in pattern:
        return pattern, ""
    ending = ANY if pattern.endswith(ANY) else endings.split(f"x{pattern.rpartition('}')[2]}")[1]
    return pattern[: len(pattern) - len(ending)], ending


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _form(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _bare(name: str) -> str:
    return _form(name).casefold()
