"""The competition file of a rating competition: what differs from the one of an image competition."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny, model_validator

from pipeline.collab.algorithms.settings import RatingsModel
from pipeline.collab.pairs import check_pattern
from pipeline.config import Competition, Data, Folds, Separator, refuse_repeats
from pipeline.settings import Section
from pipeline.targets.said import Ends, Target

Column = str | Annotated[int, Field(ge=0)]  # a name, or a number from 0 where the table has no header


def _table_alone(value: object) -> object:
    return {"table": value} if isinstance(value, str) else value


class SideTable(Section, frozen=True):
    """What is known about users or items: a row each, with an id, and for items a title to show."""

    table: str
    id: Column = 0
    title: Column | None = None
    features: list[Column] | None = None  # all other columns unless named
    separator: Separator | None = None


def _pattern_alone(value: object) -> object:
    return {"pattern": value} if isinstance(value, str) else value


class Pair(Section, frozen=True):
    """User and item in one column, such as r44_c1 as "r{user}_c{item}"."""

    pattern: Annotated[str, AfterValidator(check_pattern)]
    column: Column | None = None  # data.id unless it is said


class AskedColumns(Section, frozen=True):
    """Columns of the test table where they differ from those of the table of ratings."""

    user: Column | None = None
    item: Column | None = None
    timestamp: Column | None = None
    pair: Column | None = None


@dataclass(frozen=True)
class Keys:
    """In which columns a table says who, what and when."""

    user: Column
    item: Column
    timestamp: Column | None
    pair: Column | None

    @property
    def columns(self) -> dict[str, Column]:
        """Of those that name a row."""
        return {"user": self.user, "item": self.item}

    @property
    def header(self) -> bool:
        """Whether the table has one."""
        return isinstance(self.user if self.pair is None else self.pair, str)


class RatingsData(Data, frozen=True):
    """Where ratings, users and items are found below the raw folder."""

    table: str
    user: Column = "user"
    item: Column = "item"
    rating: Column = "rating"
    timestamp: Column | None = None
    day_first: bool | None = None  # of dates such as 5/1/2003, where they do not tell themselves
    pair: Annotated[Pair, BeforeValidator(_pattern_alone)] | None = None  # in place of user and item, or beside them
    test_columns: AskedColumns | None = None
    clip: bool | Ends = False  # ratings are predicted within those of train, or this range
    items: Annotated[SideTable, BeforeValidator(_table_alone)] | None = None
    users: Annotated[SideTable, BeforeValidator(_table_alone)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "RatingsData":
        keys = self.keys
        pairs = (keys.pair,) if keys.pair is not None and not keys.header else (self.user, self.item, keys.pair)
        used = [key for key in (*pairs, self.rating, self.timestamp) if key is not None]
        if len({type(key) for key in used}) > 1:
            also = "" if self.pair is None else ", as is pair = { pattern = '...', column = 0 }"
            raise ValueError(
                f"user, item, rating and timestamp are all names, or all numbers where there is no header{also}"
            )
        refuse_repeats("data", [str(key) for key in used])
        if self.test_columns is not None:
            self._check_test_columns(self.asked)
        if self.day_first is not None and self.timestamp is None:
            raise ValueError("day_first needs data.timestamp")
        return self

    def _check_test_columns(self, keys: Keys) -> None:
        if self.test is None:
            raise ValueError("test_columns needs data.test")
        said = [key for key in (keys.user, keys.item, keys.timestamp, keys.pair) if key is not None]
        if keys.pair is not None and not keys.header:
            said = [key for key in (keys.timestamp, keys.pair) if key is not None]
        if len({type(key) for key in said}) > 1:
            raise ValueError("test_columns: user and item are both names, or both numbers where there is no header")
        if self.test_columns is not None and self.test_columns.pair is not None and self.pair is None:
            raise ValueError("test_columns.pair needs data.pair, the pattern")
        refuse_repeats("data.test_columns", [str(key) for key in said])

    @property
    def keys(self) -> Keys:
        """The columns of the table of ratings, and of published folds."""
        pair = None if self.pair is None else self.id if self.pair.column is None else self.pair.column
        return Keys(self.user, self.item, self.timestamp, pair)

    @property
    def asked(self) -> Keys:
        """The columns of the test table; of another style than the others, it has no times unless it is said."""
        own, said = self.keys, self.test_columns or AskedColumns()
        pair = said.pair if said.pair is not None or said.user is not None else own.pair
        user, item = (own.user if said.user is None else said.user), (own.item if said.item is None else said.item)
        asked = Keys(user, item, said.timestamp, pair)
        alike = said.timestamp is None and asked.header == own.header
        return replace(asked, timestamp=own.timestamp) if alike else asked

    def resolved(self, within: Any = None) -> Self:
        """With the column of pairs."""
        if self.pair is None or self.pair.column is not None:
            return self
        return self.model_copy(update={"pair": self.pair.model_copy(update={"column": self.id})})


class RatingsFolds(Folds, frozen=True):
    """Random folds, or published ones: `u{k}.test` names the held-out rows of fold k, counted from 1."""

    files: str | None = None

    @model_validator(mode="after")
    def _numbered(self) -> "RatingsFolds":
        if self.files is not None and "{k}" not in self.files:
            raise ValueError(f"files {self.files!r} has no {{k}}, the fold's number, as in 'u{{k}}.test'")
        return self


RATING = "rating"


class RatingsCompetition(Competition, frozen=True):
    """A whole rating competition. Its one target is `rating`; the id of a row is `<user>/<item>`."""

    kind: Literal["ratings"]
    said_metric: Annotated[str | dict[str, Any], Field(alias="metric")] = "rmse"
    data: RatingsData
    targets: list[Target]
    folds: RatingsFolds = RatingsFolds()
    models: Annotated[list[SerializeAsAny[RatingsModel]], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _one_target(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        column = raw["data"].get("rating", RATING) if isinstance(raw.get("data"), dict) else RATING
        only = {"name": RATING, "kind": "regression"} | ({"column": column} if isinstance(column, str) else {})
        clip = raw["data"].get("clip", False) if isinstance(raw.get("data"), dict) else False
        if "targets" in raw and [_given(target) for target in raw["targets"]] not in ([_given(only)], [_named(only)]):
            raise ValueError("a ratings competition has one target, the rating; take [[targets]] out")
        return {**raw, "targets": [only if clip is False else only | {"clip": clip}]}

    @model_validator(mode="after")
    def _consistent(self) -> "RatingsCompetition":
        for number, model in enumerate(self.models):
            try:
                model.check_data(self.data.timestamp is not None, bool(self.data.users or self.data.items))
            except ValueError as error:
                raise ValueError(f"models.{number}.{error}") from None
        return self


def _given(target: Any) -> Any:
    """A target as a resolved file may hold it, less the defaults."""
    if not isinstance(target, dict):
        return target
    return {key: target[key] for key in ("name", "kind", "column") if key in target}


def _named(target: dict[str, Any]) -> dict[str, Any]:
    """A target as a resolved file holds it, where the table of ratings has no header."""
    return {"column": target["name"], **_given(target)}
