"""rehearse: the very notebook, run here as it would run on Kaggle, to find what would fail there.

A fresh virtual environment holds what Kaggle's image holds of what we need, in its versions, and nothing of ours;
the notebook installs the bundle into it. There is no network, the inputs lie in Kaggle's layout, and the working
folder is capped. What it cannot show: a GPU, Kaggle's memory, and packages of the image that we do not need.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from pipeline.commands.bundle import link_or_copy, refuse_stale
from pipeline.commands.kernel import Chosen, dataset_slug, fits, kernel_slug
from pipeline.commands.send import competition_of
from pipeline.config import Competition
from pipeline.errors import RequestError, WorkFailed
from pipeline.jobs import chosen_folds, jobs_of
from pipeline.kaggle.image import PYTHON
from pipeline.kaggle.manifest import read_manifest
from pipeline.kaggle.notebook import codes_of, notebook
from pipeline.kaggle.sandbox import Folders, environment, fence_off, make_environment, run_cells
from pipeline.kaggle.wheels import requirements_of
from pipeline.log import Log
from pipeline.workspace import SESSION, SUBMISSION, Workspace

# The two lines of fastai and fastcore that both must work; the image's is what it holds.
LINES: dict[str, dict[str, str]] = {
    "image": {},
    "next": {"fastai": "==2.8.12", "fastcore": ">=2,<3", "plum-dispatch": ""},
}
ALSO = ("fastcore", "plum-dispatch")  # what fastai stands on, in the image's versions
SHOWN = ("torch", "fastai", "fastcore", "plum-dispatch", "timm", "numpy", "pandas")


def rehearse(
    comp: Competition,
    workspace: Workspace,
    log: Log,
    chosen: Chosen,
    line: str = "image",
    python: str = PYTHON,
    gigabytes: float = 20.0,
    plugins: Sequence[Path] = (),
) -> dict[str, Any]:
    """Run the bundle's notebook once. Returns {"line", "versions", "network", "seconds", "megabytes", "outputs"}.

    A second rehearsal of the same line goes on from the first one's output, as a second push does. Raises
    WorkFailed with what would fail on Kaggle.
    """
    if line not in LINES:
        raise RequestError(f"--line {line!r}: expected {' or '.join(LINES)}")
    competition = competition_of(comp)
    folder = refuse_stale(comp, workspace, plugins)
    place = Folders(workspace.rehearsal(line))
    _lay_out(place, comp, workspace, folder, competition, chosen.stage)
    log.say(f"rehearse: a fresh environment of Python {python} with the packages of the image ({line})")
    make_environment(place, python, packages_of(folder, line))
    settings = {"slug": comp.slug, "stage": chosen.stage, "minutes": chosen.minutes, "model": chosen.model}
    settings |= {"folds": chosen_folds(comp, chosen.folds)}
    fence, network = fence_off(place)
    started = time.monotonic()
    code, most, over = run_cells(
        place, fence, codes_of(notebook(settings)), lambda said: log.say(f"  {said}"), gigabytes
    )
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
    shutil.copytree(bundle, place.input / "datasets" / "you" / dataset_slug(comp), copy_function=link_or_copy)
    if (place.working / SESSION).is_file():
        earlier = place.input / "notebooks" / "you" / kernel_slug(comp, stage)
        earlier.parent.mkdir(parents=True)
        place.working.rename(earlier)
    shutil.rmtree(place.working, ignore_errors=True)
    for folder in (place.working, place.scratch, place.root / "home"):
        folder.mkdir(exist_ok=True)


def packages_of(bundle: Path, line: str) -> list[str]:
    """What of the image our wheel asks for, as requirements; what the bundle adds is not among it."""
    _, said = read_manifest(bundle)
    (wheel,) = bundle.glob("pipeline-*.whl")
    names = {str(canonicalize_name(one.name)) for one in requirements_of(wheel)} | set(ALSO)
    pins = {name: f"=={version.partition('+')[0]}" for name, version in said["image"].items() if name in names} | LINES[
        line
    ]
    return [f"{name}{pin}" for name, pin in sorted(pins.items())]


def _refuse_failure(code: int, most: int, over: bool, gigabytes: float) -> None:
    if over:
        raise WorkFailed(f"rehearse: the working folder came to {most / 1e9:.3g} GB; Kaggle keeps {gigabytes:g} GB")
    if code:
        raise WorkFailed(f"rehearse: the notebook failed ({code}); the lines above say why, and it would on Kaggle")


def _outputs(comp: Competition, workspace: Workspace, place: Folders, chosen: Chosen) -> list[str]:
    """What the notebook made: folds that would be taken up here, or the submission. Raises WorkFailed for nothing."""
    if chosen.stage == "infer":
        made = [SUBMISSION] if (place.working / SUBMISSION).is_file() else []
    else:
        summary = json.loads((place.working / SESSION).read_text())
        made = []
        for job in jobs_of(comp, chosen.model):
            if job.fold in summary["done"].get(job.model.name, []):
                why = fits(comp, workspace, place.working, job)
                if why:
                    raise WorkFailed(
                        f"rehearse: {job.model.name} fold {job.fold} would not count as trained here: {why}"
                    )
                made.append(job.name)
            elif job.fold in summary["left"].get(job.model.name, []):
                made.append(f"{job.name} (unfinished)")
    if not made:
        raise WorkFailed("rehearse: the notebook ended well and left nothing")
    return made


def _versions(place: Folders) -> dict[str, str]:
    code = (
        f"import json; from importlib.metadata import version; print(json.dumps({{n: version(n) for n in {SHOWN!r}}}))"
    )
    done = subprocess.run(
        [str(place.python), "-c", code], capture_output=True, text=True, check=True, env=environment(place)
    )
    return json.loads(done.stdout)
