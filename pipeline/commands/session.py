"""session: what runs inside of a kernel on Kaggle, started by the bundle's notebook.

`python -m pipeline.commands.session BUNDLE SETTINGS`, SETTINGS being JSON: {"slug", "stage": train | infer, "minutes",
"model", "folds"}. Work goes on below a scratch folder, whose runs/ are in the kernel's output.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.commands.bundle import BUNDLED, COMPETITION
from pipeline.commands.infer import infer
from pipeline.commands.reopen import need_images
from pipeline.config import Competition
from pipeline.data.fetch import kaggle_input, mounted_competition
from pipeline.data.several import files_of
from pipeline.data.within import unpack_for
from pipeline.errors import PipelineError, WorkFailed
from pipeline.jobs import jobs_of
from pipeline.kaggle.manifest import Entry, read_manifest, refuse_damage
from pipeline.log import Log
from pipeline.project import Project
from pipeline.road import standings
from pipeline.stages import data, train
from pipeline.vision.cells import read_arrays
from pipeline.workspace import SESSION, SUBMISSION, Workspace, read_json, write_json

WORKING, SCRATCH = "/kaggle/working", "/kaggle/temp"  # what is kept after the session, and what is not


def main(bundle: Path, settings: dict[str, Any]) -> int:
    """Run a session; returns the exit code."""
    started, log = time.monotonic(), Log()
    try:
        os.environ["PIPELINE_WEIGHTS"] = str(bundle)
        entries = refuse_damage(bundle)
        plugins = [bundle / name for name in read_manifest(bundle)[1].get("plugins", {})]
        project = Project(bundle / COMPETITION, root=open_root(), plugins=plugins, log=log)
        if settings["stage"] == "infer":
            with project.working() as (comp, workspace, _):
                infer(comp, workspace, bundle, entries, working() / SUBMISSION, log)
        else:
            _train(project, bundle, entries, settings, started)
    except PipelineError as error:
        log.say(f"error: {error}")
        return error.exit_code
    return 0


def working() -> Path:
    return Path(os.environ.get("PIPELINE_KAGGLE_WORKING") or WORKING)


def open_root() -> Path:
    """A root in the scratch folder whose runs/ lie in the kernel's output."""
    root = Path(os.environ.get("PIPELINE_KAGGLE_SCRATCH") or SCRATCH) / "pipeline"
    runs = working() / "runs"
    for folder in (root, runs):
        folder.mkdir(parents=True, exist_ok=True)
    if not (root / "runs").exists():
        (root / "runs").symlink_to(runs)
    return root


def _train(project: Project, bundle: Path, entries: list[Entry], settings: dict[str, Any], started: float) -> None:
    comp, workspace, log = project.competition, project.workspace, project.log
    _take_data(comp, workspace, bundle, entries, log)
    _take_runs(comp, workspace, log)
    place(bundle, (entry for entry in entries if entry.place.startswith("runs/")), workspace.root)
    minutes = float(settings["minutes"]) - (time.monotonic() - started) / 60
    only, numbers = settings.get("model"), settings.get("folds")
    project.train(only, numbers, max(0.0, minutes))
    done: dict[str, list[int]] = {}
    left: dict[str, list[int]] = {}
    for job in jobs_of(comp, only, numbers):
        finished = train.step(comp, workspace, job).done()
        done.setdefault(job.model.name, []).extend([job.fold] if finished else [])
        left.setdefault(job.model.name, []).extend([] if finished else [job.fold])
    write_json(working() / SESSION, {"slug": comp.slug, "stage": "train", "done": done, "left": left})
    said = ", ".join(f"{name} folds {folds}" for name, folds in left.items() if folds)
    log.say(f"session: not done yet: {said}; push again to go on" if said else "session: every fold is done")


def place(bundle: Path, entries: Iterable[Entry], root: Path) -> None:
    """Copy entries to where they belong, unless something is there already."""
    for entry in entries:
        target = root / entry.place
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / entry.name, target)


def _take_data(comp: Competition, workspace: Workspace, bundle: Path, entries: list[Entry], log: Log) -> None:
    """Link the mounted competition, with the manifest and folds as they were bundled.

    Raises WorkFailed where the mounted files are not the bundled manifest's: every fold would be another one.
    """
    data.fetch_if_needed(comp, workspace, log)
    shutil.rmtree(workspace.meta, ignore_errors=True)
    place(bundle, (entry for entry in entries if entry.place.startswith("data/")), workspace.root)
    images = need_images(comp).data
    if images.arrays is not None:  # the images that the manifest names
        for key, table in (("data.table", images.table), ("data.test", images.test)):
            if table is not None:
                read_arrays(workspace.raw, images, table, key, log)
    paths = pd.read_parquet(workspace.manifest, columns=["path"])["path"]
    unpack_for(workspace.raw, [*images.named_files, *(file for path in paths for file in files_of(path))], log)
    found = standings(comp, workspace)
    for name in BUNDLED:
        if found[name].state != "done":
            why = (found[name].why or [f"{name} is missing"])[0]
            raise WorkFailed(
                f"what is mounted at {mounted_competition(comp.source.kaggle or '')} is not what the bundle was made "
                f"from ({why}); run `pipeline data` on the newest files, then bundle and push again"
            )


def _take_runs(comp: Competition, workspace: Workspace, log: Log) -> None:
    """Go on from the output of an earlier version of this kernel, or of another one, where one is mounted."""
    for pattern in ("notebooks/*/*", "*"):
        for earlier in sorted(kaggle_input().glob(f"{pattern}/{SESSION}")):
            if (read_json(earlier) or {}).get("slug") != comp.slug:
                continue
            for folder in sorted(Workspace(earlier.parent, comp.slug).runs.glob("*/fold-*")):
                target = workspace.model(folder.parent.name) / folder.name
                if not target.exists():
                    shutil.copytree(folder, target, copy_function=shutil.copyfile)
                    log.say(f"session: taking up {folder.parent.name} {folder.name} from {earlier.parent.name}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
