"""Getting the raw files: from a path, a URL, the drawn demo, or a Kaggle competition, mounted or downloaded."""

import os
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from pipeline.config import Source
from pipeline.data.archive import ENDINGS, unpack
from pipeline.errors import RequestError, WorkFailed
from pipeline.log import Log
from pipeline.workspace import Workspace, atomic_folder, read_json, write_json

KAGGLE_INPUT = Path("/kaggle/input")
INPUT_VARIABLE = "PIPELINE_KAGGLE_INPUT"  # where Kaggle's inputs are mounted in a rehearsal


def ensure_raw(source: Source, workspace: Workspace, log: Log, force: bool = False) -> bool:
    """Get the raw files unless they are here. Returns whether it did. Raises RequestError for files of others."""
    stamp = {"source": identity(source)}
    known = read_json(workspace.fetched) or {}
    same = known.get("source") == stamp["source"]
    there = workspace.raw.is_dir() and any(not entry.name.startswith(".") for entry in workspace.raw.iterdir())
    if there and same and not force:
        return False
    if there and not known and source.kind == "kaggle":
        log.say(f"data: using the files that are already in {workspace.raw}")
        write_json(workspace.fetched, {**stamp, "adopted": True})
        return False
    if there and same and source.kind == "kaggle":
        return False
    if there and (not known or known.get("adopted")):
        raise RequestError(
            f"{workspace.raw} holds files that the pipeline did not put there; move them away, "
            "or to a folder of their own and use them with --set source.path=FOLDER"
        )
    fetch(source, workspace, stamp, log)
    return True


def fetch(source: Source, workspace: Workspace, stamp: dict[str, Any], log: Log) -> None:
    """Fill `workspace.raw` from the source with `stamp` (JSON, named fetched.json) inside, in one rename.

    What an earlier source had put there is replaced, but for the folds: they are never silently remade.
    Raises RequestError where the source names nothing, or the raw folder; WorkFailed where it cannot be had.
    """
    _refuse_itself(source, workspace.raw)
    with atomic_folder(workspace.raw) as making:
        _fill(source, making, workspace, log)
        write_json(making / workspace.meta.name / workspace.fetched.name, stamp)
        for kept in (workspace.folds, workspace.stamp("folds")):
            if kept.is_file():
                shutil.copy2(kept, making / workspace.meta.name / kept.name)


def _refuse_itself(source: Source, raw: Path) -> None:
    """What is fetched replaces the raw folder: a source inside of it would be lost, one around it loops."""
    if source.path is not None:
        path, here = Path(source.path).resolve(), raw.resolve()
        if path.is_relative_to(here) or (path.is_dir() and here.is_relative_to(path)):
            raise RequestError(
                f"source.path: {path} and the pipeline's own {raw} lie in one another; "
                "move the files to a folder of their own"
            )


def identity(source: Source) -> dict[str, Any]:
    """What the raw files are made from: a path by where it is, so that the archive may go after unpacking."""
    if source.path is not None:
        return {"path": str(Path(source.path).resolve())}
    return {source.kind: getattr(source, source.kind)}


def _fill(source: Source, making: Path, workspace: Workspace, log: Log) -> None:
    match source:
        case Source(path=str(path)):
            _from_path(Path(path), "source.path", making, log)
        case Source(url=str(url)):
            _from_path(_download(url, log), "source.url", making, log)
        case Source(demo=int(seed)):
            _draw(seed, making, workspace, log)
        case Source(kaggle=str(competition)):
            _from_kaggle(competition, workspace, making, log)


def _from_path(path: Path, key: str, making: Path, log: Log) -> None:
    if path.is_dir():
        _link(path, making)
    elif path.is_file():
        log.say(f"unpacking {path}")
        with log.bar(f"unpack {path.name}") as progress:
            unpack(path, making, progress=progress)
    else:
        raise RequestError(f"{key}: nothing at {path}; give a folder or an archive ({', '.join(ENDINGS)})")


def _link(folder: Path, making: Path) -> None:
    """Use a folder's entries where they are: it may be large, or read-only."""
    making.mkdir()
    for entry in sorted(folder.resolve().iterdir()):
        if not entry.name.startswith("."):
            (making / entry.name).symlink_to(entry)


def _download(url: str, log: Log) -> Path:
    """Download with fastai's own downloader, into the archive folder that `untar_data` shares."""
    import fastai.data
    from fastdownload import FastDownload

    log.say(f"downloading {url}")
    try:
        with redirect_stdout(sys.stderr):  # its progress bar; standard output is for results
            return Path(FastDownload(base="~/.fastai", module=fastai.data).download(url))
    except Exception as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]  # the rest is the server's page
        raise WorkFailed(
            f"source.url: cannot download {url} ({why}); connect to a network, or point at a copy with "
            "--set source.path=FILE"
        ) from error


def _draw(seed: int, making: Path, workspace: Workspace, log: Log) -> None:
    from pipeline.data.demo import draw_competition

    log.say(f"drawing the demo competition (seed {seed})")
    answers = making.with_suffix(".answers")  # beside, not inside, until the pictures are drawn
    making.mkdir()
    draw_competition(making, answers, seed)
    (making / workspace.meta.name).mkdir()
    os.rename(answers, making / workspace.meta.name / workspace.solution.name)


def kaggle_input() -> Path:
    """Where Kaggle mounts inputs: /kaggle/input, but for a rehearsal."""
    return Path(os.environ.get(INPUT_VARIABLE) or KAGGLE_INPUT)


def mounted_competition(competition: str) -> Path | None:
    """Where Kaggle mounted a competition, in the layout of 2026 or the one before."""
    places = [kaggle_input() / "competitions" / competition, kaggle_input() / competition]
    return next((place for place in places if place.is_dir()), None)


def _from_kaggle(competition: str, workspace: Workspace, making: Path, log: Log) -> None:
    """Use what is mounted, or the archive that lies beside the raw folder; download only where there is neither."""
    archive = workspace.raw.parent / f"{competition}.zip"
    mounted = mounted_competition(competition)
    if mounted is not None or archive.exists():
        log.say(f"data: using {mounted or archive}, which is here already; nothing is downloaded")
        if mounted is not None:
            _link(mounted, making)
        else:
            _unpack_download(archive, making, log)
        return
    if os.environ.get("KAGGLE_KERNEL_RUN_TYPE"):
        raise WorkFailed(
            f"the competition {competition!r} is not mounted below {kaggle_input()}; add it to the notebook's inputs"
        )
    _download_competition(competition, archive, log)
    _unpack_download(archive, making, log)
    archive.unlink()


def _unpack_download(archive: Path, making: Path, log: Log) -> None:
    try:
        _from_path(archive, "source.kaggle", making, log)
    except WorkFailed as error:
        raise WorkFailed(f"{error} (once {archive} is removed, `pipeline data` downloads it anew)") from None


def _download_competition(competition: str, archive: Path, log: Log) -> None:
    from pipeline.kaggle.client import Kaggle
    from pipeline.kaggle.competition import download_files
    from pipeline.kaggle.credentials import NoCredentials

    try:
        download_files(Kaggle(log), competition, archive)
    except NoCredentials as error:
        raise WorkFailed(
            f"no files of the Kaggle competition {competition!r} here, and {error}; or download its archive to "
            f"{archive} (kaggle competitions download -c {competition}), or give it with --set source.path=FILE"
        ) from None
