"""Somebody who is not in the data: their bias and factors from a few ratings, everything else as it was learned."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from pipeline.collab.model import Trained, one_thread
from pipeline.errors import RequestError

ROUNDS = 30  # of Gauss-Newton or of expectations; both settle within ten


def fold_in(trained: Trained, items: Sequence[str], ratings: Sequence[float]) -> Trained:
    """The same model, in which whoever it does not know has rated these items so.

    The most probable row given the ratings, with the spread of all users for a prior. Raises RequestError for the
    network variant, whose score is not linear in the user's embedding.
    """
    if trained.about["method"] == "network":
        raise RequestError("--new goes with models that multiply embeddings; choose one with --model")
    inner, said = torch.tensor(trained.items.inner(items)), torch.tensor(np.asarray(ratings), dtype=torch.float32)
    rows = trained.tensors["user"].clone()
    with one_thread(), torch.no_grad():
        if rows.dim() == 2:
            rows[-1] = _solve_range(trained, rows, trained.tensors["item"][inner], said)
        else:
            for number in range(len(rows)):
                rows[number, -1] = _solve_sample(trained, number, rows[number], inner, said)
    return replace(trained, tensors={**trained.tensors, "user": rows})


def _ridge(rows: torch.Tensor, theirs: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Of all rows the most probable for scores `target` (n,) known with precision `weight` (n,)."""
    mean, precision = rows[-1].double(), 1 / rows[:-1].double().var(0, unbiased=False).clamp_min(1e-8)
    design = theirs.double().clone()
    own_bias = design[:, 0].clone()
    design[:, 0] = 1
    weighted = design * weight.double()[:, None]
    gram = design.T @ weighted + torch.diag(precision)
    return torch.linalg.solve(gram, weighted.T @ (target.double() - own_bias) + precision * mean).float()


def _score(row: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    return theirs[:, 1:] @ row[1:] + theirs[:, 0] + row[0]


def _solve_range(trained: Trained, rows: torch.Tensor, theirs: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
    low, span, noise = (trained.about[key] for key in ("low", "span", "noise"))
    certain = torch.full_like(said, noise**-2)
    if not span:
        return _ridge(rows, theirs, said - low, certain)
    row = rows[-1]
    for _ in range(ROUNDS):  # Gauss-Newton through the sigmoid, half a step at a time
        score = _score(row, theirs)
        share = torch.sigmoid(score)
        slope = (span * share * (1 - share)).clamp_min(1e-3)
        target = score + (said - low - span * share) / slope
        row = row + 0.5 * (_ridge(rows, theirs, target, certain * slope.square()) - row)
    return row


def _solve_sample(
    trained: Trained, number: int, rows: torch.Tensor, inner: torch.Tensor, said: torch.Tensor
) -> torch.Tensor:
    theirs = trained.tensors["item"][number][inner]
    if "cuts" not in trained.tensors:
        return _ridge(rows, theirs, said - trained.about["center"], torch.full_like(said, trained.about["noise"] ** -2))
    cuts, levels = trained.tensors["cuts"][number], torch.tensor(trained.about["levels"])
    level = (said[:, None] - levels).abs().argmin(1)
    ends = torch.cat([cuts.new_tensor([-40.0]), cuts, cuts.new_tensor([40.0])])
    row = rows[-1]
    for _ in range(ROUNDS):  # the mean of the latent value behind each level, then the row, in turn
        score = _score(row, theirs)
        below, above = ends[level] - score, ends[level + 1] - score
        density = [torch.exp(-0.5 * bound.square()) / (2 * torch.pi) ** 0.5 for bound in (below, above)]
        inside = (torch.special.ndtr(above) - torch.special.ndtr(below)).clamp_min(1e-6)
        target = score + (density[0] - density[1]) / inside
        row = _ridge(rows, theirs, target, torch.ones_like(target))
    return row
