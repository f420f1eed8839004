"""The network variant: hidden layers over both embeddings in place of their dot product (fastai book, chapter 8)."""

import itertools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from pipeline.collab.embedding import Gradients


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
    guess = low + span * torch.sigmoid(score) if span else low + score
    squared = (guess - y).square().sum()
    optimizer.zero_grad()
    (squared / len(y)).backward()
    optimizer.step()
    return squared.detach(), rows[0].grad, rows[1].grad


def score_network(tensors: dict[str, torch.Tensor], users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Scores (n,) of inner ids from a trained model's tensors, whose layers are `layers.0.weight`, ..."""
    values = torch.cat([tensors["user"][users, 1:], tensors["item"][items, 1:]], 1)
    numbers = sorted({int(name.split(".")[1]) for name in tensors if name.startswith("layers.")})
    for place, number in enumerate(numbers):
        values = functional.relu(values) if place else values
        values = functional.linear(values, tensors[f"layers.{number}.weight"], tensors[f"layers.{number}.bias"])
    return values[:, 0]
