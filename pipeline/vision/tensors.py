"""The tensors of a file of weights by their names, out of whatever a training script wrapped them in.

safetensors, or torch's own files read as tensors alone: code in a pickle is never run.
"""

import argparse
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from pipeline.errors import RequestError, WorkFailed

# Where a checkpoint keeps its state dict, an average over steps (ema) first, as timm has it.
WRAPPERS = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "state_dict", "model_state_dict")
WRAPPERS += ("model_state", "model", "network", "net", "backbone", "encoder", "module", "params", "weights")
OTHERS = {".npz": "NumPy", ".h5": "Keras", ".keras": "Keras", ".onnx": "ONNX", ".tflite": "TensorFlow Lite"}
WHOLE = ("F64", "F32", "F16", "BF16")  # of safetensors' types, those of weights


@dataclass(frozen=True)
class Held:
    """Tensors by name, and the wrapper that they were in: 'state_dict', 'ema.module', or '' for none."""

    tensors: dict[str, Tensor]
    wrapper: str = ""


def read_tensors(path: Path) -> Held:
    """A file's tensors. Raises RequestError for no file or another format, WorkFailed for one that cannot be read."""
    _refuse_unread(path)
    try:
        return unwrapped(load_file(path) if _is_safe(path) else _load(path, "cpu"), path)
    except (RequestError, WorkFailed):
        raise
    except Exception as error:
        raise _unreadable(path, error) from error


def read_shapes(path: Path) -> Held:
    """As `read_tensors`, but stand-ins of the same shapes that are not a number anywhere and take no memory."""
    _refuse_unread(path)
    try:
        held = Held(dict(_shapes(path))) if _is_safe(path) else unwrapped(_load(path, "meta"), path)
    except (RequestError, WorkFailed):
        raise
    except Exception as error:
        raise _unreadable(path, error) from error
    standing_in = {name: _stand_in(tensor.shape, tensor.is_floating_point()) for name, tensor in held.tensors.items()}
    return Held(standing_in, held.wrapper)


def unwrapped(found: Any, path: Path) -> Held:
    """The state dict in a checkpoint. Raises RequestError, with what there is, where none can be told."""
    places: list[str] = []
    while True:
        own = _tensors_in(found)
        known = [name for name in WRAPPERS if isinstance(found, Mapping) and _holds_more(found.get(name), len(own))]
        if not known and not own and isinstance(found, Mapping):
            known = [name for name, value in found.items() if isinstance(name, str) and _holds_more(value, 0)]
            known = known if len(known) == 1 else []
        if not known:
            break
        places.append(known[0])
        found = found[known[0]]
    if not own:
        keys = ", ".join(map(str, list(found)[:8])) if isinstance(found, Mapping) and found else type(found).__name__
        raise RequestError(
            f"no tensors by name in {path}, which holds {keys}; save the model's state_dict() there, by torch.save or "
            "as safetensors"
        )
    return Held(own, ".".join(places))


def _tensors_in(found: Any) -> dict[str, Tensor]:
    if not isinstance(found, Mapping):
        return {}
    return {k: v.detach() for k, v in found.items() if isinstance(k, str) and isinstance(v, Tensor)}


def _holds_more(found: Any, count: int) -> bool:
    """Whether there are more than `count` tensors in a mapping, or in one of the wrappers in it."""
    if not isinstance(found, Mapping):
        return False
    return len(_tensors_in(found)) > count or any(_holds_more(found.get(name), count) for name in WRAPPERS)


def _is_safe(path: Path) -> bool:
    return path.suffix == ".safetensors"


def _load(path: Path, device: str) -> Any:
    with torch.serialization.safe_globals([argparse.Namespace]):  # in timm's own checkpoints; it is data
        return torch.load(path, map_location=device, weights_only=True)


def _shapes(path: Path) -> Iterator[tuple[str, Tensor]]:
    """From the header alone."""
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            part = file.get_slice(name)
            yield name, _stand_in(part.get_shape(), part.get_dtype() in WHOLE)


def _stand_in(shape: torch.Size | list[int], floating: bool) -> Tensor:
    return torch.full((), torch.nan).expand(shape) if floating else torch.zeros((), dtype=torch.int64).expand(shape)


def _refuse_unread(path: Path) -> None:
    if not path.is_file():
        raise RequestError(f"no file of weights at {path}; weights is 'pretrained', 'none' or a path")
    if path.suffix in OTHERS:
        raise RequestError(
            f"{path} is a file of {OTHERS[path.suffix]}; weights are read from .safetensors, .pth and .pt"
        )


def _unreadable(path: Path, error: Exception) -> WorkFailed:
    if isinstance(error, pickle.UnpicklingError):
        code = "; ".join(_code_in(path)) or "a pickle"
        return WorkFailed(
            f"{path} holds more than tensors ({code}), which is never run, so its weights do not fit; save the "
            "model's state_dict() by torch.save, or as safetensors"
        )
    said = (str(error).strip().splitlines() or [""])[0][:160]
    return WorkFailed(f"the weights in {path} do not fit: it cannot be read ({type(error).__name__}: {said})")


def _code_in(path: Path) -> list[str]:
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))[:3]
    except Exception:  # noqa: BLE001 - it is no file of torch's at all
        return []
