"""The competition file of an image competition: what differs from that of other kinds."""

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pipeline.config import Competition, Data, Folds, Model, Rate
from pipeline.registry import code_in
from pipeline.settings import Section, Settings
from pipeline.vision.augmentations import OwnAugmentation, settings_of
from pipeline.vision.poolings import POOLINGS


def _both_sides(value: object) -> object:
    """Let one number stand for a square."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value


Side = Annotated[int, Field(ge=8)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_both_sides)]


class ImageData(Data, frozen=True):
    """Where rows, images and ids are found below the raw folder."""

    table: str | None = None
    images: str = "train_images"
    holdout: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _one_test_set(self) -> Self:
        if self.test is not None and self.holdout is not None:
            raise ValueError("test and holdout exclude each other: a test folder, or a share of train held back")
        return self

    @property
    def held_back(self) -> float | None:
        return self.holdout


class ImageFolds(Folds, frozen=True):
    """Stratified over targets (all of them unless named), whole groups together."""

    stratify: list[str] | None = None
    group: str = "near-duplicates"

    def resolved(self, within: Any = None) -> Self:
        """With the targets to stratify over, in the order of the file."""
        if within is None:
            return self
        names = [target.name for target in within.targets]
        chosen = names if self.stratify is None else [name for name in names if name in self.stratify]
        return self.model_copy(update={"stratify": chosen})


class Resize(Section, frozen=True):
    """The presize on the CPU: fastai's `Resize(size, method)`; size in pixels, [height, width]."""

    size: Size
    method: Literal["crop", "pad", "squish"] = "crop"


class Augment(Section, frozen=True):
    """fastai's `aug_transforms`, with its defaults; `min_scale` below 1 adds its random resized crop."""

    flip: bool = True
    flip_vert: bool = False
    max_rotate: Annotated[float, Field(ge=0, le=180)] = 10.0
    max_zoom: Annotated[float, Field(ge=1)] = 1.1
    max_lighting: Annotated[float, Field(ge=0, lt=1)] = 0.2
    max_warp: Annotated[float, Field(ge=0, lt=1)] = 0.2
    min_scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    own: list[OwnAugmentation] = Field(default=[])  # applied to the presized window, before all these

    def settings(self, within: Any = None, leave_out: Collection[str] = ()) -> Settings:
        """With the code of augmentations that a plug-in brings, whose change changes the meaning."""
        found = super().settings(within, leave_out)
        return Settings({**found, "own": [settings_of(each) for each in self.own]}, found.defaults, found.from_spelled)


def _known_pooling(name: str) -> str:
    if name not in POOLINGS:
        raise ValueError(POOLINGS.unknown(name))
    return name


class ImageModel(Model, frozen=True):
    """One member of the ensemble: an architecture and how it is trained."""

    arch: str
    weights: str = "pretrained"
    resize: Resize | None = None
    size: Size = (224, 224)
    augment: Augment = Augment()
    batch_size: Annotated[int, Field(ge=1)] = 64
    accumulate: Annotated[int, Field(ge=1)] = 1
    epochs: Annotated[int, Field(ge=1)] = 5
    freeze_epochs: Annotated[int, Field(ge=0)] | None = None
    lr: Rate | Annotated[list[Rate], Field(min_length=2, max_length=2)] | Literal["auto"] = 0.002
    schedule: Literal["", "fine_tune", "one_cycle"] = ""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    mixup: Annotated[float, Field(ge=0)] = 0.0
    pooling: Annotated[str, AfterValidator(_known_pooling)] = "concat"
    precision: Literal["auto", "fp32", "fp16"] = "auto"
    tta: Annotated[int, Field(ge=0)] = 4

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}")
        if self.batch_size < 2 * self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} / accumulate {self.accumulate}: batch norm needs 2 images")
        if self.schedule == "fine_tune" and self.weights == "none":
            raise ValueError("schedule 'fine_tune' starts from weights; with weights = 'none' use 'one_cycle'")
        if self.schedule_name == "fine_tune" and isinstance(self.lr, list):
            raise ValueError("lr = [lowest, highest] goes with schedule = 'one_cycle'; fine_tune spreads one lr")
        if self.schedule_name == "one_cycle" and self.freeze_epochs:
            raise ValueError("freeze_epochs goes with schedule = 'fine_tune'; one_cycle trains the whole network")
        return self

    def settings(self, within: Any = None, leave_out: Collection[str] = ()) -> Settings:
        """With the code of a pooling that a plug-in brings."""
        found = super().settings(within, leave_out)
        return Settings(found | code_in("pooling", POOLINGS, self.pooling), found.defaults, found.from_spelled)

    @property
    def schedule_name(self) -> Literal["fine_tune", "one_cycle"]:
        """fine_tune from weights, one_cycle from scratch, unless the file says so."""
        return self.schedule or ("one_cycle" if self.weights == "none" else "fine_tune")

    @property
    def presize(self) -> Resize:
        """The presize; by default about twice the training size, as the course does (460 for 224)."""
        if self.resize is not None:
            return self.resize
        height, width = (round(side * 460 / 224) for side in self.size)
        return Resize(size=(height, width))

    @property
    def frozen_epochs(self) -> int:
        """Epochs with a frozen body before the others: fine_tune's, one by default."""
        if self.schedule_name == "one_cycle":
            return 0
        return 1 if self.freeze_epochs is None else self.freeze_epochs

    def resolved(self, within: Any = None) -> Self:
        """With the schedule, its frozen epochs, and the presize."""
        given = {"schedule": self.schedule_name, "freeze_epochs": self.frozen_epochs, "resize": self.presize}
        return self.model_copy(update=given)


class ImageCompetition(Competition, frozen=True):
    """A competition on images: any number of targets, each with a head of its own."""

    kind: Literal["image"] = "image"
    said_metric: Annotated[str | dict[str, Any], Field(alias="metric")] = "accuracy"
    data: ImageData = ImageData()
    folds: ImageFolds = ImageFolds()
    models: Annotated[list[ImageModel], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for number, target in enumerate(self.targets):
            if target.column is not None and self.data.table is None:
                raise ValueError(f"targets.{number}.column needs data.table")
            if self.data.table is None and target.regex is None and not target.folder:
                raise ValueError(f"targets.{number}: without data.table give regex = '...' or folder = true")
        known = [target.name for target in self.targets]
        for name in self.folds.stratify or []:
            if name not in known:
                raise ValueError(f"folds.stratify names {name!r}, which is not a target ({', '.join(known)})")
        return self
