"""rehearse: the very notebook, run here as it would run on Kaggle, to find what would fail there.

A fresh virtual environment holds what Kaggle's image holds of what we need, in its versions, and nothing of ours;
the notebook installs the bundle into it. There is no network, the inputs lie in Kaggle's layout, and the working
folder is capped. What it cannot show: a GPU, Kaggle's memory, and packages of the image that we do not need.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from pipeline.config import Competition
from pipeline.errors import RequestError, WorkFailed
from pipeline.kaggle.image import PYTHON
from pipeline.kaggle.manifest import read_manifest
from pipeline.kaggle.notebook import codes_of, notebook
from pipeline.kaggle.wheels import requirements_of
from pipeline.log import Log
from pipeline.stages.bundle import refuse_stale
from pipeline.stages.kernel import Chosen, dataset_slug, fits, kernel_slug
from pipeline.stages.send import competition_of
from pipeline.stages.train import chosen_folds, chosen_models
from pipeline.workspace import Workspace

# The two lines of fastai and fastcore that both must work; the image's is what it holds.
LINES: dict[str, dict[str, str]] = {
    "image": {},
    "next": {"fastai": "==2.8.12", "fastcore": ">=2,<3", "plum-dispatch": ""},
}
ALSO = ("fastcore", "plum-dispatch")  # what fastai stands on, in the image's versions
SHOWN = ("torch", "fastai", "fastcore", "plum-dispatch", "timm", "numpy", "pandas")
NO_NETWORK = '''"""No network in a rehearsal: refuses what a namespace without interfaces would refuse."""
import socket

_connect = socket.socket.connect


def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        raise OSError(101, "Network is unreachable (a rehearsal has none)")
    return _connect(self, address)


socket.socket.connect = connect
socket.socket.connect_ex = lambda self, address: 101
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


def rehearse(
    comp: Competition,
    workspace: Workspace,
    log: Log,
    chosen: Chosen,
    line: str = "image",
    python: str = PYTHON,
    gigabytes: float = 20.0,
) -> dict[str, Any]:
    """Run the bundle's notebook once. Returns {"line", "versions", "network", "seconds", "megabytes", "outputs"}.

    A second rehearsal of the same line goes on from the first one's output, as a second push does. Raises
    WorkFailed with what would fail on Kaggle.
    """
    if line not in LINES:
        raise RequestError(f"--line {line!r}: expected {' or '.join(LINES)}")
    competition = competition_of(comp)
    folder = refuse_stale(comp, workspace)
    place = Folders(workspace.runs / "kernel" / "rehearsal" / line)
    _lay_out(place, comp, workspace, folder, competition, chosen.stage)
    uv = _find_uv()
    log.say(f"rehearse: a fresh environment of Python {python} with the packages of the image ({line})")
    _make_environment(place, uv, python, folder, LINES[line])
    settings = {"slug": comp.slug, "stage": chosen.stage, "minutes": chosen.minutes, "model": chosen.model}
    settings |= {"folds": chosen_folds(comp, chosen.folds)}
    fence, network = _fence(place)
    started = time.monotonic()
    code, most, over = _run(place, fence, notebook(settings), log, gigabytes)
    seconds = time.monotonic() - started
    _refuse_failure(code, most, over, gigabytes)
    made = _outputs(comp, workspace, place, chosen)
    versions = _versions(place)
    log.say(
        f"rehearse: passed in {seconds:.0f} s; network: {network}; working folder at most {most / 1e6:.1f} MB; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
    )
    about = {"line": line, "versions": versions, "network": network, "seconds": round(seconds, 1)}
    return {**about, "megabytes": round(most / 1e6, 1), "outputs": made}


def _lay_out(
    place: Folders, comp: Competition, workspace: Workspace, bundle: Path, competition: str, stage: str
) -> None:
    """Inputs as Kaggle mounts them: the competition, the dataset, the last rehearsal as a kernel of its own."""
    place.root.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place.input, ignore_errors=True)
    shutil.rmtree(place.scratch, ignore_errors=True)
    mounted = place.input / "competitions" / competition
    mounted.mkdir(parents=True)
    for entry in sorted(workspace.raw.iterdir()):
        if not entry.name.startswith("."):
            (mounted / entry.name).symlink_to(entry.resolve())
    shutil.copytree(bundle, place.input / "datasets" / "you" / dataset_slug(comp))
    if (place.working / "session.json").is_file():
        earlier = place.input / "notebooks" / "you" / kernel_slug(comp, stage)
        earlier.parent.mkdir(parents=True)
        place.working.rename(earlier)
    shutil.rmtree(place.working, ignore_errors=True)
    for folder in (place.working, place.scratch, place.root / "home"):
        folder.mkdir(exist_ok=True)


def _find_uv() -> str:
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if found is None:
        raise RequestError("a rehearsal makes its environment with uv, which is not here; pip install uv")
    return found


def _make_environment(place: Folders, uv: str, python: str, bundle: Path, pins: dict[str, str]) -> None:
    """A fresh environment with the image's packages that our wheel asks for; what the bundle adds stays out."""
    _, said = read_manifest(bundle)
    (wheel,) = bundle.glob("pipeline-*.whl")
    names = {str(canonicalize_name(one.name)) for one in requirements_of(wheel)} | set(ALSO)
    image = {name: f"=={version}" for name, version in said["image"].items() if name in names} | pins
    wanted = [f"{name}{pin}" for name, pin in sorted(image.items())]
    _quiet([uv, "venv", "--clear", "--seed", "--quiet", "--python", python, str(place.root / "venv")])
    _quiet([uv, "pip", "install", "--quiet", "--python", str(place.python), *wanted])
    (packages,) = (place.root / "venv" / "lib").glob("python*/site-packages")
    (packages / "sitecustomize.py").write_text(NO_NETWORK)


def _quiet(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = next((line for line in done.stderr.splitlines() if line.strip()), "no reason given")
        raise WorkFailed(
            f"rehearse: {' '.join(Path(command[0]).name.split() + list(command[1:3]))}: {why.strip()[:300]}"
        )


def _fence(place: Folders) -> tuple[list[str], str]:
    """How to run without a network: in a namespace that has none where the system allows it; Python refuses anyway.

    Raises WorkFailed where the environment is not what it should be: a network, or our package in it already.
    """
    fence = ["unshare", "--map-root-user", "--net"]
    allowed = (
        shutil.which("unshare") and subprocess.run([*fence, "true"], capture_output=True, check=False).returncode == 0
    )
    fence = fence if allowed else []
    reach = "import socket; socket.create_connection(('192.0.2.1', 9), 1)"
    for what, code in (("a network", reach), ("our package before the bundle is installed", "import pipeline")):
        probe = subprocess.run(
            [*fence, str(place.python), "-c", code],
            capture_output=True,
            env=_env(place),
            cwd=place.working,
            check=False,
        )
        if probe.returncode == 0:
            raise WorkFailed(f"rehearse: the environment has {what}; it would prove nothing")
    return fence, "none (a namespace of its own)" if allowed else "refused in Python"


def _env(place: Folders) -> dict[str, str]:
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


def _run(place: Folders, fence: list[str], text: str, log: Log, gigabytes: float) -> tuple[int, int, bool]:
    """Run the notebook's cells; returns the exit code, the most bytes in the working folder, and if it was too many."""
    (place.root / "cells.json").write_text(json.dumps(codes_of(text)))
    (place.root / "run.py").write_text(RUN)
    command = [*fence, str(place.python), "-u", str(place.root / "run.py"), str(place.root / "cells.json")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=place.working,
        env=_env(place),
        start_new_session=True,
    )
    watch = _Cap(place.working, gigabytes * 1e9, process)
    watch.start()
    try:
        for said in process.stdout or ():
            log.say(f"  {said.rstrip()}")
        code = process.wait()
    finally:
        watch.end()
    return code, watch.most, watch.over


class _Cap(threading.Thread):
    """Kills the notebook once its working folder holds more than Kaggle keeps."""

    def __init__(self, folder: Path, limit: float, process: subprocess.Popen) -> None:
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


def _refuse_failure(code: int, most: int, over: bool, gigabytes: float) -> None:
    if over:
        raise WorkFailed(f"rehearse: the working folder came to {most / 1e9:.3g} GB; Kaggle keeps {gigabytes:g} GB")
    if code:
        raise WorkFailed(f"rehearse: the notebook failed ({code}); the lines above say why, and it would on Kaggle")


def _outputs(comp: Competition, workspace: Workspace, place: Folders, chosen: Chosen) -> list[str]:
    """What the notebook made: folds that would be taken up here, or the submission. Raises WorkFailed for nothing."""
    if chosen.stage == "infer":
        made = ["submission.csv"] if (place.working / "submission.csv").is_file() else []
    else:
        summary = json.loads((place.working / "session.json").read_text())
        made = []
        for model in chosen_models(comp, chosen.model):
            for k in summary["done"].get(model.name, []):
                why = fits(comp, workspace, place.working, model, k)
                if why:
                    raise WorkFailed(f"rehearse: {model.name} fold {k} would not count as trained here: {why}")
                made.append(f"{model.name}/fold-{k}")
            made += [f"{model.name}/fold-{k} (unfinished)" for k in summary["left"].get(model.name, [])]
    if not made:
        raise WorkFailed("rehearse: the notebook ended well and left nothing")
    return made


def _versions(place: Folders) -> dict[str, str]:
    code = (
        f"import json; from importlib.metadata import version; print(json.dumps({{n: version(n) for n in {SHOWN!r}}}))"
    )
    done = subprocess.run([str(place.python), "-c", code], capture_output=True, text=True, check=True, env=_env(place))
    return json.loads(done.stdout)
