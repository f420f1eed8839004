"""new --from: a competition file written after a raw download, and checked by the data stage."""

from pathlib import Path

from pipeline.competitions import load
from pipeline.competitions.new import place_of
from pipeline.config import Source
from pipeline.data.archive import ENDINGS
from pipeline.data.fetch import ensure_raw
from pipeline.errors import PipelineError, RequestError
from pipeline.log import Log
from pipeline.looking.draft import Draft, Head
from pipeline.looking.look import look
from pipeline.looking.packed import unpack_all
from pipeline.stages.data import data
from pipeline.workspace import Workspace, locked, write_text


def new_from(slug: str, given: Path, root: Path, log: Log) -> Path:
    """Fetch the download as `data` does, write ROOT/<slug>.toml after it, and run `data` with that file.

    Raises RequestError where nothing fits, and, once the file is written, where `data` refuses it.
    """
    path = place_of(slug, root)
    workspace, head = Workspace(root.resolve(), slug), Head(slug, str(given))
    if not given.exists() and not workspace.raw.is_dir():  # what was unpacked before needs no archive any more
        raise RequestError(f"--from {given}: nothing is there; give a folder or an archive ({', '.join(ENDINGS)})")
    with locked(workspace):
        ensure_raw(Source(path=str(given)), workspace, log)
        refused = unpack_all(workspace.raw, log)
        draft = look(workspace.raw, head)
        draft.doubts += refused
        write_text(path, draft.text(head))
        tell(draft, log)
        try:
            data(load(str(path)), workspace, log)
        except PipelineError as error:
            raise RequestError(f"wrote {path}, but `data` refuses what it says; edit it there: {error}") from None
    return path


def tell(draft: Draft, log: Log) -> None:
    """What was found, what is a guess, and what could not be told."""
    for line in draft.found:
        log.say(f"new: {line}")
    for line in draft.guesses:
        log.say(f"new: a guess: {line}")
    for line in draft.doubts:
        log.warn(line)
