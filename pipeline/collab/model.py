"""A trained rating model: raw ids in, ratings out; opened from its file alone, which is no pickle."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.collab.algorithms.base import Algorithm, Learned
from pipeline.collab.algorithms.settings import ALGORITHMS, RatingsModel
from pipeline.collab.ids import Ids
from pipeline.collab.store import read_tensors, write_tensors
from pipeline.errors import WorkFailed

CHUNK = 1 << 17  # rows predicted at once
STORED = {"sgd": "dot"}  # methods that headers of weights spell otherwise than competition files


@contextmanager
def one_thread() -> Iterator[None]:
    """Steps on a few thousand numbers: several threads cost more than they give, and starve beside other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Trained(Learned):
    """What a fit of some method learned, with its ids. `about` holds the model's `settings` and the `versions` of
    what made it, beside what its algorithm has to say; files of earlier versions have neither.
    """

    users: Ids
    items: Ids
    method: str

    @cached_property
    def algorithm(self) -> Algorithm[Any]:
        """What reads the tensors. Raises RequestError for a method that is not known here."""
        return ALGORITHMS.get(self.method).load()()

    @property
    def settings(self) -> RatingsModel:
        """As they were when it was trained. Raises WorkFailed for a file that does not tell."""
        if "settings" not in self.about:
            raise WorkFailed("these weights are of a version that kept no settings beside them; train again")
        return RatingsModel(**self.about["settings"])

    def predict(self, users: Sequence[str], items: Sequence[str], times: np.ndarray | None = None) -> np.ndarray:
        """Ratings (n,) float32 of pairs of raw ids; times (n,) in seconds where they are known."""
        inner = [torch.tensor(self.users.inner(users)), torch.tensor(self.items.inner(items))]
        when = torch.tensor(times) if times is not None else None
        parts = []
        with one_thread(), torch.no_grad():
            for start in range(0, max(1, len(inner[0])), CHUNK):
                cut = slice(start, start + CHUNK)
                own = None if when is None else when[cut]
                parts.append(self.algorithm.predict(self, inner[0][cut], inner[1][cut], own))
        return torch.cat(parts).numpy().astype(np.float32)

    def fold_in(self, items: Sequence[str], ratings: Sequence[float]) -> "Trained":
        """The same model, in which whoever it does not know has rated these items (raw ids) so.

        Raises RequestError for an algorithm that cannot, such as the network, whose score is not linear in the
        user's embedding.
        """
        inner, said = torch.tensor(self.items.inner(items)), torch.tensor(np.asarray(ratings), dtype=torch.float32)
        with one_thread(), torch.no_grad():
            changed = self.algorithm.fold_in(self, inner, said)
        return replace(self, tensors={**self.tensors, **changed})

    def item_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Biases (items + 1,) and factors (items + 1, any) in the order of inner ids, the unknown item behind."""
        return self.algorithm.item_rows(self)


def save(path: Path, trained: Trained) -> None:
    """Write safetensors; ids and numbers are JSON in its header."""
    about = {"method": STORED.get(trained.method, trained.method), **trained.about}
    write_tensors(path, trained.tensors, {**about, "users": trained.users.raw, "items": trained.items.raw})


def load(path: Path) -> Trained:
    """Read what `save` wrote. Raises WorkFailed for anything else."""
    try:
        tensors, about = read_tensors(path)
        users, items, stored = (about.pop(key) for key in ("users", "items", "method"))
        earlier = {spelled: name for name, spelled in STORED.items()}.get(stored, stored)
        method = about.get("settings", {}).get("method", earlier)
        return Trained(tensors, about, Ids(tuple(users)), Ids(tuple(items)), method)
    except Exception as error:  # absent or torn in any way
        raise WorkFailed(f"{path} holds no trained rating model ({type(error).__name__}); train again") from error
