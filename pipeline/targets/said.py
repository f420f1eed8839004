"""[[targets]] of the competition file: where a label is read, and what its head and loss are."""

import json
import re
from collections import Counter
from collections.abc import Collection
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from pipeline.losses import LOSSES
from pipeline.registry import code_in, meant
from pipeline.settings import Section, Settings
from pipeline.targets import KINDS, TargetKind, losses_of
from pipeline.targets.transforms import TRANSFORMS

# Columns of the manifest, folds.csv and the files of predictions, which hold a column for each target too.
RESERVED_TARGET_NAMES = {"id", "split", "path", "bytes", "fold", "readable", "sha256", "group"}


def _known_kind(value: object) -> object:
    """A kind's name, refused as pydantic refuses what is none of several words."""
    if value not in KINDS:
        *others, last = (repr(name) for name in KINDS)
        raise ValueError(f"expected {', '.join(others)} or {last}{meant(value, KINDS.names())}")
    return value


SEPARATORS = (" ", "|", ";", ",", "/", "\x1f")  # for tags out of columns: the first that is in no name


def _holds(name: str, separator: str) -> bool:
    """Whether a tag of that name would be two between such separators."""
    return len(name.split()) > 1 if separator == " " else separator.strip() in name


def _loss_settings(value: object) -> object:
    """A loss by its name, or as a table of that and its options."""
    if isinstance(value, dict) and not isinstance(value.get("name"), str):
        raise ValueError("expected a loss by its name, as in { name = 'focal', gamma = 2.0 }")
    return value


def targets_of(entry: Any) -> list[Any]:
    """The targets that an entry of the file stands for: one of each of its `columns`, or itself."""
    if not isinstance(entry, dict) or "columns" not in entry:
        return [entry]
    columns, rest = entry["columns"], {key: value for key, value in entry.items() if key != "columns"}
    if not isinstance(columns, list) or not columns or not all(isinstance(name, str) for name in columns):
        raise ValueError(f"targets: columns, found {columns!r}, are a list of names, a target of each")
    clashing = [key for key in ("name", "column", "regex", "path_regex", "folder") if key in rest]
    if clashing:
        raise ValueError(
            f"targets: {clashing[0]} does not go with columns, which makes a target of each, called as its column"
        )
    names = [re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-") or name for name in columns]
    return [{"name": name, "column": column, **rest} for name, column in zip(names, columns, strict=True)]


def _as_cells(value: object) -> object:
    """Classes as the cells of a table, which are text: 0 and "0" are one."""
    if not isinstance(value, list):
        return value
    return [str(entry) if isinstance(entry, int) and not isinstance(entry, bool) else entry for entry in value]


def _rising(ends: list[float]) -> list[float]:
    if ends[0] >= ends[1]:
        raise ValueError(f"{ends} is not [lowest, highest]")
    return ends


Ends = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_rising)]


class Target(Section, frozen=True):
    """One thing to predict: where its label is read, and what its head and loss are."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    column: str | Annotated[list[str], Field(min_length=1)] | None = None  # or one of 0 and 1 for each class
    regex: str | None = None  # on the file's name
    path_regex: str | None = None  # on its path below the raw folder
    folder: bool | Annotated[int, Field(ge=1)] = False  # its own folder, or one counted from data.images
    kind: Annotated[str, BeforeValidator(_known_kind)] = "category"
    loss: Annotated[str | dict[str, Any], BeforeValidator(_loss_settings)] = ""
    weight: Annotated[float, Field(gt=0)] = 1.0
    separator: str | None = None  # between the tags of a multilabel cell: blanks unless it is said
    none: str | None = None  # what a submission says where there is no tag: likeliest, a word, or nothing
    order: Annotated[list[str], BeforeValidator(_as_cells), Field(min_length=2)] | None = None  # classes, or grades
    transform: str | None = None  # of a number, as its head learns it
    clip: bool | Ends = False  # numbers are predicted within the labels' range, or this one

    @field_validator("regex", "path_regex")
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
        if sum(map(bool, (self.column is not None, *self._elsewhere))) > 1:
            raise ValueError("give one of column, regex, folder = true, path_regex, not several")
        self._check_keys()
        self._check_loss()
        return self

    def _check_keys(self) -> None:
        """Raise ValueError for a key that the kind does not know, or a value that has no meaning."""
        given = {"columns": self.class_columns, "separator": self.separator, "none": self.none}
        given |= {"order": self.order, "transform": self.transform, "clip": self.clip or None}
        for key, value in given.items():
            if value is not None and key not in KINDS[self.kind].takes:
                fitting = ", ".join(name for name, kind in KINDS.items() if key in kind.takes)
                said = "a list of columns" if key == "columns" else key
                hint = "; columns = [...] makes a target of each" if key == "columns" else ""
                raise ValueError(f"{said} is for targets of kind {fitting}; this one is {self.kind!r}{hint}")
        if self.transform is not None and self.transform not in TRANSFORMS:
            raise ValueError(f"transform {self.transform!r} is {TRANSFORMS.unknown(self.transform)}")
        self._check_order()
        if self.separator is not None and not self.separator.strip() and self.separator != " ":
            raise ValueError(f"separator: found {self.separator!r}; blanks of any kind are separator = ' '")
        for name, count in Counter(self.class_columns or ()).items():
            if count > 1:
                raise ValueError(f"column names {name!r} twice")
            if (
                name != name.strip()
                or not name
                or (self.separator not in (None, "[]") and _holds(name, self.separator))
            ):
                raise ValueError(f"column: {name!r} cannot be a class: it is blank at an end, or holds the separator")

    def _check_order(self) -> None:
        """Raise ValueError for an order that is none, or that something else contradicts."""
        repeated = [name for name, count in Counter(self.order or ()).items() if count > 1]
        if repeated:
            raise ValueError(f"order names {repeated[0]!r} twice")
        if self.order is None:
            return
        if any(name != name.strip() or not name for name in self.order):
            raise ValueError("order: a class is blank, or begins or ends with a blank")
        if self.class_columns is not None:
            raise ValueError("order: classes are in the order of their columns; take it out")
        if self.transform is not None:
            raise ValueError("order numbers the grades 0, 1, 2, ...: they have no transform; take one of both out")

    @property
    def _elsewhere(self) -> tuple[bool, ...]:
        """Whether its label is in the file's name, its path, or a folder: no column of a table."""
        return self.regex is not None, self.path_regex is not None, self.folder is not False

    @property
    def in_table(self) -> bool:
        """Whether its label is in a table."""
        return not any(self._elsewhere)

    def _check_loss(self) -> None:
        """Raise ValueError unless the loss serves the kind and has the options that are given."""
        if not self.loss:
            return
        name, fitting = self.loss_name, losses_of(self.kind)
        if name not in fitting:
            said = f"loss {name!r} is not one of {', '.join(fitting)} for kind {self.kind!r}"
            raise ValueError(f"{said}{meant(name, fitting)}")
        try:
            _ = self.loss_options
        except ValueError as error:
            raise ValueError(f"loss {name!r}: {error}") from None

    @property
    def class_columns(self) -> list[str] | None:
        """The columns that are a class each, in the order of the classes; None where one column has the label."""
        return self.column if isinstance(self.column, list) else None

    @property
    def columns(self) -> list[str]:
        """The columns of the table that hold its labels."""
        return self.class_columns or [str(self.column or self.name)]

    @property
    def known_columns(self) -> dict[str, str]:
        """What a column of the submission holds that is called as one of the labels': the target, or target/class."""
        if self.class_columns is not None:
            return {name: f"{self.name}/{name}" for name in self.class_columns}
        return {self.column: self.name} if isinstance(self.column, str) else {}

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """What the file tells its kind: its `TargetSpec` has the same."""
        separator = self.separator
        if separator is None and "separator" in KINDS[self.kind].takes:
            # Names of columns may hold blanks: then something else lies between them where they are put together.
            separator = next(
                mark for mark in SEPARATORS if not any(_holds(name, mark) for name in self.class_columns or ())
            )
        said = {"separator": separator} if separator not in (None, " ") else {}
        if "transform" in KINDS[self.kind].takes:
            said |= self._options_of_number
        return tuple(said.items())

    @property
    def _options_of_number(self) -> dict[str, str]:
        said = {} if self.order is None else {"order": json.dumps(self.order, ensure_ascii=False)}
        if self.transform is not None:
            said["transform"] = self.transform
        if isinstance(self.clip, list):
            said |= {"low": repr(self.clip[0]), "high": repr(self.clip[1])}
        return said | ({"clip": "labels"} if self.clip is True else {})

    @property
    def target_kind(self) -> TargetKind[Any, Any]:
        """What its kind knows."""
        return KINDS[self.kind].told(dict(self.options))

    @property
    def loss_name(self) -> str:
        """The loss that is said, or the kind's default."""
        return (self.loss["name"] if isinstance(self.loss, dict) else self.loss) or self.target_kind.default_loss

    @property
    def loss_options(self) -> Section:
        """The loss's options, defaults filled in."""
        given = self.loss if isinstance(self.loss, dict) else {}
        return LOSSES[self.loss_name].read_options({key: value for key, value in given.items() if key != "name"})

    @property
    def loss_settings(self) -> dict[str, Any]:
        """The loss with every option written out, such as {"name": "focal", "gamma": 2.0}."""
        return {"name": self.loss_name, **self.loss_options.model_dump()}

    def resolved(self, within: Any = None) -> Self:
        """With its loss, and the column that its label is in."""
        loss = self.loss_settings if len(self.loss_settings) > 1 else self.loss_name
        column = self.column or (self.name if self.in_table else None)
        separator = dict(self.options).get("separator", " ") if "separator" in KINDS[self.kind].takes else None
        return self.model_copy(update={"loss": loss, "column": column, "separator": separator})

    def settings(self, within: Any = None, leave_out: Collection[str] = ()) -> Settings:
        """With the loss's options, and the code of what a plug-in brings, whose change changes the meaning."""
        found = super().settings(within, leave_out)
        if "loss" in found:
            options = self.loss_options.settings()
            found["loss"] = Settings({"name": self.loss_name, **options}, options.defaults)
            found |= code_in("loss", LOSSES, self.loss_name)
        if self.class_columns is not None:
            found["classes"] = self.class_columns  # whoever leaves out where labels are read still has their order
        code = code_in("kind", KINDS, self.kind)
        if self.transform is not None:
            code |= code_in("transform", TRANSFORMS, self.transform)
        return Settings(found | code, found.defaults, found.from_spelled)
