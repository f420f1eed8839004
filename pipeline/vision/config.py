"""The competition file of an image competition: what differs from that of other kinds."""

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializeAsAny,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pipeline.combinations import COMBINATIONS, in_words, serving
from pipeline.config import Competition, Rate
from pipeline.registry import code_in
from pipeline.settings import Section, Settings
from pipeline.targets import label_kinds
from pipeline.targets.said import targets_of
from pipeline.vision.augmentations import OwnAugmentation, settings_of
from pipeline.vision.data_config import ImageData
from pipeline.vision.folds_config import ImageFolds
from pipeline.vision.member import Member
from pipeline.vision.poolings import POOLINGS
from pipeline.vision.sizes import Size
from pipeline.vision.start import is_path, start_digest
from pipeline.vision.table_config import TableModel


class Resize(Section, frozen=True):
    """The presize on the CPU: fastai's `Resize(size, method)`; size in pixels, [height, width]."""

    size: Size
    method: Literal["crop", "pad", "squish"] = "crop"


class Augment(Section, frozen=True):
    """fastai's `aug_transforms`, with its defaults; `min_scale` below 1 adds its random resized crop, in the shape of
    the presized window; `flip_vert` without `flip` turns half of the images upside down."""

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


# Kinds whose labels a probe knows how to fit a linear layer to, and those alike.
PROBED = ("category", "binary", "multilabel", "regression")


class ImageModel(Member, frozen=True):
    """One member of the ensemble: an architecture and how it is trained."""

    weights: str = "pretrained"
    resize: Resize | None = None
    size: Size = (224, 224)
    augment: Augment = Augment()
    batch_size: Annotated[int, Field(ge=1)] = 64
    accumulate: Annotated[int, Field(ge=1)] = 1
    epochs: Annotated[int, Field(ge=0)] = 5  # 0 with fine_tune: the epochs with a frozen body alone
    freeze_epochs: Annotated[int, Field(ge=0)] | None = None
    frozen_bn: bool = False  # the body's batch norms keep the statistics of the weights that training starts from
    head: Literal["", "fastai", "linear"] = ""  # linear: a layer a target on the pooled features, and no other
    probe: bool = False  # the heads start as regressions fitted to the frozen body's features
    lr: Rate | Annotated[list[Rate], Field(min_length=2, max_length=2)] | Literal["auto"] = 0.002
    schedule: Literal["", "fine_tune", "one_cycle", "probe"] = ""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    mixup: Annotated[float, Field(ge=0)] = 0.0
    pooling: Annotated[str, AfterValidator(_known_pooling)] = "concat"
    precision: Literal["auto", "fp32", "fp16"] = "auto"
    tta: Annotated[int, Field(ge=0)] = 4
    features: bool = False  # whether data.features are joined to the pooled features of the image

    @classmethod
    def serves(cls, arch: str) -> bool:
        return not TableModel.serves(arch)

    @model_validator(mode="before")
    @classmethod
    def _no_epochs_of_a_probe(cls, values: Any) -> Any:
        """A probe alone has none, unless the file says so, which is refused."""
        return {"epochs": 0, **values} if isinstance(values, dict) and values.get("schedule") == "probe" else values

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
        self._check_start()
        if self.schedule_name != "fine_tune" and self.freeze_epochs:
            raise ValueError(f"freeze_epochs goes with schedule = 'fine_tune', not with {self.schedule_name!r}")
        return self

    def _check_start(self) -> None:
        """Raise ValueError for what has nothing to start from, and for what trains nothing."""
        if self.starts_from_probe and self.weights == "none":
            raise ValueError("a probe is fitted to features of weights; with weights = 'none' there are none")
        if self.starts_from_probe and self.head == "fastai":
            raise ValueError("a probe is a linear layer: leave head out, or say head = 'linear'")
        if self.schedule == "probe" and self.epochs:
            raise ValueError("schedule = 'probe' has no epochs; probe = true with another schedule trains on from it")
        if not self.starts_from_probe and not self.epochs + self.frozen_epochs:
            none = PydanticCustomError(
                "no_epoch",
                "Input should be greater than or equal to 1, or 0 with freeze_epochs, or a probe",
            )
            raise ValidationError.from_exception_data(
                self.__class__.__name__, [{"type": none, "loc": ("epochs",), "input": 0}]
            )

    def settings(self, within: Any = None, leave_out: Collection[str] = ()) -> Settings:
        """With the code of a pooling that a plug-in brings, and the content of the file that training starts from."""
        found = super().settings(within, leave_out)
        more: dict[str, Any] = dict(code_in("pooling", POOLINGS, self.pooling))
        if is_path(self.weights):
            more["weights_file"] = start_digest(self.arch, self.weights)
        return Settings(found | more, found.defaults, found.from_spelled, where_known={"weights_file"})

    @property
    def reads_features(self) -> bool:
        return self.features

    @property
    def schedule_name(self) -> Literal["fine_tune", "one_cycle", "probe"]:
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
        if self.schedule_name != "fine_tune":
            return 0
        return 1 if self.freeze_epochs is None else self.freeze_epochs

    @property
    def keeps_statistics(self) -> bool:
        """Whether batch norms keep those of the weights: without weights there are none to keep."""
        return self.frozen_bn and self.weights != "none"

    @property
    def starts_from_probe(self) -> bool:
        """Whether the heads are fitted to the frozen body's features before anything is trained."""
        return self.probe or self.schedule == "probe"

    @property
    def head_name(self) -> Literal["fastai", "linear"]:
        """fastai's two layers, or the linear one that a probe needs."""
        return self.head or ("linear" if self.starts_from_probe else "fastai")

    @property
    def corrected(self) -> dict[str, str]:
        """What earlier versions did otherwise in the training of this model, and what is done now; empty for most."""
        height, width = self.presize.size
        found = {}
        if self.augment.min_scale < 1 and height != width:
            found["random crop of a rectangle"] = "keeps its shape"
        if self.augment.flip_vert and not self.augment.flip:
            found["vertical flips without flip"] = "half of the images"
        if self.lr == "auto" and self.frozen_epochs:
            found["rate"] = "found with a frozen body, as the first epochs train"
        return found

    def resolved(self, within: Any = None) -> Self:
        """With the schedule, its frozen epochs, the head, and the presize."""
        given: dict[str, Any] = {"schedule": self.schedule_name, "freeze_epochs": self.frozen_epochs}
        given |= {"resize": self.presize, "head": self.head_name, "probe": self.starts_from_probe}
        given["frozen_bn"] = self.keeps_statistics
        return self.model_copy(update=given)


class ImageCompetition(Competition, frozen=True):
    """A competition on images: any number of targets, each with a head of its own."""

    kind: Literal["image"] = "image"
    said_metric: Annotated[str | dict[str, Any], Field(alias="metric")] = "accuracy"
    data: ImageData = ImageData()
    folds: ImageFolds = ImageFolds()
    models: Annotated[list[SerializeAsAny[Member]], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _target_of_each_column(cls, raw: Any) -> Any:
        """With `columns = [...]` an entry of [[targets]] stands for one of each."""
        if not isinstance(raw, dict) or not isinstance(raw.get("targets"), list):
            return raw
        return {**raw, "targets": [target for entry in raw["targets"] for target in targets_of(entry)]}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for number, target in enumerate(self.targets):
            if target.column is not None and self.data.table is None:
                raise ValueError(f"targets.{number}.column needs data.table")
            if self.data.table is None and target.in_table:
                raise ValueError(f"targets.{number}: without data.table give regex = '...' or folder = true")
            probed = any(isinstance(model, ImageModel) and model.starts_from_probe for model in self.models)
            if probed and not {*PROBED} & {*label_kinds(target.kind)}:
                raise ValueError(f"targets.{number}: a probe cannot be fitted to a target of kind {target.kind!r}")
        for number, model in enumerate(self.models):
            if model.reads_features and not self.data.features:
                raise ValueError(f"models.{number}: {model.name!r} reads data.features, and the file names none")
        self._check_combination()
        known = [target.name for target in self.targets]
        for name in self.folds.stratify or []:
            if name not in known:
                raise ValueError(f"folds.stratify names {name!r}, which is not a target ({', '.join(known)})")
        return self

    def _check_combination(self) -> None:
        """Raise ValueError for a target whose predictions cannot become one for a case."""
        name = self.data.combination
        for target in self.targets if name is not None else ():
            if not COMBINATIONS[str(name)].serves(target.kind):
                hint = "; kind = 'binary' is for two" if target.target_kind.exclusive else ""
                raise ValueError(
                    f"data.combine = {in_words(str(name))!r} is no way for target {target.name!r} of kind "
                    f"{target.kind!r} ({', '.join(map(in_words, serving([target.kind])))} are){hint}"
                )
