"""A place that is like a kernel on Kaggle: its folders, its packages, no network, and as little room."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import RequestError, WorkFailed

NO_NETWORK = '''"""No network in a rehearsal: refuses what a namespace without interfaces would refuse."""
import socket

for name in ("connect", "connect_ex", "sendto"):

    def refuse(self, *args, real=getattr(socket.socket, name)):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise OSError(101, "Network is unreachable (a rehearsal has none)")
        return real(self, *args)

    setattr(socket.socket, name, refuse)
'''
RUN = """import json, sys
names = {"__name__": "__main__"}
for number, code in enumerate(json.load(open(sys.argv[1])), 1):
    exec(compile(code, f"cell {number}", "exec"), names)
"""


@dataclass(frozen=True)
class Folders:
    """The folders of a rehearsal: what Kaggle mounts, keeps, and forgets."""

    root: Path

    @property
    def python(self) -> Path:
        return self.root / "venv" / "bin" / "python"

    @property
    def input(self) -> Path:
        return self.root / "input"

    @property
    def working(self) -> Path:
        return self.root / "working"

    @property
    def scratch(self) -> Path:
        return self.root / "temp"


def make_environment(place: Folders, python: str, packages: Sequence[str]) -> None:
    """A fresh virtual environment with just these packages and pip, made by uv (its cache is linked, not copied)."""
    uv = _find_uv()
    _quiet([uv, "venv", "--clear", "--seed", "--quiet", "--python", python, str(place.root / "venv")])
    _quiet([uv, "pip", "install", "--quiet", "--python", str(place.python), *packages])
    refuse_sockets(place)


def refuse_sockets(place: Folders) -> None:
    """Make every Python of the environment refuse the network."""
    (packages,) = (place.root / "venv" / "lib").glob("python*/site-packages")
    (packages / "sitecustomize.py").write_text(NO_NETWORK)


def fence_off(place: Folders) -> tuple[list[str], str]:
    """How to run without a network: in a namespace that has none where the system allows it; Python refuses anyway.

    Raises WorkFailed where the environment is not what it should be: a network, or our package in it already.
    """
    fence = ["unshare", "--map-root-user", "--net"]
    allowed = (
        shutil.which("unshare") and subprocess.run([*fence, "true"], capture_output=True, check=False).returncode == 0
    )
    fence = fence if allowed else []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        reach = f"import socket; socket.create_connection(('127.0.0.1', {listening.getsockname()[1]}), 1)"
        for what, code in (("a network", reach), ("our package before the bundle is installed", "import pipeline")):
            probe = subprocess.run(
                [*fence, str(place.python), "-c", code],
                capture_output=True,
                env=environment(place),
                cwd=place.working,
                check=False,
            )
            if probe.returncode == 0:
                raise WorkFailed(f"rehearse: the environment has {what}; it would prove nothing")
    return fence, "none (a namespace of its own)" if allowed else "refused in Python"


def environment(place: Folders) -> dict[str, str]:
    """What the notebook sees: nothing of this session's environment but the language and the threads."""
    kept = {key: os.environ[key] for key in ("LANG", "OMP_NUM_THREADS") if key in os.environ}
    return kept | {
        "PATH": f"{place.python.parent}:/usr/bin:/bin",
        "HOME": str(place.root / "home"),
        "TMPDIR": str(place.scratch),
        "PIP_CONFIG_FILE": os.devnull,
        "KAGGLE_KERNEL_RUN_TYPE": "Batch",
        "PIPELINE_KAGGLE_INPUT": str(place.input),
        "PIPELINE_KAGGLE_WORKING": str(place.working),
        "PIPELINE_KAGGLE_SCRATCH": str(place.scratch),
    }


def run_cells(
    place: Folders, fence: list[str], cells: Sequence[str], say: Callable[[str], None], gigabytes: float
) -> tuple[int, int, bool]:
    """Run the notebook's cells; returns the exit code, the most bytes in the working folder, and if it was too many."""
    (place.root / "cells.json").write_text(json.dumps(list(cells)))
    (place.root / "run.py").write_text(RUN)
    command = [*fence, str(place.python), "-u", str(place.root / "run.py"), str(place.root / "cells.json")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=place.working,
        env=environment(place),
        start_new_session=True,
    )
    watch = _Cap(place.working, gigabytes * 1e9, process)
    watch.start()
    try:
        for said in process.stdout or ():
            say(said.rstrip())
        code = process.wait()
    finally:
        watch.end()
    return code, watch.most, watch.over


class _Cap(threading.Thread):
    """Kills the notebook once its working folder holds more than Kaggle keeps."""

    def __init__(self, folder: Path, limit: float, process: subprocess.Popen[str]) -> None:
        super().__init__(daemon=True)
        self.folder, self.limit, self.process = folder, limit, process
        self.most, self.over, self.ended = 0, False, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            self.look()

    def look(self) -> None:
        self.most = max(self.most, _bytes_below(self.folder))
        if self.most > self.limit and not self.over:
            self.over = True
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Stop watching, after a last look; the notebook goes too if it still runs."""
        self.ended.set()
        self.join()
        self.look()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _bytes_below(folder: Path) -> int:
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(at, name)).st_size
            except OSError:  # a temporary file that has gone meanwhile
                continue
    return total


def _find_uv() -> str:
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if found is None:
        raise RequestError("a rehearsal makes its environment with uv, which is not here; pip install uv")
    return found


def _quiet(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = next((line for line in done.stderr.splitlines() if line.strip()), "no reason given")
        raise WorkFailed(
            f"rehearse: {' '.join(Path(command[0]).name.split() + list(command[1:3]))}: {why.strip()[:300]}"
        )
