"""[data] of an image competition: where rows, images, ids and all that is beside them are found."""

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_serializer,
    model_validator,
)

from pipeline.combinations import COMBINATIONS, spelled
from pipeline.combinations import DEFAULT as COMBINED
from pipeline.config import Data, refuse_repeats
from pipeline.data.channels import MOST, Said
from pipeline.data.several import BETWEEN, is_several, parts_of
from pipeline.forms.said import Long
from pipeline.settings import Section, Settings
from pipeline.vision.sizes import Shape, both_sides


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
    levels: Annotated[tuple[float, float], BeforeValidator(both_sides)] | None = None  # of more than 8 bits: to 0, 255
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
