"""Embeddings drawn from their posterior: `method = "gibbs"`."""

from typing import Literal, Self

from pydantic import model_validator

from pipeline.collab.algorithms.settings import Entry, Factored, later

BURN_IN = 20  # sweeps before the first that counts
MOST_LEVELS = 20  # of an ordered probit


class GibbsSettings(Factored, frozen=True):
    """Matrix factorisation with what else is known."""

    method: Literal["gibbs"] = "gibbs"
    implicit: bool = False  # which items a user rated, which users rated an item
    time: bool = False  # moods of a day and of a moment; needs data.timestamp
    side: bool = False  # features of users and items; needs data.users or data.items
    ordinal: bool = False  # ratings as ordered steps in place of numbers

    @model_validator(mode="after")
    def _enough_sweeps(self) -> Self:
        if self.epochs <= BURN_IN:
            raise ValueError(f"epochs = {self.epochs}: gibbs throws the first {BURN_IN} sweeps away; 180 is usual")
        return self

    @property
    def uses_features(self) -> bool:
        return self.side

    def check_levels(self, levels: int) -> None:
        if self.ordinal and not 2 <= levels <= MOST_LEVELS:
            raise ValueError(f"ordinal = true needs 2 to {MOST_LEVELS} different ratings; there are {levels:,}")

    def check_data(self, times: bool, tables: bool) -> None:
        if self.time and not times:
            raise ValueError("time needs data.timestamp")
        if self.side and not tables:
            raise ValueError("side needs data.users or data.items")


ENTRY = Entry(GibbsSettings, later("pipeline.collab.fitting.gibbs", "Gibbs"))
