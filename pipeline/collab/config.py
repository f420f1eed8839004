"""The competition file of a rating competition: what differs from the one of an image competition."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from pipeline.collab.algorithms.settings import RatingsModel
from pipeline.config import Competition, Data, Folds, Separator, Target, refuse_repeats
from pipeline.settings import Section

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


class RatingsData(Data, frozen=True):
    """Where ratings, users and items are found below the raw folder."""

    table: str
    user: Column = "user"
    item: Column = "item"
    rating: Column = "rating"
    timestamp: Column | None = None
    items: Annotated[SideTable, BeforeValidator(_table_alone)] | None = None
    users: Annotated[SideTable, BeforeValidator(_table_alone)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "RatingsData":
        used = [key for key in (self.user, self.item, self.rating, self.timestamp) if key is not None]
        kinds = {type(key) for key in used}
        if len(kinds) > 1:
            raise ValueError("user, item, rating and timestamp are all names, or all numbers where there is no header")
        refuse_repeats("data", [str(key) for key in used])
        return self


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
        if "targets" in raw and [_given(target) for target in raw["targets"]] not in ([_given(only)], [_named(only)]):
            raise ValueError("a ratings competition has one target, the rating; take [[targets]] out")
        return {**raw, "targets": [only]}

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
