"""Where a fit is, kept on disk: taken up again after a kill."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pipeline.collab.store import read_tensors, write_tensors

KEEP_EVERY = 1.0  # seconds between checkpoints at least; a fit is often over before the first


@dataclass
class Keeper:
    """Checkpoints of a fit: tensors and a JSON of what else; only those of the same fit are taken up."""

    path: Path | None = None
    identity: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)  # the history so far travels along
    saved: float = field(default_factory=time.monotonic)
    resumed: int = 0  # epochs or sweeps that were done before

    def restore(self) -> tuple[int, dict[str, torch.Tensor]] | None:
        """(steps done, tensors) of the last checkpoint; None if there is none that fits."""
        if self.path is None:
            return None
        try:
            tensors, about = read_tensors(self.path)
        except Exception:  # noqa: BLE001 - absent or torn in any way: the fit starts again
            return None
        if about["identity"] != self.identity:
            return None
        self.rows[:], self.resumed = about["rows"], about["done"]
        return about["done"], tensors

    def offer(self, done: int, tensors: Callable[[], dict[str, torch.Tensor]]) -> None:
        """Keep where a fit is, if the last time is long enough ago."""
        if self.path is None or time.monotonic() - self.saved < KEEP_EVERY:
            return
        held = {key: value.clone() for key, value in tensors().items()}
        write_tensors(self.path, held, {"identity": self.identity, "rows": self.rows, "done": done})
        self.saved = time.monotonic()
