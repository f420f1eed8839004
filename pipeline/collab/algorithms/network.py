"""Hidden layers over the embeddings: `method = "network"`, or `method = "sgd"` with layers."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from pipeline.collab.algorithms.settings import Entry, later
from pipeline.collab.algorithms.sgd import StepSettings


class NetworkSettings(StepSettings, frozen=True):
    """Hidden layers in place of the dot product."""

    method: Literal["network"] = "network"
    layers: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(default=[100, 50])

    @field_validator("method", mode="before")
    @classmethod
    def _plain_name(cls, method: Any) -> Any:
        """Both names mean the same model, and are recorded as the same."""
        return "network" if method == "sgd" else method


ENTRY = Entry(NetworkSettings, later("pipeline.collab.fitting.network", "Network"))
