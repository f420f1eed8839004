"""presize: every readable image decoded and resized once for each presize of the models; training reads that."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.config import Competition, Model
from pipeline.data.boxes import CUT
from pipeline.data.channels import Channels
from pipeline.data.levels import Levels, in_words
from pipeline.errors import RequestError, WorkFailed
from pipeline.freshness import Step
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.machine import cores
from pipeline.rows import channels_in, levels_of, readable_images, reader_codes
from pipeline.stage import Stage
from pipeline.vision import CACHE_VERSION
from pipeline.vision.config import Resize
from pipeline.workspace import ABOUT, INDEX, PIXELS, Workspace, explained

if TYPE_CHECKING:
    from pipeline.vision.build import Source
    from pipeline.vision.layout import Form

JPEG_SHARE = 0.25  # of the raw pixels' size, at most, on photos


@dataclass(frozen=True)
class Wanted:
    """A cache that some models read: its presize, and the folder that its key names."""

    resize: Resize
    folder: Path

    @property
    def title(self) -> str:
        height, width = self.resize.size
        return f"{height}x{width} {self.resize.method}"


def presize(
    comp: Competition,
    workspace: Workspace,
    log: Log,
    force: bool = False,
    cache_gb: float | None = None,
    prune: bool = False,
    verify: bool = False,
) -> bool:
    """Build the caches that the models lack; returns whether it built any.

    `cache_gb` limits what raw pixels may take, in 10^9 bytes (half of the free disk by default); beyond it JPEGs
    are kept. `prune` deletes caches that no model reads; `verify` reads every byte of those that are kept.
    """
    if not STAGE.applies(comp):
        raise RequestError(f"presize goes with image competitions, and {comp.slug} is of kind {comp.kind!r}")
    if cache_gb is not None and cache_gb < 0:
        raise RequestError(f"--cache-gb {cache_gb}: give 0 or more, in 10^9 bytes")
    images = readable_images(workspace)
    wanted = wanted_caches(comp, workspace)
    if verify:
        _verify(wanted, workspace, log)
    built = False
    for cache, form in _forms(wanted, images, workspace, cache_gb):
        if force or not _is_good(cache, form if cache_gb is not None else None, workspace):
            _build(cache, form, images, workspace, log)
            built = True
    _tell_unused(wanted, workspace, log, prune)
    checking = step(comp, workspace)
    if built or not checking.done():
        checking.record()
    return built


def ensure(comp: Competition, workspace: Workspace, log: Log) -> None:
    """Presize what training or predicting is about to read and nobody has presized."""
    if STAGE.applies(comp) and not step(comp, workspace).done():
        presize(comp, workspace, log)


def step(comp: Competition, workspace: Workspace) -> Step:
    wanted = wanted_caches(comp, workspace)
    inputs = {"version": CACHE_VERSION, "caches": [cache.folder.name for cache in wanted]}
    outputs = tuple(cache.folder / name for cache in wanted for name in (ABOUT, INDEX, PIXELS))
    return Step(workspace.stamp("presize"), inputs, outputs)


STAGE = Stage(
    presize,
    lambda comp, workspace: [("", step(comp, workspace))],
    needs=("check",),
    on_demand=True,
    applies=lambda comp: bool(presizes_of(comp)),
)


def presizes_of(comp: Competition) -> list[Resize]:
    """The different presizes of the models, in their order."""
    found = [kind_of(comp).presize_of(model) for model in comp.models]
    return list(dict.fromkeys(resize for resize in found if isinstance(resize, Resize)))


def wanted_caches(comp: Competition, workspace: Workspace) -> list[Wanted]:
    """One for each different presize, keyed by it, by the bytes of every image, by how those of more than 8 bits are
    read and by other channels than RGB; none before the audit."""
    resizes = presizes_of(comp)
    if not resizes or not (workspace.facts.is_file() and workspace.manifest.is_file()):
        return []
    images = readable_images(workspace)
    columns = [images[name] for name in ("path", "sha256", CUT) if name in images]
    lines = ["\0".join(cells) + "\n" for cells in zip(*columns, strict=True)]
    lines += [json.dumps(codes) for codes in reader_codes(workspace).values()]
    deep = in_words(levels_of(workspace) or {})
    lines += [json.dumps(deep)] if deep else []
    channels = channels_in(workspace).settings()
    lines += [json.dumps(channels)] if channels else []
    content = hashlib.sha256("".join(lines).encode()).hexdigest()
    return [Wanted(resize, workspace.presized / _key_of(resize, content)) for resize in resizes]


def _key_of(resize: Resize, content: str) -> str:
    """Size and method always, what else a presize may say only where it differs from the default."""
    settings = resize.settings()
    text = json.dumps(
        {key: settings[key] for key in ("size", "method")} | settings.non_default(), separators=(",", ":")
    )
    return hashlib.sha256(f"{CACHE_VERSION} {text} {content}".encode()).hexdigest()[:16]


def cache_of(comp: Competition, workspace: Workspace, model: Model) -> Path | None:
    """The folder of the cache that a model reads; None for a kind without."""
    resize = kind_of(comp).presize_of(model)
    return next((cache.folder for cache in wanted_caches(comp, workspace) if cache.resize == resize), None)


def _forms(
    wanted: Sequence[Wanted], images: pd.DataFrame, workspace: Workspace, cache_gb: float | None
) -> "list[tuple[Wanted, Form]]":
    """raw for each cache as long as the budget holds, then jpeg. Raises WorkFailed where not even those have room.

    What these caches hold already, whole or begun, counts as free: the answer is the same after a kill.
    """
    from pipeline.vision.build import raw_bytes

    workspace.presized.mkdir(parents=True, exist_ok=True)
    held = {cache.folder: _held(cache.folder) for cache in wanted}
    free = shutil.disk_usage(workspace.presized).free
    left = (free + sum(held.values())) / 2 if cache_gb is None else cache_gb * 1e9
    forms: list[tuple[Wanted, Form]] = []
    for cache in wanted:
        raw = raw_bytes(_sources(images, channels_in(workspace)), cache.resize)
        fits = raw <= left
        needed = raw if fits else int(raw * JPEG_SHARE)
        if needed - held[cache.folder] > free:
            raise WorkFailed(
                f"presizing {len(images):,} images to {cache.title} takes about {_gb(needed)}, and {_gb(free)} are "
                f"free below {workspace.presized}; free some, or presize to less"
            )
        left -= needed if fits else 0
        forms.append((cache, "raw" if fits else "jpeg"))
    return forms


def _is_good(wanted: Wanted, form: "Form | None", workspace: Workspace) -> bool:
    from pipeline.vision.cache import Cache, DamagedCache

    try:
        cache = Cache(wanted.folder, workspace.raw)
    except DamagedCache:
        return False
    return cache.resize == wanted.resize and form in (None, cache.form)


def _build(wanted: Wanted, form: "Form", images: pd.DataFrame, workspace: Workspace, log: Log) -> None:
    from pipeline.vision.build import build_cache

    if wanted.folder.exists():
        with explained(wanted.folder):
            shutil.rmtree(wanted.folder)
    if form == "jpeg":
        log.say(f"presize {wanted.title}: raw pixels would not fit the budget (--cache-gb); JPEGs are kept instead")
    with log.bar(f"presize {wanted.title}") as progress:
        sources = _sources(images, channels_in(workspace), levels_of(workspace))
        build_cache(wanted.folder, workspace.raw, sources, wanted.resize, form, cores(), progress)
    log.say(f"presize {wanted.title}: {len(images):,} images, {_gb(_size_of(wanted.folder))}")


def _sources(images: pd.DataFrame, channels: Channels, levels: Levels | None = None) -> "list[Source]":
    from pipeline.vision.build import Source

    found = images.rename(columns={CUT: "cut"}).to_dict("records")
    return [
        Source(**{str(name): value for name, value in row.items()}, levels=levels, channels=channels) for row in found
    ]


def _verify(wanted: Sequence[Wanted], workspace: Workspace, log: Log) -> None:
    """Raise WorkFailed with the first images whose file or pixels are not what they were."""
    from pipeline.vision.cache import Cache, DamagedCache

    for one in wanted:
        try:
            cache = Cache(one.folder, workspace.raw)
        except DamagedCache:
            continue  # it is built next
        with log.bar(f"verify {one.title}") as progress:
            bad = cache.faults(progress)
        if bad:
            raise WorkFailed(
                f"{len(bad)} of {len(cache)} images in {one.folder} are not as they were ({', '.join(bad[:3])}); "
                "run `pipeline check --force`, then `pipeline presize --force`"
            )
        log.say(f"presize {one.title}: {len(cache):,} images verified")


def _tell_unused(wanted: Sequence[Wanted], workspace: Workspace, log: Log, prune: bool) -> None:
    names = {cache.folder.name for cache in wanted}
    folders = [entry for entry in workspace.presized.iterdir() if entry.is_dir()]
    unused = [folder for folder in folders if _key(folder) not in names]
    for folder in unused:
        log.say(f"  {'deleted' if prune else 'unused'}: {workspace.show(folder)} ({_gb(_size_of(folder))})")
        if prune:
            shutil.rmtree(folder)
    if unused and not prune:
        log.say(f"  {len(unused)} presize cache(s) that no model reads; `pipeline presize --prune` deletes them")


def _key(folder: Path) -> str:
    """The key in a cache's folder name, and in that of one half built (.key.form.partial)."""
    return folder.name.removeprefix(".").partition(".")[0]


def _held(folder: Path) -> int:
    """Bytes of the disk that a cache has, whole or begun: a build takes the room for raw pixels at once."""
    from pipeline.vision.build import begun

    files = [file for place in (folder, *begun(folder)) for file in place.glob("*")]
    return sum(file.stat().st_blocks * 512 for file in files)


def _size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*")) if folder.is_dir() else 0


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
