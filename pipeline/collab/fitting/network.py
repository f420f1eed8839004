"""The network variant: hidden layers over both embeddings in place of their dot product (fastai book, chapter 8)."""

import itertools
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipeline.collab.algorithms.base import Algorithm, Features, Learned, Tell
from pipeline.collab.algorithms.network import NetworkSettings
from pipeline.collab.checkpoint import Keeper
from pipeline.collab.fitting.embedding import DECAY_BATCH, Gradients
from pipeline.collab.fitting.factors import through_range
from pipeline.collab.fitting.steps import fit_steps, span_of
from pipeline.collab.observations import Observations
from pipeline.collab.randomness import seed_of


class Network(Algorithm[NetworkSettings]):
    """Tensors `user` and `item` as those of the dot product, their biases unused, and `layers.0.weight`, ..."""

    def fit(
        self,
        seen: Observations,
        settings: NetworkSettings,
        seed: tuple[object, ...],
        features: Features,
        keeper: Keeper,
        tell: Tell,
    ) -> Learned:
        return fit_steps(seen, settings, seed, keeper, tell, _Layers(settings, seed, *span_of(seen, settings)))

    def predict(
        self, learned: Learned, users: torch.Tensor, items: torch.Tensor, times: torch.Tensor | None
    ) -> torch.Tensor:
        score = score_network(learned.tensors, users, items)
        return through_range(score, learned.about["low"], learned.about["span"])

    def item_rows(self, learned: Learned) -> tuple[np.ndarray, np.ndarray]:
        rows = learned.tensors["item"].numpy()
        return rows[:, 0], rows[:, 1:]


class _Layers:
    """The hidden layers and their optimizer: the scorer of the network."""

    def __init__(self, settings: NetworkSettings, seed: tuple[object, ...], low: float, span: float) -> None:
        self.low, self.span = low, span
        torch.manual_seed(seed_of(*seed, "layers"))
        self.layers = build_layers(settings.factors, settings.layers)
        decay = settings.weight_decay * settings.batch_size / DECAY_BATCH
        self.optimizer = torch.optim.AdamW(self.layers.parameters(), lr=settings.lr, weight_decay=decay, foreach=True)

    def gradients(self, mine: torch.Tensor, theirs: torch.Tensor, y: torch.Tensor) -> Gradients:
        with torch.enable_grad():
            return network_gradients(self.layers, self.optimizer, mine, theirs, y, self.low, self.span)

    def set_rate(self, rate: float) -> None:
        self.optimizer.param_groups[0]["lr"] = rate

    def weights(self) -> dict[str, torch.Tensor]:
        return {f"layers.{key}": value for key, value in self.layers.state_dict().items()}

    def state(self) -> dict[str, torch.Tensor]:
        moments = {
            f"moments.{number}.{key}": value
            for number, state in self.optimizer.state_dict()["state"].items()
            for key, value in state.items()
        }
        return self.weights() | moments

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        own = {k.removeprefix("layers."): v for k, v in tensors.items() if k.startswith("layers.")}
        self.layers.load_state_dict(own)
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("moments."):
                _, number, name = key.split(".")
                state.setdefault(int(number), {})[name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})


def build_layers(factors: int, hidden: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between them, from two embeddings to one score. Drawn from torch's global generator."""
    sizes = [2 * factors, *hidden, 1]
    parts: list[nn.Module] = []
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        parts += [nn.ReLU()] if number else []
        parts.append(nn.Linear(before, after))
    return nn.Sequential(*parts)


def network_gradients(
    layers: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    mine: torch.Tensor,
    theirs: torch.Tensor,
    y: torch.Tensor,
    low: float,
    span: float,
) -> Gradients:
    """Gradients of the embeddings of a batch; the layers make their own step with `optimizer`."""
    rows = [part.detach().requires_grad_() for part in (mine, theirs)]
    score = layers(torch.cat([rows[0][:, 1:], rows[1][:, 1:]], 1))[:, 0]
    guess = through_range(score, low, span)
    squared = (guess - y).square().sum()
    optimizer.zero_grad()
    (squared / len(y)).backward()
    optimizer.step()
    # backward has filled them in
    return squared.detach(), cast(torch.Tensor, rows[0].grad), cast(torch.Tensor, rows[1].grad)


def score_network(tensors: dict[str, torch.Tensor], users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Scores (n,) of inner ids from a trained model's tensors, whose layers are `layers.0.weight`, ..."""
    values = torch.cat([tensors["user"][users, 1:], tensors["item"][items, 1:]], 1)
    numbers = sorted({int(name.split(".")[1]) for name in tensors if name.startswith("layers.")})
    for place, number in enumerate(numbers):
        values = functional.relu(values) if place else values
        values = functional.linear(values, tensors[f"layers.{number}.weight"], tensors[f"layers.{number}.bias"])
    return values[:, 0]
