"""The competition file of an image competition: what differs from that of other kinds."""

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializeAsAny,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pipeline.combinations import COMBINATIONS, in_words, serving, spelled
from pipeline.combinations import DEFAULT as COMBINED
from pipeline.config import Competition, Data, Folds, Rate, refuse_repeats, targets_of
from pipeline.data.channels import MOST, Said
from pipeline.data.several import BETWEEN, is_several, parts_of
from pipeline.forms.said import Long
from pipeline.registry import code_in
from pipeline.settings import Section, Settings
from pipeline.targets import label_kinds
from pipeline.vision.augmentations import OwnAugmentation, settings_of
from pipeline.vision.member import Member
from pipeline.vision.poolings import POOLINGS
from pipeline.vision.start import is_path, start_digest
from pipeline.vision.table_config import TableModel


def _both_sides(value: object) -> object:
    """Let one number stand for a square."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value


Side = Annotated[int, Field(ge=8)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_both_sides)]
Length = Annotated[int, Field(ge=1)]
Shape = Annotated[tuple[Length, Length], BeforeValidator(_both_sides)]


def _one_of_several(value: object) -> object:
    """Several patterns, one for each file of an image, as one."""
    if not isinstance(value, list):
        return value
    if not value or not all(isinstance(pattern, str) and pattern and BETWEEN not in pattern for pattern in value):
        raise ValueError(f"expected patterns of files, each without {BETWEEN!r}, such as ['{{id}}_red.png', ...]")
    return BETWEEN.join(value)


Files = Annotated[str, BeforeValidator(_one_of_several)]


def _known_combination(name: str) -> str:
    if name not in COMBINATIONS:
        raise ValueError(COMBINATIONS.unknown(name))
    return name


Names = Annotated[list[str], Field(min_length=1)]


class Joined(Section, frozen=True):
    """A further table: its rows are put beside those of data.table by `on`, which is data.id unless it is said."""

    table: str
    on: str | Annotated[dict[str, str], Field(min_length=1)] | None = None  # or { column there = "column here" }
    take: Names | None = None  # its columns; all of them unless they are named
    columns: Names | None = None  # what its columns are called, where it has no header


def _tables_alone(value: object) -> object:
    return [{"table": each} if isinstance(each, str) else each for each in value] if isinstance(value, list) else value


class Feature(Section, frozen=True):
    """A column beside the image; `as` says what it is where its training cells would be taken for something else."""

    name: str
    sort: Annotated[Literal["number", "word"] | None, Field(alias="as")] = None

    @classmethod
    def known_keys(cls) -> list[str]:
        return ["name", "as"]

    @model_serializer(mode="plain")
    def _as_in_the_file(self) -> str | dict[str, str]:
        return self.name if self.sort is None else {"name": self.name, "as": self.sort}


def _feature_by_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class ImageData(Data, frozen=True):
    """Where rows, images and ids are found below the raw folder; several `images` are the files of one, whose channels
    lie in their order. `channels` and `channel_axis` say what is seen in the files unless it is said."""

    table: str | None = None
    columns: Names | None = None  # what its columns are called, where it has no header
    tables: Annotated[list[Joined], BeforeValidator(_tables_alone)] = Field(default=[])
    images: Files = "train_images"
    test: Annotated[str | None, BeforeValidator(_one_of_several)] = None
    channels: Annotated[int, Field(ge=1, lt=MOST)] | None = None
    channel_axis: Literal["", "first", "last"] = ""  # of arrays: "" is the smaller one
    levels: Annotated[tuple[float, float], BeforeValidator(_both_sides)] | None = None  # of more than 8 bits: to 0, 255
    arrays: Names | None = None  # columns of table and test (another one)
    array_shape: Shape | None = None  # height and width, where they are not the same
    test_table: str | None = None  # with a row a test image, where the sample submission does not name their files
    test_id: str | None = None  # its column of ids, where that is not data.id
    holdout: Annotated[float, Field(gt=0, lt=1)] | None = None
    weight: str | None = None  # a column of the table: how much a row counts in the loss
    box: Annotated[list[str], Field(min_length=4, max_length=4)] | None = None  # columns: left, top, width, height
    box_margin: Annotated[float, Field(ge=0, le=10)] = 0.1  # of the longer side, around the box
    case: str | None = None  # a column: images of one cell have one answer, which the sample's ids ask for
    combine: Annotated[str, BeforeValidator(spelled), AfterValidator(_known_combination)] = COMBINED
    long: Long | None = None  # of the table: a row for each image and column
    # Columns of the table that models may read beside the image: names, or patterns such as "margin*".
    features: list[Annotated[Feature, BeforeValidator(_feature_by_name)]] = Field(default=[])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.test is not None and self.holdout is not None:
            raise ValueError("test and holdout exclude each other: a test folder, or a share of train held back")
        if self.test_table is not None and self.test is None:
            raise ValueError("test_table goes with test, the folder or pattern of its images")
        if self.features and self.table is None:
            raise ValueError("features are columns of data.table, and there is none")
        for key in ("weight", "box", "case"):
            if getattr(self, key) is not None and self.table is None:
                raise ValueError(f"{key} = {getattr(self, key)!r} is in data.table, and there is none")
        if self.box is not None and len(set(self.box)) < len(self.box):
            raise ValueError(f"box = {self.box!r} names a column twice; expected left, top, width and height")
        if self.case is None and self.combine != COMBINED:
            raise ValueError(
                f"combine = {self.combine!r} goes with case, the column of what images have one answer for"
            )
        if self.test_id is not None and self.test_table is None:
            raise ValueError("test_id is a column of test_table, which is not named")
        return self

    @model_validator(mode="after")
    def _pixels(self) -> Self:
        if self.arrays is not None and (self.table is None or self.test_table is not None or "{" in str(self.test)):
            raise ValueError("arrays are columns of table, and of the table that test names")
        if self.arrays is None and self.array_shape is not None:
            raise ValueError("array_shape goes with arrays")
        if self.levels is not None and self.levels[0] >= self.levels[1]:
            raise ValueError(f"levels {list(self.levels)}: the first is what becomes 0, and less than the second")
        several = [key for key in ("images", "test") if is_several(getattr(self, key))]
        if several and self.table is None:
            raise ValueError(f"{several[0]} of several files goes with table, whose rows name them")
        if several and self.test is not None and len(parts_of(self.images)) != len(parts_of(self.test)):
            raise ValueError("images and test need the same number of files for an image")
        return self

    @model_validator(mode="after")
    def _one_table_first(self) -> Self:
        for key in ("columns", "tables"):
            if getattr(self, key) and self.table is None:
                raise ValueError(f"{key} goes with table, the one that has a row an image")
        if self.columns is not None and self.id not in self.columns:
            raise ValueError(f"columns does not name the column of ids, {self.id!r} (data.id)")
        for names in filter(None, (self.columns, *(joined.columns for joined in self.tables))):
            refuse_repeats("columns", names)
        return self

    @property
    def has_features(self) -> bool:
        return bool(self.features)

    @property
    def said_channels(self) -> Said:
        """What the file says of channels."""
        return Said(self.channels, "first" if self.arrays and len(self.arrays) > 1 else self.channel_axis)

    @property
    def held_back(self) -> float | None:
        return self.holdout

    @property
    def row_a_case(self) -> bool:
        """Whether tables have a row a case, whose images are what the pattern or folder of that row holds."""
        return self.case == self.id

    @property
    def combination(self) -> str | None:
        return None if self.case is None else self.combine

    @property
    def answer_id(self) -> str:
        return self.case or self.id

    def settings(self, within: Any = None, leave_out: Collection[str] = ()) -> Settings:
        """Without what the manifest does not depend on."""
        return super().settings(within, {*leave_out, "combine"})

    @property
    def named_files(self) -> list[str]:
        """The tables that it names, by their paths below the raw folder."""
        test = self.test if self.arrays is not None else None
        tables = (self.table, self.test_table, test, *(joined.table for joined in self.tables))
        return [table for table in tables if table is not None]


class ImageFolds(Folds, frozen=True):
    """Stratified over targets (all of them unless named), whole groups together; or as a column says, or by time.

    `table` holds the columns that `group`, `column` and `time` name, where data.table does not; joined by data.id.
    """

    n: Annotated[int, Field(ge=1)] = 5
    stratify: list[str] | None = None
    group: str = "near-duplicates"  # or "none", or a column: then rows of one cell and near-duplicates are together
    table: str | None = None
    column: str | None = None  # each of its values is a fold, -1 is held out in none
    valid: str | None = None  # the value of `column`, or else the folder, that is the one fold
    time: str | None = None  # a column: each fold is held out from models of the rows before it
    share: Annotated[float, Field(gt=0, lt=1)] | None = None  # of the rows that the one fold holds

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.n == 1 and self.share is None and self.column is None and self.valid is None:
            one = PydanticCustomError(
                "one_fold", "Input should be greater than or equal to 2, or 1 with share = 0.2 for a quick look"
            )
            raise ValidationError.from_exception_data("folds", [{"type": one, "loc": ("n",), "input": 1}])
        said = [key for key in ("column", "time") if getattr(self, key) is not None]
        if len(said) > 1 or (said and self.valid is not None and said != ["column"]):
            raise ValueError(f"{' and '.join([*said, 'valid'][:2])} exclude each other: both say all of a split")
        if self.valid is not None and self.n != 1:
            raise ValueError(f"valid = {self.valid!r} is one fold: say n = 1")
        if self.share is not None and (self.n != 1 or self.column is not None or self.valid is not None):
            raise ValueError("share is the part of the rows in the one fold of n = 1 that no column and no valid names")
        if self.table is not None and not said and not self.by_column:
            raise ValueError("table is where group, column or time is found, and none of them names a column")
        if self.by_column and self.column is not None:
            raise ValueError(f"group = {self.group!r} and column exclude each other: a column says all of a split")
        return self

    @property
    def by_column(self) -> bool:
        """Whether `group` names a column."""
        return self.group not in ("near-duplicates", "none")

    @property
    def leaves_out(self) -> bool:
        return self.n == 1 or self.column is not None or self.time is not None

    @property
    def by_time(self) -> bool:
        return self.time is not None

    @property
    def part(self) -> float:
        """The part of all rows that a fold should hold, as far as the file says it."""
        return self.share or 1 / max(self.n, 2)

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
        if self.weights == "none":
            if self.frozen_bn:
                raise ValueError("frozen_bn keeps the batch norm's statistics of weights; weights = 'none' has none")
            if self.starts_from_probe:
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
        return found

    def resolved(self, within: Any = None) -> Self:
        """With the schedule, its frozen epochs, the head, and the presize."""
        given: dict[str, Any] = {"schedule": self.schedule_name, "freeze_epochs": self.frozen_epochs}
        given |= {"resize": self.presize, "head": self.head_name, "probe": self.starts_from_probe}
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
