"""Archives within a download: unpacked where `data` would, so that what is in them is seen."""

import os
from pathlib import Path

from pipeline.data.archive import ENDINGS
from pipeline.data.within import unpack_for
from pipeline.errors import PipelineError
from pipeline.log import Log
from pipeline.looking.files import TABLES

DEPTH = 3  # archives in one another


def unpack_all(raw: Path, log: Log) -> list[str]:
    """Unpack every archive that is called as a folder which is not there. Returns in words what could not be."""
    tried: set[str] = set()
    refused: list[str] = []
    for _ in range(DEPTH):
        found = [folder for folder in _packed_folders(raw) if folder not in tried]
        tried |= set(found)
        for folder in found:
            try:
                unpack_for(raw, [f"{folder}/"], log)
            except PipelineError as error:
                refused.append(str(error).splitlines()[0])
    return refused


def _packed_folders(raw: Path) -> list[str]:
    """What archives would unpack to, relative to `raw`; a packed table is none."""
    found = []
    for place, folders, names in os.walk(raw):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            ending = next((end for end in ENDINGS if name.lower().endswith(end)), None)
            folder = name[: len(name) - len(ending)] if ending is not None else ""
            if folder and not folder.lower().endswith(TABLES) and not name.startswith("."):
                path = os.path.relpath(os.path.join(place, folder), raw)
                found += [] if os.path.lexists(os.path.join(raw, path)) else [path]
    return sorted(found)
