"""What a trained fold is: all that is needed to open its weights, as JSON in their header."""

import json
from collections.abc import Mapping, Sequence
from importlib import metadata as installed
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer
from safetensors import SafetensorError

from pipeline.data.channels import RGB, Axis, Channels
from pipeline.data.levels import Levels
from pipeline.errors import WorkFailed
from pipeline.losses import LOSSES
from pipeline.settings import Section
from pipeline.targets import TargetSpec
from pipeline.vision.config import ImageModel, Resize
from pipeline.vision.encoding import Features
from pipeline.vision.header import read_header
from pipeline.vision.heads import Head
from pipeline.vision.sizes import Size

LIBRARIES = ("pipeline", "torch", "fastai", "timm")


class Statistics(Section, frozen=True):
    """Mean and standard deviation (of each channel, of 1) that images are normalised by."""

    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    std: Annotated[tuple[float, ...], Field(min_length=1)]

    @classmethod
    def of(cls, stats: tuple[Sequence[float], Sequence[float]]) -> "Statistics":
        """Out of a pair (mean, standard deviation)."""
        return cls.model_validate({"mean": tuple(stats[0]), "std": tuple(stats[1])})


class HeadMetadata(Section, frozen=True):
    """One target's head, in the order of the network's outputs."""

    name: str
    kind: str
    vocab: tuple[str, ...]
    loss: str
    options: dict[str, Any] = Field(default={})  # of the loss
    told: dict[str, str] = Field(default={})  # the options of the target's kind
    weight: float
    center: float
    scale: float

    @model_serializer(mode="wrap")
    def _said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without options that nobody gave: most headers are as they were before there were any."""
        values = handler(self)
        return values if self.told else {key: value for key, value in values.items() if key != "told"}

    @classmethod
    def of(cls, head: Head) -> "HeadMetadata":
        spec = head.spec
        numbers = {"weight": head.weight, "center": head.center, "scale": head.scale}
        options = {} if head.options is None else head.options.model_dump(mode="json")
        return cls(
            name=spec.name,
            kind=spec.kind,
            vocab=spec.vocab,
            told=dict(spec.options),
            loss=head.loss,
            options=options,
            **numbers,
        )

    def head(self) -> Head:
        spec = TargetSpec(self.name, self.kind, self.vocab, tuple(self.told.items()))
        options = LOSSES[self.loss].read_options(self.options) if self.options else None
        return Head(spec, self.loss, self.weight, self.center, self.scale, options)


class Metadata(Section, frozen=True):
    """A trained fold: the network, its input, its heads, how it was trained.

    `stats` is None for the architecture's own; `seed` names the fold, and what TTA draws; `versions` are those of the
    libraries that trained it; by `levels` images of more than 8 bits are read; `channels` is None for RGB, and
    `channel_axis` where arrays have them. `cut`: it was trained on boxes. `features` are the columns that it takes
    beside an image.
    """

    format: Literal[1] = 1
    arch: str
    size: Size
    presize: Resize
    stats: Statistics | None
    heads: tuple[HeadMetadata, ...]
    model: ImageModel
    seed: tuple[int | str, ...]
    versions: dict[str, str]
    levels: dict[str, tuple[float, float]] | None = None
    channels: int | None = None
    channel_axis: Axis = ""
    cut: bool = False
    features: Features | None = None

    @classmethod
    def of(  # noqa: PLR0913
        cls,
        model: ImageModel,
        heads: Sequence[Head],
        seed: Sequence[int | str],
        stats: tuple[Sequence[float], Sequence[float]] | None = None,
        versions: Mapping[str, str] | None = None,
        levels: Levels | None = None,
        channels: Channels = RGB,
        cut: bool = False,
        features: Features | None = None,
    ) -> "Metadata":
        """What is known from a model's settings and a fold's heads; without `versions` nobody knows them."""
        return cls(
            arch=model.arch,
            size=model.size,
            presize=model.presize,
            stats=None if stats is None else Statistics.of(stats),
            heads=tuple(HeadMetadata.of(head) for head in heads),
            model=model,
            seed=tuple(seed),
            versions=dict(versions or {}),
            levels=dict(levels) if levels else None,
            channels=channels.count if channels.settings() else None,
            channel_axis=channels.axis,
            cut=cut,
            features=features,
        )

    @property
    def image_channels(self) -> Channels:
        """Those of the images that it was trained on."""
        return RGB if self.channels is None else Channels(self.channels, self.channel_axis)

    def header(self) -> dict[str, str]:
        """What the header of the weights holds; of levels, channels, boxes and features nothing where there are none,
        as earlier versions expect."""
        off: dict[str, Any] = {} if self.levels else {"levels": True}
        off |= {} if self.channels else {"channels": True, "channel_axis": True}
        off |= {} if self.cut else {"cut": True}
        off |= {} if self.features else {"features": True, "model": {"features"}}
        text = self.model_dump_json(exclude=off)
        return {"arch": self.arch, "metadata": text}


def read_metadata(path: Path) -> Metadata | None:
    """What a file of weights says of itself; None for one that was trained before they did.

    Raises WorkFailed for a file that is absent or torn, or described in a way that this version does not know.
    """
    try:
        header = read_header(path)
    except (OSError, SafetensorError) as error:
        raise WorkFailed(f"{path} does not hold a model's weights ({error}); train again") from error
    if "metadata" not in header:
        return None
    try:
        return Metadata.model_validate_json(header["metadata"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole of it"
        raise WorkFailed(
            f"{path} describes its model in a way that this pipeline does not know ({place}: {first['msg']}; written "
            f"by pipeline {_writer(header['metadata'])}); use that version, or train again"
        ) from error


def installed_versions() -> dict[str, str]:
    """Versions of the libraries that make the numbers; pipeline's own is not known where it is not installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = installed.version(name)
        except installed.PackageNotFoundError:
            found[name] = "unknown"
    return found


def _writer(text: str) -> str:
    try:
        return str(json.loads(text)["versions"]["pipeline"])
    except (ValueError, KeyError, TypeError):
        return "unknown"
