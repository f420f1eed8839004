"""Which file a model starts from: the one that its `weights` name, or what stands for it where there is no network."""

import os
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import RequestError
from pipeline.freshness import digest
from pipeline.workspace import read_json

INDEX = "weights.json"  # in a bundle: paths, as the competition file says them, with the names of their files there


def is_path(weights: str) -> bool:
    """Whether a model's `weights` name a file."""
    return weights not in ("pretrained", "none")


def start_file(arch: str, weights: str) -> Path | None:
    """The file to read; None for no weights, and for pretrained ones that timm gets by itself."""
    bundled = None if weights == "none" else bundled_weights(arch, weights)
    return Path(weights) if bundled is None and is_path(weights) else bundled


def bundled_weights(arch: str, weights: str) -> Path | None:
    """The file that stands for a model's weights where there is no network: in the folder PIPELINE_WEIGHTS, named
    for the architecture (pretrained), or as its index names the path. None without such a folder or file.
    """
    folder = os.environ.get("PIPELINE_WEIGHTS")
    if not folder:
        return None
    if weights == "pretrained":
        name = f"{arch}.safetensors"
    else:  # a bundle of an earlier version has no index
        name = (read_json(Path(folder) / INDEX) or {}).get(weights, weights)
    path = Path(folder) / Path(name).name
    return path if path.is_file() else None


def start_digest(arch: str, weights: str) -> str | None:
    """The SHA-256 of the file that `weights` name; None where they name none, or it is not here."""
    path = start_file(arch, weights) if is_path(weights) else None
    return digest(path) if path is not None and path.is_file() else None


def names_by_content(weights: Mapping[str, str]) -> dict[str, str]:
    """A flat name for each path, out of its own and its content: files of one name stay two, one file twice is one.

    `weights` holds paths with the names of the models that start from them. Raises RequestError for no file.
    """
    names = {}
    for path, model in weights.items():
        content = digest(Path(path)) if Path(path).is_file() else None
        if content is None:
            raise RequestError(f"model {model!r}: no file of weights at {path}")
        names[path] = f"{Path(path).stem}-{content[:12]}{Path(path).suffix}"
    return names
