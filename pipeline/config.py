"""The competition file as types, as far as every kind of competition shares it.

`competitions.load` reads a TOML file into the `Competition` of its kind: `vision.config` and `collab.config` say what
differs. Everything after that works on these objects.
"""

import codecs
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_serializer, model_validator

from pipeline.forms.said import Submission
from pipeline.metrics import METRICS
from pipeline.metrics.leaderboard import Leaderboard, name_of
from pipeline.settings import Section
from pipeline.targets import KINDS
from pipeline.targets.said import Target

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
RESERVED_MODEL_NAMES = {"ensemble", "report", "explain", "kernel"}
Rate = Annotated[float, Field(gt=0)]


class Source(Section, frozen=True):
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


def _separator(value: object) -> object:
    """A separator as it is in the file; blanks stand for runs of them."""
    if isinstance(value, str):
        value = {"\\t": "\t", "tab": "\t", "blanks": " "}.get(value, value)
        if not value or any(mark in value for mark in '\r\n"'):
            raise ValueError("expected what stands between cells, such as ';', '::', or ' ' for blanks")
    return value


def _known_encoding(name: str) -> str:
    """An encoding's usual name."""
    try:
        found = codecs.lookup(name).name
        "a".encode(found)
    except (LookupError, ValueError):
        raise ValueError("expected the name of an encoding, such as 'cp1251', 'shift_jis' or 'gbk'") from None
    return found


Separator = Annotated[str, BeforeValidator(_separator)]
Encoding = Annotated[str, AfterValidator(_known_encoding)]


class Data(Section, frozen=True):
    """Where the raw files hold what: the part that the stages ask for."""

    id: str = "id"  # the column of the sample submission that names a row
    test: str | None = None
    separator: Separator | None = None  # of the tables of rows, where it is not the one that is found out
    encoding: Encoding | None = None  # of tables that are neither UTF-8 nor Latin-1

    @property
    def held_back(self) -> float | None:
        """The share of train that is held back with its answers and made the test set."""
        return None

    @property
    def has_features(self) -> bool:
        """Whether columns of its tables are kept for the models, beside what else a row is."""
        return False

    @property
    def combination(self) -> str | None:
        """How the predictions of rows that share an answer (a case) become one; None where each row has its own."""
        return None

    @property
    def answer_id(self) -> str:
        """The column that names what is answered: a row, or the case that it belongs to."""
        return self.id


class Folds(Section, frozen=True):
    """How train is split for cross-validation."""

    n: Annotated[int, Field(ge=2)] = 5

    @property
    def leaves_out(self) -> bool:
        """Whether rows may be held out in no fold: their fold is -1."""
        return False

    @property
    def by_time(self) -> bool:
        """Whether folds follow each other in time: each is trained on the rows before it alone."""
        return False


class Model(Section, frozen=True):
    """One member of the ensemble."""

    name: Name

    @model_validator(mode="after")
    def _free_name(self) -> Self:
        if self.name in RESERVED_MODEL_NAMES:
            raise ValueError(f"name {self.name!r} is taken: runs/ keeps a folder of that name for itself")
        return self


class Ensemble(Section, frozen=True):
    """How the members' predictions become one."""

    method: Literal["mean", "weighted", "rank", "hillclimb"] = "hillclimb"


class Competition(Section, frozen=True):
    """A whole competition. Cross-table contradictions are found here; contradictions with the data later."""

    slug: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    kind: str
    said_metric: Annotated[str | dict[str, Any], Field(alias="metric")]  # as the file says it; see `leaderboard`
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    source: Source
    data: Data
    targets: Annotated[Sequence[Target], Field(min_length=1)]
    folds: Folds
    models: Annotated[Sequence[Model], Field(min_length=1)]
    ensemble: Ensemble = Ensemble()
    submission: Submission = Submission()

    @field_validator("said_metric")
    @classmethod
    def _known_metric(cls, said: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(said, str) and said not in METRICS:
            raise ValueError(METRICS.unknown(said))
        return said

    @model_serializer(mode="wrap")
    def _as_in_the_file(self, fields: Callable[[Self], dict[str, Any]]) -> dict[str, Any]:
        return {"metric" if key == "said_metric" else key: value for key, value in fields(self).items()}

    @model_validator(mode="after")
    def _shared(self) -> Self:
        refuse_repeats("targets", [target.name for target in self.targets])
        refuse_repeats("models", [model.name for model in self.models])
        _ = self.leaderboard
        self.submission.refuse_unknown({target.name: "columns" in KINDS[target.kind].takes for target in self.targets})
        return self

    def resolved(self, within: None = None) -> Self:
        """The same competition with every default written out."""
        sections = {key: getattr(self, key).resolved(self) for key in ("data", "folds", "ensemble", "submission")}
        lists = {key: [entry.resolved(self) for entry in getattr(self, key)] for key in ("targets", "models")}
        return self.model_copy(update=sections | lists)

    @classmethod
    def known_keys(cls) -> list[str]:
        return ["metric" if key == "said_metric" else key for key in super().known_keys()]

    @property
    def metric(self) -> str:
        """What the leaderboard's number is called."""
        return name_of(self.said_metric)

    @property
    def leaderboard(self) -> Leaderboard:
        """The metric of each target, with its options, and how they become one number."""
        return Leaderboard.read(self.said_metric, {target.name: target.kind for target in self.targets})

    def target(self, name: str) -> Target:
        """The target of that name, which must exist."""
        return next(target for target in self.targets if target.name == name)

    @property
    def has_test(self) -> bool:
        """Whether there is anything to submit."""
        return self.data.test is not None or self.data.held_back is not None


def refuse_repeats(table: str, names: Sequence[str]) -> None:
    """Raise ValueError if a name is used twice in a table of the file."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{table}: the name {repeated[0]!r} is used twice")
