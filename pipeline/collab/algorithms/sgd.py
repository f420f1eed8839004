"""Embeddings trained by gradient steps, multiplied: `method = "sgd"`."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.collab.algorithms.settings import ALGORITHMS, Entry, Factored, RatingsModel, later
from pipeline.config import Rate

Range = Annotated[list[float], Field(min_length=2, max_length=2)]


class StepSettings(Factored, frozen=True):
    """What gradient steps on embeddings have in common, whatever is made of the embeddings."""

    range: bool | Range = True  # of predictions, through a sigmoid: from the data, given, or none
    bias: bool = True
    weight_decay: Annotated[float, Field(ge=0)] = 0.02  # as meant for batches of 64, whatever the batch size
    batch_size: Annotated[int, Field(ge=1)] = 1024
    lr: Rate = 0.01

    @model_validator(mode="after")
    def _range_in_order(self) -> Self:
        if isinstance(self.range, list) and self.range[0] >= self.range[1]:
            raise ValueError(f"range {self.range} is not [lowest, highest]")
        return self

    @property
    def limits(self) -> tuple[float, float] | None:
        return (self.range[0], self.range[1]) if isinstance(self.range, list) else None

    @property
    def decay(self) -> float | None:
        return self.weight_decay


class SgdSettings(StepSettings, frozen=True):
    """The dot product. With hidden layers in its place it is the network."""

    readable_factors: ClassVar[bool] = True

    method: Literal["sgd"] = "sgd"
    layers: Annotated[list[int], Field(max_length=0)] = Field(default=[])

    @classmethod
    def variant(cls, said: Mapping[str, Any]) -> type[RatingsModel]:
        return ALGORITHMS.get("network").settings if said.get("layers") else cls


ENTRY = Entry(SgdSettings, later("pipeline.collab.fitting.dot", "DotProduct"))
