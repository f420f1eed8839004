"""Files of tensors: safetensors, with what else there is to say as JSON in the header. No pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pipeline.workspace import write_with


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors, which must not share memory, and what is to be known about them."""
    held = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_with(path, lambda file: save_file(held, file, metadata={"about": json.dumps(about)}))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `write_tensors` wrote. Raises whatever a file that is absent or torn leads to."""
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["about"])
