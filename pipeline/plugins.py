"""Plug-ins: Python files of the user's own, named on the command line, that add entries to registries.

A competition file never names one: it stays safe to open. What a file holds is part of what is up to date: an entry's
code is recorded with each use of its name (`registry.code_in`).
"""

import hashlib
import sys
import traceback
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

from pipeline.errors import PipelineError, RequestError
from pipeline.registry import adding_from


def load_plug_ins(paths: Iterable[Path | str]) -> list[Path]:
    """Run each file, which adds what it brings; returns them, absolute. Raises RequestError for one that cannot be run,
    or that adds a name which is taken.
    """
    return [_load(Path(path).resolve()) for path in dict.fromkeys(paths)]


def _load(path: Path) -> Path:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise RequestError(f"--plugin {path}: cannot be read ({error.strerror})") from None
    sha256 = hashlib.sha256(source).hexdigest()
    name = f"pipeline_plug_in_{path.stem}_{sha256[:8]}"
    module = module_from_spec(ModuleSpec(name, loader=None, origin=str(path)))
    module.__file__ = str(path)
    try:
        with adding_from(path, sha256):
            code = compile(source, str(path), "exec")
            sys.modules[name] = module  # dataclasses and pickles look their module up
            exec(code, module.__dict__)
    except PipelineError:
        raise
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = getattr(error, "lineno", None) or (frames[-1].lineno if frames else None)
        where = f", line {line}" if line else ""
        raise RequestError(f"--plugin {path}{where}: {type(error).__name__}: {error}") from error
    return path
