"""bundle: all that a kernel needs and Kaggle's image lacks, in one flat folder."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from pipeline import deciding
from pipeline.commands.send import competition_of
from pipeline.config import Competition
from pipeline.errors import RequestError, WorkFailed
from pipeline.freshness import digest
from pipeline.jobs import jobs_of
from pipeline.kaggle.image import fatal, read_image, refuse_known_bad
from pipeline.kaggle.manifest import flat_name, read_manifest, write_manifest
from pipeline.kaggle.notebook import notebook
from pipeline.kaggle.wheels import add_lacking, build_wheel, source_tree
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.road import standings
from pipeline.stages import ensemble, train
from pipeline.vision.config import ImageModel
from pipeline.vision.start import INDEX, is_path, names_by_content, start_digest
from pipeline.workspace import ENSEMBLE, Workspace, atomic_folder, write_json

COMPETITION = "competition.toml"
BUNDLED = ("data", "check", "folds")  # the stages whose artifacts travel along
MINUTES = 660.0  # of the 12 hours of a session, an hour is left for what comes before and after training


def bundle(
    comp: Competition, workspace: Workspace, log: Log, image: Path | None = None, plugins: Sequence[Path] = ()
) -> Path:
    """Fill runs/<slug>/kernel/bundle anew, in one rename; returns the folder.

    Inside are our wheel and those that the image lacks, the competition file, the manifest and folds as they are
    here (so that a fold trained there counts as trained here), weights, a notebook, and bundle.json with the hash
    of each. Raises WorkFailed where the image cannot run it, RequestError where data and folds are not done.
    """
    competition_of(comp)
    if not kind_of(comp).travels:
        raise RequestError(f"kernels are for image competitions; {comp.slug} is of kind {comp.kind!r}: train it here")
    _need_folds(comp, workspace)
    held = read_image(image)
    _preflight(refuse_known_bad(held), log)
    target = workspace.bundle
    with atomic_folder(target) as making:
        making.mkdir()
        wheel = build_wheel(making)
        added = add_lacking(wheel, held, making, log)
        places = _add_artifacts(comp, workspace, making)
        _add_weights(_networks(comp), making, log)
        settings = {"slug": comp.slug, "stage": "train", "minutes": MINUTES}
        (making / COMPETITION).write_text(_whole(comp), encoding="utf-8")
        (making / "notebook.ipynb").write_text(notebook(settings), encoding="utf-8")
        for path in plugins:
            shutil.copyfile(path, making / plug_in_name(path))
        about = {**state(comp, workspace, plugins), "image": {name: str(version) for name, version in held.items()}}
        write_manifest(making, places, about | {"added": [str(one.requirement) for one in added]})
        _sync(making)
    size = sum(path.stat().st_size for path in target.iterdir())
    log.say(f"bundle: {workspace.show(target)}, {len(list(target.iterdir()))} files, {size / 1e6:.1f} MB")
    return target


def plug_in_name(path: Path) -> str:
    """A plug-in's name in the bundle, apart from every other file there."""
    return f"plugin--{path.name}"


def state(comp: Competition, workspace: Workspace, plugins: Sequence[Path] = ()) -> dict[str, Any]:
    """What a bundle is made from: the competition file, the code, the artifacts. Another state needs another bundle."""
    sources = hashlib.sha256()
    for path in sorted((source_tree() / "pipeline").rglob("*")):
        if path.suffix in (".py", ".toml", ".txt"):
            sources.update(f"{path.relative_to(source_tree())}\n".encode() + path.read_bytes())
    weights = {
        model.weights: start_digest(model.arch, model.weights) for model in _networks(comp) if is_path(model.weights)
    }
    return {
        "slug": comp.slug,
        "made": sources.hexdigest()[:12],
        "competition": hashlib.sha256(_whole(comp).encode()).hexdigest(),
        **({"weights": weights} if weights else {}),
        **({"plugins": {plug_in_name(path): digest(path) for path in plugins}} if plugins else {}),
        "artifacts": {place: _mark(path) for place, path in sorted(_artifacts(comp, workspace).items())},
    }


def _networks(comp: Competition) -> list[ImageModel]:
    """Models that start from weights."""
    return [model for model in comp.models if isinstance(model, ImageModel)]


def _mark(path: Path) -> str | None:
    """A digest; that of weights is in the stamp beside them."""
    return None if path.suffix == ".safetensors" else digest(path)


def refuse_stale(comp: Competition, workspace: Workspace, plugins: Sequence[Path] = ()) -> Path:
    """The bundle's folder. Raises RequestError where there is none, or one of another state."""
    folder = workspace.bundle
    if not folder.is_dir():
        raise RequestError("there is no bundle yet; run `pipeline kernel bundle` first")
    _, said = read_manifest(folder)
    now = state(comp, workspace, plugins)
    changed = [key for key in {**now, "plugins": None, "weights": None} if said.get(key) != now.get(key)]
    if changed:
        names = {
            "made": "the code",
            "competition": "the competition file",
            "artifacts": "what is trained",
            "plugins": "the plug-ins",
            "weights": "the weights that models start from",
        }
        raise RequestError(
            f"the bundle is older than {names.get(changed[0], f'the {changed[0]}')}; run `pipeline kernel bundle` again"
        )
    return folder


def _whole(comp: Competition) -> str:
    """The competition file with every default written out and every override applied."""
    return tomli_w.dumps(comp.model_dump(exclude_none=True, mode="json"))


def _need_folds(comp: Competition, workspace: Workspace) -> None:
    found = standings(comp, workspace)
    for name in BUNDLED:
        if found[name].state != "done":
            raise RequestError(f"a bundle needs data, check and folds; `pipeline {name}` comes next")


def _preflight(sentences: list[str], log: Log) -> None:
    stopping = fatal(sentences)
    if stopping:
        raise WorkFailed(f"preflight: {stopping[0]}")
    for sentence in sentences:
        log.warn(sentence)


def _artifacts(comp: Competition, workspace: Workspace) -> dict[str, Path]:
    """Files by their place below a root: what the data stages made, and, once every fold is trained, the weights."""
    meta = [workspace.manifest, workspace.facts, workspace.audit, workspace.folds]
    meta += [workspace.features] if comp.data.has_features else []
    meta += [workspace.stamp(name) for name in BUNDLED]
    steps = [train.step(comp, workspace, job) for job in jobs_of(comp)]
    if all(step.done() for step in steps):
        meta += [path for step in steps for path in (step.stamp, *step.outputs)]
        if ensemble.step(comp, workspace).done():
            meta += [workspace.blend_weights, *deciding.outputs_of(comp, workspace, ENSEMBLE)]
    return {path.relative_to(workspace.root).as_posix(): path for path in meta}


def _add_artifacts(comp: Competition, workspace: Workspace, making: Path) -> dict[str, str]:
    """Link or copy the artifacts into the folder; returns places by name."""
    places = {}
    for place, path in _artifacts(comp, workspace).items():
        name = flat_name(place)
        if name in places:
            raise WorkFailed(f"two files of the bundle would be named {name}: {place} and {places[name]}")
        places[name] = place
        link_or_copy(path, making / name)
    return places


def _add_weights(models: list[ImageModel], making: Path, log: Log) -> None:
    """The weights that models start from: as `<arch>.safetensors`; files under names by their content, in an index."""
    names = names_by_content({model.weights: model.name for model in models if is_path(model.weights)})
    for path, name in names.items():
        if not (making / name).exists():
            link_or_copy(path, making / name)
    if names:
        write_json(making / INDEX, names)
    for model in models:
        if model.weights == "pretrained" and not (making / f"{model.arch}.safetensors").exists():
            from pipeline.vision.model import save_pretrained

            log.say(f"bundle: the pretrained weights of {model.arch}")
            save_pretrained(model.arch, making / f"{model.arch}.safetensors")


def link_or_copy(path: Path | str, target: Path | str) -> None:
    """A second name for a file, or a copy where that cannot be; what is bundled is never written to."""
    try:
        os.link(path, target)
    except OSError:  # another file system
        shutil.copy2(path, target)


def _sync(folder: Path) -> None:
    """Make what was written into `folder` survive a power cut: its manifest says that all of it is there."""
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
