"""A trained rating model: raw ids in, ratings out; stored without pickle."""

import json
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pipeline.collab.network import score_network
from pipeline.collab.ratings import Ids
from pipeline.errors import WorkFailed
from pipeline.workspace import write_with

PERIOD_BITS = 40  # a mood's key: the user's inner id above the number of the period
CHUNK = 1 << 17  # rows predicted at once


@contextmanager
def one_thread():
    """Steps on a few thousand numbers: several threads cost more than they give, and starve beside other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Trained:
    """What a fold learned. Row `unknown` of users and of items is the mean of the others.

    `about["method"]` says how to read the tensors: "dot" and "network" have `user` and `item` of shape
    (rows + 1, 1 + factors), "gibbs" (samples, rows + 1, 1 + factors), with the bias in front.
    """

    users: Ids
    items: Ids
    tensors: dict[str, torch.Tensor]
    about: dict[str, Any]

    def predict(self, users: Sequence[str], items: Sequence[str], times: np.ndarray | None = None) -> np.ndarray:
        """Ratings (n,) float32 of pairs of raw ids; times (n,) in seconds where they are known."""
        inner = [torch.tensor(self.users.inner(users)), torch.tensor(self.items.inner(items))]
        when = torch.tensor(times) if times is not None else None
        parts = []
        with one_thread(), torch.no_grad():
            for start in range(0, max(1, len(inner[0])), CHUNK):
                cut = slice(start, start + CHUNK)
                parts.append(self._predict(inner[0][cut], inner[1][cut], None if when is None else when[cut]))
        return torch.cat(parts).numpy().astype(np.float32)

    def _predict(self, users: torch.Tensor, items: torch.Tensor, times: torch.Tensor | None) -> torch.Tensor:
        match self.about["method"]:
            case "network":
                score = score_network(self.tensors, users, items)
            case "dot":
                score = product(self.tensors["user"][users], self.tensors["item"][items])
            case _:
                return self._mean_of_samples(users, items, times)
        low, span = self.about["low"], self.about["span"]
        return low + span * torch.sigmoid(score) if span else low + score

    def _mean_of_samples(self, users: torch.Tensor, items: torch.Tensor, times: torch.Tensor | None) -> torch.Tensor:
        total = torch.zeros(len(users), dtype=torch.float64)
        moods = self._moods(users, times)
        samples = len(self.tensors["user"])
        for number in range(samples):
            score = product(self.tensors["user"][number][users], self.tensors["item"][number][items])
            for name, place, known in moods:
                score = score + self.tensors[name][number][place] * known
            total += self.expected(score, number)
        return total / samples

    def expected(self, score: torch.Tensor, sample: int) -> torch.Tensor:
        """The rating that a sample's score (n,) stands for."""
        if "cuts" not in self.tensors:
            return (score + self.about["center"]).clamp(self.about["lowest"], self.about["highest"])
        levels = torch.tensor(self.about["levels"])
        above = torch.special.ndtr(score[:, None] - self.tensors["cuts"][sample])
        return levels[0] + above @ levels.diff()

    def _moods(self, users: torch.Tensor, times: torch.Tensor | None) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
        """Each kind of mood: its tensor's name, each row's place in it, and whether it was met in training."""
        found = []
        for number, width in enumerate(self.about.get("periods", [])):
            keys = self.tensors[f"group{number}.keys"]
            if times is None or not len(keys):
                continue
            wanted = mood_keys(users, times, width)
            place = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
            found.append((f"group{number}", place, (keys[place] == wanted).float()))
        return found


def product(mine: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """p . q and both biases (n,), for rows (n, 1 + factors)."""
    return (mine[:, 1:] * theirs[:, 1:]).sum(1) + mine[:, 0] + theirs[:, 0]


def mood_keys(users: torch.Tensor, times: torch.Tensor, width: int) -> torch.Tensor:
    """What a user's ratings of one period (width in seconds) share."""
    return (users << PERIOD_BITS) + times.div(width, rounding_mode="floor")


def with_mean(rows: torch.Tensor) -> torch.Tensor:
    """(..., rows, width) with the mean row behind: what is known of somebody who was never seen."""
    return torch.cat([rows, rows.mean(-2, keepdim=True)], dim=-2)


def save(path: Path, trained: Trained) -> None:
    """Write safetensors; ids and numbers are JSON in its header."""
    about = {**trained.about, "users": trained.users.raw, "items": trained.items.raw}
    tensors = {name: tensor.contiguous() for name, tensor in trained.tensors.items()}
    write_with(path, lambda file: save_file(tensors, file, metadata={"about": json.dumps(about)}))


def load(path: Path) -> Trained:
    """Read what `save` wrote. Raises WorkFailed for anything else."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            about = json.loads(file.metadata()["about"])
        return Trained(Ids(tuple(about.pop("users"))), Ids(tuple(about.pop("items"))), tensors, about)
    except Exception as error:  # absent or torn in any way
        raise WorkFailed(f"{path} holds no trained rating model ({type(error).__name__}); train again") from error
