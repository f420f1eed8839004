"""Archives within the download: unpacked beside themselves where a folder is asked for that is not there."""

import glob
import os
import shutil
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.data.archive import ENDINGS, unpack
from pipeline.errors import RequestError
from pipeline.log import Log

ANY = "*"  # in a name: any letters, or none
ASIDE = "__MACOSX"  # what macOS puts into a zip beside what is meant


def unpack_for(raw: Path, paths: Iterable[str], log: Log | None = None) -> None:
    """See to it that the folders of these files, relative to `raw`, are there: train/ out of train.zip, if need be.

    An archive is unpacked to a folder called as it is, without its ending; a single folder of that name in it is that
    folder. A `*` in a folder's name means all that are called so. What is not there, nor in an archive called so, stays
    missing. Raises RequestError for an archive in a folder that is not the pipeline's own, WorkFailed as `unpack` does.
    """
    for folder in sorted({path.rpartition("/")[0] for path in paths}):
        parts = [part for part in folder.split("/") if part not in ("", ".")]
        if ".." not in parts and not folder.startswith("/"):
            _unpack_below(raw, raw, parts, log)


def _unpack_below(raw: Path, folder: Path, parts: Sequence[str], log: Log | None) -> None:
    """The same for what lies in `folder`, one name after the other."""
    if not parts:
        return
    for name in _called(folder, parts[0]) if ANY in parts[0] else parts[:1]:
        place = folder / name
        if not place.is_dir():
            archive = archive_of(place)
            if archive is None or os.path.lexists(place):
                continue
            _unpack_beside(raw, archive, place, list(parts[1:2]) == [name], log)
        _unpack_below(raw, place, parts[1:], log)


def _called(folder: Path, name: str) -> list[str]:
    """Folders in a folder, there or in archives, that a name with `*` means."""
    found = set[str]()
    for entry in os.scandir(folder):
        own = entry.name
        if not entry.is_dir():
            own = next((own.removesuffix(end) for end in ENDINGS if own.endswith(end)), "")
        if own[:1] not in ("", ".") and fnmatchcase(own, open_ended(name)):
            found.add(own)
    return sorted(found)


def open_ended(path: str) -> str:
    """A pattern in which only `*` is no letter, as `glob` and `fnmatch` read it."""
    return glob.escape(path).replace(f"[{ANY}]", ANY)


def archive_of(place: Path) -> Path | None:
    """The archive that is called as a folder which is not there."""
    return next((path for end in ENDINGS if (path := place.with_name(place.name + end)).is_file()), None)


def archives_in_words(raw: Path) -> str:
    """What to say of archives where a folder is missing that none is called as; empty where there are none."""
    names = sorted(entry.name for entry in os.scandir(raw) if entry.is_file() and entry.name.endswith(ENDINGS))
    folders = [name.removesuffix(next(end for end in ENDINGS if name.endswith(end))) for name in names]
    shown = ", ".join(f"{folder}/ for {name}" for folder, name in list(zip(folders, names, strict=True))[:3])
    return f"; archives are unpacked where the file names their folders: {shown}" if shown else ""


def _unpack_beside(raw: Path, archive: Path, place: Path, doubled: bool, log: Log | None) -> None:
    """Unpack into a hidden folder, then put what is meant in place in one rename. `doubled`: its folder stays one."""
    if not Path(os.path.realpath(place.parent)).is_relative_to(os.path.realpath(raw)):
        raise RequestError(
            f"{archive.relative_to(raw)} lies in a folder that is used where it is ({os.path.realpath(place.parent)}); "
            f"unpack it there, as {place.name}/"
        )
    hidden = place.with_name(f".{place.name}.unpacked")
    shutil.rmtree(hidden, ignore_errors=True)  # of a killed run
    try:
        if log is None:
            unpack(archive, hidden)
        else:
            log.say(f"data: unpacking {archive.relative_to(raw)} to {place.relative_to(raw)}/")
            with log.bar(f"unpack {archive.name}") as progress:
                unpack(archive, hidden, progress=progress)
        names = [name for name in os.listdir(hidden) if name != ASIDE]
        inner = hidden / place.name
        alone = not doubled and names == [place.name] and inner.is_dir() and not inner.is_symlink()
        os.rename(inner if alone else hidden, place)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
