"""A fold that was trained here as the start of another model: its heads, where they answer the same question."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from pipeline.predictions import TargetSpec
from pipeline.vision.header import read_header
from pipeline.vision.heads import NamedHeads
from pipeline.vision.naming import shown
from pipeline.vision.poolings import DEFAULT

HEADS = "1."  # before the names of a network's second part
TRUNK = ("trunk.", "beside.")  # before those of the layers that all heads share, within it


@dataclass(frozen=True)
class Taken:
    """Names of targets: heads that were taken, those that are new, and the file's that nobody asked for."""

    taken: Sequence[str]
    new: Sequence[str]
    left: Sequence[str]

    def told(self) -> str:
        """In words, to go on after those on the body."""
        parts = [("taken", self.taken), ("new", self.new), ("left out", self.left)]
        return ", ".join(f"{word}: {shown(names)}" for word, names in parts if names)


def is_own(path: Path) -> bool:
    """Whether a file is a fold's weights."""
    return path.suffix == ".safetensors" and "metadata" in read_header(path)


def take_heads(heads: NamedHeads, specs: Sequence[TargetSpec], path: Path, pooling: str) -> Taken:
    """Put into `heads` those of a fold whose target has the same name, kind and classes.

    The layers before them come along; where those have another shape or pooling, every head stays new.
    """
    about = json.loads(read_header(path)["metadata"])
    theirs = {
        head["name"]: (head["kind"], tuple(head["vocab"]), _units(head.get("told", {}))) for head in about["heads"]
    }
    wanted = [spec.name for spec in specs if theirs.get(spec.name) == (spec.kind, spec.vocab, _units(spec.options))]
    own = heads.state_dict()
    tensors = _tensors_of(path)
    trunk = {name: tensor for name, tensor in tensors.items() if name.startswith(TRUNK)}
    same_trunk = _pooling_of(about) == pooling and {k: v.shape for k, v in trunk.items()} == {
        k: v.shape for k, v in own.items() if k.startswith(TRUNK)
    }
    taken = {name: _head_of(name, tensors) for name in wanted} if same_trunk else {}
    taken = {
        name: part for name, part in taken.items() if part and all(own[k].shape == v.shape for k, v in part.items())
    }
    if taken:
        heads.load_state_dict(own | trunk | {k: v for part in taken.values() for k, v in part.items()})
    names = [spec.name for spec in specs]
    return Taken(list(taken), [n for n in names if n not in taken], [n for n in theirs if n not in names])


def _tensors_of(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(HEADS)]  # noqa: SIM118 - it is no mapping
        return {name.removeprefix(HEADS): file.get_tensor(name) for name in names}


def _head_of(target: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"heads.head_{target}."
    return {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _pooling_of(about: dict[str, Any]) -> str:
    return about["model"].get("pooling", DEFAULT)


def _units(options: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[str | None, ...]:
    """What the numbers of a head stand for."""
    told = dict(options)
    return told.get("transform"), told.get("order")
