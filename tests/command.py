"""The `pipeline` command in tests: inside this process, or in a child that can be killed."""

import contextlib
import io
import json
import multiprocessing
import os
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def pipeline(*args: object) -> Result:
    """Run the command line in this process: torch is imported once for all tests."""
    from pipeline.cli import main

    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["pipeline", *map(str, args)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.argv = argv
    return Result(code, out.getvalue(), err.getvalue())


def _child(args: tuple[str, ...], log: str) -> None:
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["pipeline", *args]
    from pipeline.cli import main

    main()


def start(*args: object, log: object) -> multiprocessing.Process:
    """Start the command in a process of its own, forked from a server that has imported torch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipeline.road", "pipeline.vision.train", "pipeline.vision.predict"])
    child = context.Process(target=_child, args=(tuple(map(str, args)), str(log)))
    child.start()
    return child
