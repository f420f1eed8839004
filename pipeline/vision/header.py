"""What safetensors files say of themselves: strings in their headers, read without their tensors, and without torch."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open


def read_header(path: Path) -> dict[str, str]:
    """The strings in a file's header. Raises OSError or SafetensorError for a file that is absent or torn."""
    with safe_open(path, framework="np") as file:
        return file.metadata() or {}


def sort_header(path: Path) -> None:
    """Put a file's strings in the order of their names, in place: safetensors writes them in another one each time."""
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:
            raise ValueError(f"the header of {path} has {length} bytes, and {len(text)} when it is sorted")
        file.seek(8)
        file.write(text.ljust(length))


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """What a checkpoint says about itself; None if there is none."""
    try:
        about = json.loads(read_header(path)["about"])
    except Exception:  # noqa: BLE001 - absent or torn in any way: the fold starts again
        return None
    return about if isinstance(about, dict) else None
