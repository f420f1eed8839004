"""What is up to date: each step remembers what it was made from, and is skipped while that is unchanged."""

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from pipeline.settings import Settings, differences
from pipeline.workspace import read_json, write_json

State = Literal["done", "stale", "missing"]


def digest(path: Path) -> str | None:
    """SHA-256 of a file's bytes in hex; None where there is no file."""
    try:
        stat = os.stat(path)
        return _digest(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    except (FileNotFoundError, NotADirectoryError):
        return None


@functools.lru_cache(maxsize=4096)
def _digest(path: Path, *_: int) -> str:
    """Read once for each state of the file: every step of a status asks for the same few. Each write makes a new
    inode (workspace.atomic), so that no state is taken for another."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Step:
    """One restartable piece of work: a stage, or a stage of one model or fold.

    `inputs` is everything that its result depends on: `Settings` of sections of the competition file, digests of the
    artifacts it reads, and a version that is raised when the code would give another result, a default's meaning
    included. They are compared by meaning (`settings.differences`). The stamp is written last, so a step without one
    has not finished.
    """

    stamp: Path
    inputs: Mapping[str, Any]
    outputs: tuple[Path, ...]

    def state(self) -> State:
        recorded = self._recorded()
        if recorded is None:
            return "missing"
        return "done" if not self._changed(recorded) and self._intact(recorded) else "stale"

    def done(self) -> bool:
        return self.state() == "done"

    def record(self, **facts: Any) -> None:
        """Say that the step is finished; `facts` (seconds, ...) are kept beside."""
        write_json(self.stamp, {"inputs": self.inputs, "outputs": self._marks(), "form": FORM, **facts})

    def facts(self) -> dict[str, Any]:
        """What was recorded; empty where nothing was."""
        return self._recorded() or {}

    def reason(self) -> str:
        """In words, why a step is stale."""
        recorded = self._recorded() or {"inputs": {}, "outputs": {}}
        changed = self._changed(recorded)
        if changed:
            return "; ".join(changed[:SHOWN]) + (f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else "")
        gone = [name for name, mark in self._marks().items() if recorded["outputs"].get(name) != mark]
        return f"{', '.join(gone)} is missing or was changed by hand" if gone else "nothing changed"

    def same_inputs(self) -> bool:
        """Whether the inputs mean what was recorded, whatever has become of the outputs."""
        recorded = self._recorded()
        return recorded is not None and not self._changed(recorded)

    def _changed(self, recorded: Mapping[str, Any]) -> list[str]:
        before = recorded["inputs"]
        if "form" not in recorded:
            before = {key: _resolved(value, self.inputs.get(key)) for key, value in before.items()}
        return list(differences("", before, self.inputs if isinstance(self.inputs, dict) else dict(self.inputs)))

    def _recorded(self) -> dict[str, Any] | None:
        recorded = read_json(self.stamp)
        return recorded if isinstance(recorded, dict) and {"inputs", "outputs"} <= recorded.keys() else None

    def _intact(self, recorded: Mapping[str, Any]) -> bool:
        marks = self._marks()
        return None not in marks.values() and recorded["outputs"] == marks

    def _marks(self) -> dict[str, str | int | None]:
        """Each output's content by its place relative to the stamp, so that a moved root stays up to date."""
        return {os.path.relpath(path, self.stamp.parent): _mark(path) for path in self.outputs}


SHOWN = 3  # differences that a reason names
FORM = 2  # of a stamp: sections are recorded as they are meant; without a form, as they were spelled


def _resolved(spelled: Any, now: Any) -> Any:
    """A section as an older stamp spells it, in the form of `now`."""
    if isinstance(now, Settings) and now.from_spelled and isinstance(spelled, dict):
        try:
            return now.from_spelled(spelled)
        except ValidationError:  # it says what no file may say any more
            return spelled
    if isinstance(now, (list, tuple)) and isinstance(spelled, list) and len(now) == len(spelled):
        return [_resolved(*pair) for pair in zip(spelled, now, strict=True)]
    return spelled


HASHED_UP_TO = 64 << 20  # bytes; weights above that are known by their size, so that `status` stays quick


def _mark(path: Path) -> str | int | None:
    try:
        size = os.stat(path).st_size
    except OSError:
        return None
    return digest(path) if size <= HASHED_UP_TO else size
