"""[folds] of an image competition."""

import re
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pipeline.config import Folds


class ImageFolds(Folds, frozen=True):
    """Stratified over targets (all of them unless named), whole groups together; or as a column says, or by time.

    `table` holds the columns that `group`, `column` and `time` name, where data.table does not; joined by data.id.
    """

    n: Annotated[int, Field(ge=1)] = 5
    stratify: list[str] | None = None
    group: str = "near-duplicates"  # or "none", or a column: then rows of one cell and near-duplicates are together
    group_regex: str | None = None  # of the cells of `group`: what its group (...) finds is the cell
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
        if self.group_regex is not None and not self.by_column:
            raise ValueError(f"group_regex goes with group, the column whose cells it looks into; found {self.group!r}")
        if self.by_column and self.column is not None:
            raise ValueError(f"group = {self.group!r} and column exclude each other: a column says all of a split")
        return self

    @field_validator("group_regex")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
            if groups != 1:
                raise ValueError(f"needs one group (...) around what stays together; has {groups}")
        return pattern

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
