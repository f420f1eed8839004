"""Entries of one's own, as a plug-in file adds them, for as long as a test takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.registry import PlugIn, adding_from, forget


@contextmanager
def plugged(path: str = "/plug-ins/own.py", sha256: str = "0" * 64) -> Iterator[None]:
    """While this is entered, what is added is a plug-in's; afterwards it is gone."""
    try:
        with adding_from(path, sha256):
            yield
    finally:
        forget(PlugIn(Path(path), sha256))
