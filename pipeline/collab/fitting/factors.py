"""Rows of embeddings, the bias in front: (rows, 1 + factors)."""

import torch


def product(mine: torch.Tensor, theirs: torch.Tensor, bias: bool = True) -> torch.Tensor:
    """p . q (n,), and both biases unless told otherwise, for rows (n, 1 + factors)."""
    score = (mine[:, 1:] * theirs[:, 1:]).sum(1)
    return score + mine[:, 0] + theirs[:, 0] if bias else score


def with_mean(rows: torch.Tensor) -> torch.Tensor:
    """(..., rows, width) with the mean row behind: what is known of somebody who was never seen."""
    return torch.cat([rows, rows.mean(-2, keepdim=True)], dim=-2)


def through_range(score: torch.Tensor, low: float, span: float) -> torch.Tensor:
    """Ratings (n,) of scores, through a sigmoid from `low` to `low + span`; a span of 0 means no sigmoid."""
    return low + span * torch.sigmoid(score) if span else low + score
