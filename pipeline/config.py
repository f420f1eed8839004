"""The competition file as types: what may be said, the defaults, and what contradicts itself.

`competitions.load` reads a TOML file into a `Competition`; everything after that works on these objects.
"""

import difflib
import re
from collections import Counter
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pipeline.metrics import METRICS

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
RESERVED_MODEL_NAMES = {"ensemble", "report", "explain", "kernel"}
# Columns of the manifest, folds.csv and the files of predictions, which hold a column for each target too.
RESERVED_TARGET_NAMES = {"id", "split", "path", "bytes", "fold", "readable", "sha256", "group"}


def _both_sides(value: object) -> object:
    """Let one number stand for a square."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value


Side = Annotated[int, Field(ge=8)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_both_sides)]


class Section(BaseModel):
    """A table of the file: no unknown keys, no silent conversions, no changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def known_keys(cls) -> list[str]:
        """What may be said here, for the hint behind a key that may not."""
        return list(cls.model_fields)


class Source(Section):
    """Where the raw files come from: exactly one of the four."""

    kaggle: str | None = None
    url: str | None = None
    path: str | None = None
    demo: Annotated[int, Field(ge=0)] | None = None  # the seed of the drawing

    @model_validator(mode="after")
    def _exactly_one(self) -> "Source":
        given = [key for key in type(self).model_fields if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of kaggle, url, path, demo; found {', '.join(given) or 'none'}")
        return self

    @property
    def kind(self) -> str:
        return next(key for key in type(self).model_fields if getattr(self, key) is not None)


class Data(Section):
    """Where rows, images and ids are found below the raw folder."""

    table: str | None = None
    id: str = "id"
    images: str = "train_images"
    test: str | None = None
    holdout: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _one_test_set(self) -> "Data":
        if self.test is not None and self.holdout is not None:
            raise ValueError("test and holdout exclude each other: a test folder, or a share of train held back")
        return self


TargetKind = Literal["category", "binary", "multilabel", "regression"]
LOSSES: dict[str, tuple[str, ...]] = {
    "category": ("cross_entropy", "label_smoothing"),
    "binary": ("cross_entropy",),
    "multilabel": ("cross_entropy",),
    "regression": ("mse", "l1"),
}


class Target(Section):
    """One thing to predict: where its label is read, and what its head and loss are."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    column: str | None = None
    regex: str | None = None
    folder: bool = False
    kind: TargetKind = "category"
    loss: str = ""
    weight: Annotated[float, Field(gt=0)] = 1.0

    @field_validator("regex")
    @classmethod
    def _label_group(cls, pattern: str | None) -> str | None:
        """One group holds the label; several are all named, and the name of the one that matched is it."""
        if pattern is not None:
            try:
                compiled = re.compile(pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
            named = len(compiled.groupindex)
            if compiled.groups != 1 and (named == 0 or named != compiled.groups):
                raise ValueError(f"needs one group (...) around the label, or only named groups; has {compiled.groups}")
        return pattern

    @model_validator(mode="after")
    def _consistent(self) -> "Target":
        if self.name in RESERVED_TARGET_NAMES:
            raise ValueError(f"name {self.name!r} is taken: tables of the pipeline have a column of that name")
        if sum([self.column is not None, self.regex is not None, self.folder]) > 1:
            raise ValueError("give one of column, regex, folder = true, not several")
        if self.loss and self.loss not in LOSSES[self.kind]:
            raise ValueError(f"loss {self.loss!r} is not one of {', '.join(LOSSES[self.kind])} for kind {self.kind!r}")
        return self

    @property
    def loss_name(self) -> str:
        return self.loss or LOSSES[self.kind][0]


class Folds(Section):
    """How train is split for cross-validation."""

    n: Annotated[int, Field(ge=2)] = 5
    stratify: list[str] | None = None
    group: str = "near-duplicates"


class Resize(Section):
    """The presize on the CPU: fastai's `Resize(size, method)`; size in pixels, [height, width]."""

    size: Size
    method: Literal["crop", "pad", "squish"] = "crop"


class Augment(Section):
    """fastai's `aug_transforms`, with its defaults; `min_scale` below 1 adds its random resized crop."""

    flip: bool = True
    flip_vert: bool = False
    max_rotate: Annotated[float, Field(ge=0, le=180)] = 10.0
    max_zoom: Annotated[float, Field(ge=1)] = 1.1
    max_lighting: Annotated[float, Field(ge=0, lt=1)] = 0.2
    max_warp: Annotated[float, Field(ge=0, lt=1)] = 0.2
    min_scale: Annotated[float, Field(gt=0, le=1)] = 1.0


Rate = Annotated[float, Field(gt=0)]


class Model(Section):
    """One member of the ensemble: an architecture and how it is trained."""

    name: Name
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
    precision: Literal["auto", "fp32", "fp16"] = "auto"
    tta: Annotated[int, Field(ge=0)] = 4

    @model_validator(mode="after")
    def _consistent(self) -> "Model":
        if self.name in RESERVED_MODEL_NAMES:
            raise ValueError(f"name {self.name!r} is taken: runs/ keeps a folder of that name for itself")
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

    @property
    def schedule_name(self) -> str:
        """fine_tune from weights, one_cycle from scratch, unless the file says so."""
        return self.schedule or ("one_cycle" if self.weights == "none" else "fine_tune")

    @property
    def presize(self) -> Resize:
        """The presize; by default about twice the training size, as the course does (460 for 224)."""
        if self.resize is not None:
            return self.resize
        return Resize(size=[round(side * 460 / 224) for side in self.size])

    @property
    def frozen_epochs(self) -> int:
        """Epochs with a frozen body before the others: fine_tune's, one by default."""
        if self.schedule_name == "one_cycle":
            return 0
        return 1 if self.freeze_epochs is None else self.freeze_epochs


class Ensemble(Section):
    """How the members' predictions become one."""

    method: Literal["mean", "weighted", "rank", "hillclimb"] = "hillclimb"


class Submission(Section):
    """The file that is sent: its sample, and what goes into each column (a target, or target/class)."""

    sample: str = "sample_submission.csv"
    columns: dict[str, str] = {}


class Competition(Section):
    """A whole competition. Cross-table contradictions are found here; contradictions with the data later."""

    slug: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    kind: Literal["image", "ratings"] = "image"  # ratings: pipeline.collab.config has the file's other half
    metric: str = "accuracy"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    source: Source
    data: Data = Data()
    targets: Annotated[list[Target], Field(min_length=1)]
    folds: Folds = Folds()
    models: Annotated[list[Model], Field(min_length=1)]
    ensemble: Ensemble = Ensemble()
    submission: Submission = Submission()

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        if name not in METRICS:
            near = difflib.get_close_matches(name, METRICS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"not a known metric; known are {', '.join(METRICS)}{hint}")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> "Competition":
        self.check_shared()
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

    def check_shared(self) -> None:
        """Raise ValueError for contradictions between tables that competitions of every kind have."""
        refuse_repeats("targets", [target.name for target in self.targets])
        refuse_repeats("models", [model.name for model in self.models])
        fitting = METRICS[self.metric].kinds
        if not any(target.kind in fitting for target in self.targets):
            raise ValueError(f"metric {self.metric!r} scores {', '.join(sorted(fitting))} targets, and there is none")
        known = [target.name for target in self.targets]
        for column, source in self.submission.columns.items():
            if source.split("/", 1)[0] not in known:
                raise ValueError(
                    f"submission.columns.{column} names {source!r}; expected a target ({', '.join(known)}) "
                    "or target/class"
                )

    def target(self, name: str) -> Target:
        """The target of that name, which must exist."""
        return next(target for target in self.targets if target.name == name)

    @property
    def has_test(self) -> bool:
        """Whether there is anything to submit."""
        return self.data.test is not None or self.data.holdout is not None


def refuse_repeats(table: str, names: list[str]) -> None:
    """Raise ValueError if a name is used twice in a table of the file."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{table}: the name {repeated[0]!r} is used twice")
