"""The files of a raw folder, as far as names tell what they are: images, tables, and the folders that they lie in."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.data.readers import READERS, image_endings
from pipeline.data.walk import walk

TABLES = (".csv", ".tsv", ".tab", ".txt", ".json", ".jsonl", ".ndjson", ".dat", ".data", ".base", ".item", ".user")
TABLES += (
    ".test",
    ".csv.gz",
    ".csv.zip",
    ".tsv.gz",
    ".tsv.zip",
    ".json.gz",
    ".json.zip",
    ".csv.bz2",
    ".csv.xz",
    ".csv.7z",
    ".json.7z",
)
NO_TABLES = ("readme", "license", "licence", "requirements", "citation", "changelog", "notes")
A_FILE_AN_IMAGE = 30  # more tables than these in one folder are notes on single images


@dataclass(frozen=True)
class Files:
    """What lies below a raw folder: paths relative to it."""

    raw: Path
    all: Sequence[str]

    @classmethod
    def of(cls, raw: Path) -> "Files":
        return cls(raw, walk(raw).files)

    @cached_property
    def images(self) -> list[str]:
        """Those that are pictures by their ending; where there is none, all that a reader knows, such as arrays."""
        every = {ending for _, reader in READERS.items() for ending in reader.endings}
        return self._ending_in(image_endings()) or self._ending_in(every)

    def _ending_in(self, endings: Collection[str]) -> list[str]:
        known = tuple(endings)
        return [path for path in self.all if path.lower().endswith(known)]

    @cached_property
    def tables(self) -> list[str]:
        """What may be tables by their names, those near the top first."""
        found: dict[str, list[str]] = defaultdict(list)
        for path in self.all:
            name = path.rpartition("/")[2].lower()
            if name.endswith(TABLES) and not (name.endswith(".txt") and name.startswith(NO_TABLES)):
                found[folder_of(path)].append(path)
        few = [path for paths in found.values() if len(paths) <= A_FILE_AN_IMAGE for path in paths]
        return sorted(few, key=lambda path: (path.count("/"), path))

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """Images by their file's name."""
        return _grouped((path.rpartition("/")[2], path) for path in self.images)

    @cached_property
    def by_stem(self) -> dict[str, list[str]]:
        """Images by their file's name without its ending."""
        return _grouped((stem_of(path), path) for path in self.images)

    @cached_property
    def by_part(self) -> dict[str, list[str]]:
        """Images by what stands in their name before or behind a mark: 1 in img_1.png, a in a_red.png."""
        return _grouped((part, path) for path in self.images for part in _parts(stem_of(path)))

    @cached_property
    def by_folder(self) -> dict[str, list[str]]:
        """Images by the folder that they lie in."""
        return _grouped((folder_of(path), path) for path in self.images)

    @cached_property
    def folders_by_name(self) -> dict[str, list[str]]:
        """Folders that hold images, by their own name."""
        return _grouped((folder.rpartition("/")[2], folder) for folder in self.by_folder if folder)


def folder_of(path: str) -> str:
    """The folder of a path; empty at the top."""
    return path.rpartition("/")[0]


def stem_of(path: str) -> str:
    """The file's name without its ending; by hand, as pathlib takes a minute for millions."""
    name = path[path.rfind("/") + 1 :]
    return name[: len(name) - len(ending_of(name))]


def ending_of(path: str) -> str:
    """The last dot of the file's name and what is behind it; empty where that is nothing, or the whole name."""
    name = path[path.rfind("/") + 1 :]
    dot = name.rfind(".")
    return name[dot:] if 0 < dot < len(name) - 1 else ""


def _grouped(pairs: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for key, path in pairs:
        found[key].append(path)
    return dict(found)


def _parts(stem: str) -> set[str]:
    marks = [place for place, letter in enumerate(stem) if letter in "_-. "]
    return {stem[:place] for place in marks} | {stem[place + 1 :] for place in marks} - {""}
