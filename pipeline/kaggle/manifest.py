"""What a bundle says of itself: each file with its hash, and the place that it has below a root."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import WorkFailed
from pipeline.freshness import digest
from pipeline.workspace import write_json

NAME = "bundle.json"


@dataclass(frozen=True)
class Entry:
    """A file of the bundle; `place` is where it belongs below a root, empty for what stays in the bundle."""

    name: str
    sha256: str
    bytes: int
    place: str = ""


def flat_name(place: str) -> str:
    """A place as a name without folders, which Kaggle's uploads flatten."""
    return place.replace("/", "--").removeprefix("-").replace("--.", "--")


def write_manifest(folder: Path, places: dict[str, str], about: dict[str, Any]) -> dict[str, Any]:
    """Hash every file of the folder into its bundle.json; `places` by file name."""
    entries = [
        Entry(path.name, digest(path) or "", path.stat().st_size, places.get(path.name, ""))
        for path in sorted(folder.iterdir())
        if path.name != NAME
    ]
    said = {**about, "files": [asdict(entry) for entry in entries]}
    write_json(folder / NAME, said)
    return said


def read_manifest(folder: Path) -> tuple[list[Entry], dict[str, Any]]:
    """The entries and what else is said. Raises WorkFailed for a folder that is no bundle."""
    try:
        said = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return [Entry(**entry) for entry in said["files"]], said
    except (OSError, ValueError, KeyError, TypeError):
        raise WorkFailed(f"{folder} holds no {NAME}, or a torn one; run `pipeline kernel bundle` again") from None


def refuse_damage(folder: Path) -> list[Entry]:
    """The entries, each file checked by its hash. Raises WorkFailed, naming what is missing or another file."""
    entries, _ = read_manifest(folder)
    for entry in entries:
        found = digest(folder / entry.name)
        if found != entry.sha256:
            what = "is missing from" if found is None else "is damaged in"
            raise WorkFailed(f"{entry.name} {what} the bundle at {folder}; bundle and push again")
        _refuse_outside(entry)
    return entries


def _refuse_outside(entry: Entry) -> None:
    place = PurePosixPath(entry.place)
    if entry.place and (
        place.is_absolute() or ".." in place.parts or place.parts[0] not in ("data", "runs", "weights")
    ):
        raise WorkFailed(f"{entry.name} would be put at {entry.place!r}, outside of the root")
