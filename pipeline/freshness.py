"""What is up to date: each step remembers what it was made from, and is skipped while that is unchanged."""

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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

    `inputs` is everything that its result depends on, as JSON: its slice of the competition file, digests of
    the artifacts it reads, and a version that is raised when the code would give another result. The stamp is
    written last, so a step without one has not finished.
    """

    stamp: Path
    inputs: Mapping[str, Any]
    outputs: tuple[Path, ...]

    def state(self) -> State:
        recorded = self._recorded()
        if recorded is None:
            return "missing"
        return "done" if recorded["inputs"] == self._inputs() and self._intact(recorded) else "stale"

    def done(self) -> bool:
        return self.state() == "done"

    def record(self, **facts: Any) -> None:
        """Say that the step is finished; `facts` (seconds, ...) are kept beside."""
        write_json(self.stamp, {"inputs": self._inputs(), "outputs": self._marks(), **facts})

    def facts(self) -> dict[str, Any]:
        """What was recorded; empty where nothing was."""
        return self._recorded() or {}

    def reason(self) -> str:
        """In words, why a step is stale."""
        recorded = self._recorded() or {"inputs": {}, "outputs": {}}
        now = self._inputs()
        for key in [*now, *recorded["inputs"]]:
            before, after = recorded["inputs"].get(key), now.get(key)
            if before != after:
                return _difference(key, before, after)
        gone = [name for name, mark in self._marks().items() if recorded["outputs"].get(name) != mark]
        return f"{', '.join(gone)} is missing or was changed by hand" if gone else "nothing changed"

    def _inputs(self) -> dict[str, Any]:
        return json.loads(json.dumps(self.inputs))

    def _recorded(self) -> dict[str, Any] | None:
        recorded = read_json(self.stamp)
        return recorded if isinstance(recorded, dict) and {"inputs", "outputs"} <= recorded.keys() else None

    def _intact(self, recorded: Mapping[str, Any]) -> bool:
        marks = self._marks()
        return None not in marks.values() and recorded["outputs"] == marks

    def _marks(self) -> dict[str, str | int | None]:
        """Each output's content by its place relative to the stamp, so that a moved root stays up to date."""
        return {os.path.relpath(path, self.stamp.parent): _mark(path) for path in self.outputs}


HASHED_UP_TO = 64 << 20  # bytes; weights above that are known by their size, so that `status` stays quick


def _mark(path: Path) -> str | int | None:
    try:
        size = os.stat(path).st_size
    except OSError:
        return None
    return digest(path) if size <= HASHED_UP_TO else size


def _difference(key: str, before: Any, after: Any) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        for inner in [*after, *before]:
            if before.get(inner) != after.get(inner):
                return _difference(f"{key}.{inner}", before.get(inner), after.get(inner))
    shown = [json.dumps(value, ensure_ascii=False) for value in (before, after)]
    if all(len(text) <= 40 for text in shown):
        return f"{key} changed from {shown[0]} to {shown[1]}"
    return f"{key} changed"
