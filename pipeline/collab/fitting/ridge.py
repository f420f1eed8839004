"""Somebody who is not in the data: their bias and factors from a few ratings, everything else as it was learned."""

import torch

ROUNDS = 30  # of Gauss-Newton or of expectations; both settle within ten


def ridge(rows: torch.Tensor, theirs: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Of all rows the most probable for scores `target` (n,) known with precision `weight` (n,).

    `rows` (any, 1 + factors) are those of everybody, whose spread is the prior, with their mean behind.
    """
    mean, precision = rows[-1].double(), 1 / rows[:-1].double().var(0, unbiased=False).clamp_min(1e-8)
    design = theirs.double().clone()
    own_bias = design[:, 0].clone()
    design[:, 0] = 1
    weighted = design * weight.double()[:, None]
    gram = design.T @ weighted + torch.diag(precision)
    return torch.linalg.solve(gram, weighted.T @ (target.double() - own_bias) + precision * mean).float()


def score_of(row: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """`product` of one row (1 + factors,) with many (n, 1 + factors); as one of matrices it rounds otherwise."""
    return theirs[:, 1:] @ row[1:] + theirs[:, 0] + row[0]
