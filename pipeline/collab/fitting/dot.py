"""The dot product of embeddings and both biases, trained by gradient steps."""

from dataclasses import dataclass

import numpy as np
import torch

from pipeline.collab.algorithms.base import Algorithm, Features, Learned, Tell
from pipeline.collab.algorithms.sgd import SgdSettings
from pipeline.collab.checkpoint import Keeper
from pipeline.collab.fitting.embedding import Gradients, dot_gradients
from pipeline.collab.fitting.factors import product, through_range
from pipeline.collab.fitting.ridge import ROUNDS, ridge, score_of
from pipeline.collab.fitting.steps import fit_steps, span_of
from pipeline.collab.observations import Observations


class DotProduct(Algorithm[SgdSettings]):
    """Tensors `user` and `item` are (rows + 1, 1 + factors): the bias in front, the mean row behind."""

    def fit(
        self,
        seen: Observations,
        settings: SgdSettings,
        seed: tuple[object, ...],
        features: Features,
        keeper: Keeper,
        tell: Tell,
    ) -> Learned:
        scorer = _Product(*span_of(seen, settings), settings.bias)
        return fit_steps(seen, settings, seed, keeper, tell, scorer)

    def predict(
        self, learned: Learned, users: torch.Tensor, items: torch.Tensor, times: torch.Tensor | None
    ) -> torch.Tensor:
        score = product(learned.tensors["user"][users], learned.tensors["item"][items])
        return through_range(score, learned.about["low"], learned.about["span"])

    def fold_in(self, learned: Learned, items: torch.Tensor, ratings: torch.Tensor) -> dict[str, torch.Tensor]:
        """The most probable row given the ratings, with the spread of all users for a prior."""
        rows = learned.tensors["user"].clone()
        rows[-1] = _solve(learned, rows, learned.tensors["item"][items], ratings)
        return {"user": rows}

    def item_rows(self, learned: Learned) -> tuple[np.ndarray, np.ndarray]:
        rows = learned.tensors["item"].numpy()
        return rows[:, 0], rows[:, 1:]


@dataclass(frozen=True)
class _Product:
    """A scorer that learns nothing of its own."""

    low: float
    span: float
    bias: bool

    def gradients(self, mine: torch.Tensor, theirs: torch.Tensor, y: torch.Tensor) -> Gradients:
        return dot_gradients(mine, theirs, y, self.low, self.span, self.bias)

    def set_rate(self, rate: float) -> None:
        pass

    def weights(self) -> dict[str, torch.Tensor]:
        return {}

    def state(self) -> dict[str, torch.Tensor]:
        return {}

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        pass


def _solve(learned: Learned, rows: torch.Tensor, theirs: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
    low, span, noise = (learned.about[key] for key in ("low", "span", "noise"))
    certain = torch.full_like(said, noise**-2)
    if not span:
        return ridge(rows, theirs, said - low, certain)
    row = rows[-1]
    for _ in range(ROUNDS):  # Gauss-Newton through the sigmoid, half a step at a time
        score = score_of(row, theirs)
        share = torch.sigmoid(score)
        slope = (span * share * (1 - share)).clamp_min(1e-3)
        target = score + (said - low - span * share) / slope
        row = row + 0.5 * (ridge(rows, theirs, target, certain * slope.square()) - row)
    return row
