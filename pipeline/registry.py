"""Registries: what comes in many (kinds of target, losses, metrics, ...), found by the name that the file says.

The built-in entries of a registry are the modules of its package, one small file an entry, loaded when they are asked
for: each holds `ENTRY`. A user's plug-in file adds its own with `add` while it is loaded inside `adding_from`.
"""

import difflib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from pipeline.errors import RequestError
from pipeline.settings import Section, read_options

T = TypeVar("T")

# Where registries are: a module with a registry in it that is not named here is found once it is imported.
ROOMS = (
    "pipeline.targets",
    "pipeline.targets.transforms",
    "pipeline.losses",
    "pipeline.metrics",
    "pipeline.forms",
    "pipeline.combinations",
    "pipeline.data.layouts",
    "pipeline.data.readers",
    "pipeline.vision.augmentations",
    "pipeline.vision.estimators",
    "pipeline.vision.poolings",
    "pipeline.collab.algorithms",
)
REGISTRIES: list["Registry[Any]"] = []  # those of all modules that are imported; `all_registries` imports the rest


@dataclass(frozen=True)
class PlugIn:
    """A user's file of entries, and the digest of what it held when it was loaded."""

    path: Path
    sha256: str

    def same_file(self, other: "PlugIn | None") -> bool:
        """Whether both are one file, which may have changed, or been copied, in between."""
        return other is not None and (self.path == other.path or self.sha256 == other.sha256)


_loading: ContextVar[PlugIn | None] = ContextVar("the plug-in that is being loaded", default=None)


@contextmanager
def adding_from(path: str | Path, sha256: str) -> Iterator[None]:
    """While this is entered, what is added to any registry is recorded as this file's.

    A file that was loaded before is loaded anew: its earlier entries are gone. If loading raises, so are the new ones.
    """
    plug_in = PlugIn(Path(path).resolve(), sha256)
    forget(plug_in)
    token = _loading.set(plug_in)
    try:
        yield
    except BaseException:
        forget(plug_in)
        raise
    finally:
        _loading.reset(token)


def forget(plug_in: PlugIn) -> None:
    """Take out of every registry what came from a file."""
    for registry in REGISTRIES:
        registry.forget(plug_in)


class Registry(Generic[T]):
    """Entries of one sort by name: the built-in ones in their order, then those of plug-ins in theirs."""

    def __init__(self, what: str, package: str, built_in: Sequence[str]) -> None:
        """`what` is the word for an entry in messages; `built_in` names modules of `package`, the usual ones first."""
        self.what, self.package, self.built_in = what, package, tuple(built_in)
        self._loaded: dict[str, T] = {}
        self._added: dict[str, tuple[T, PlugIn]] = {}
        REGISTRIES.append(self)

    def __getitem__(self, name: str) -> T:
        """The entry. Raises RequestError, with the nearest names, where there is none."""
        found = self._loaded.get(name)
        if found is not None:
            return found
        if name in self._added:
            return self._added[name][0]
        if name not in self.built_in:
            raise RequestError(f"{self.what} {name!r} is {self.unknown(name)}")
        self._loaded[name] = importlib.import_module(f"{self.package}.{name}").ENTRY
        return self._loaded[name]

    get = __getitem__

    @overload
    def add(self, name: str, entry: T) -> T: ...
    @overload
    def add(self, name: str, entry: None = None) -> Callable[[T], T]: ...
    def add(self, name: str, entry: T | None = None) -> T | Callable[[T], T]:
        """Enter what a plug-in file brings; without `entry`, as a decorator.

        Raises RequestError for a name that is taken, and outside of a plug-in: nobody would see that its code changed.
        """
        if entry is None:
            return lambda entry: self.add(name, entry)
        plug_in = _loading.get()
        if plug_in is None:
            raise RequestError(f"{self.what} {name!r} can only be added by a plug-in file while it is loaded")
        if name in self.built_in:
            raise RequestError(f"{plug_in.path}: the {self.what} {name!r} is there already; choose another name")
        if name in self._added and not plug_in.same_file(self._added[name][1]):
            raise RequestError(
                f"{plug_in.path}: the {self.what} {name!r} is taken by {self._added[name][1].path}; choose another name"
            )
        self._added[name] = (entry, plug_in)
        return entry

    def forget(self, plug_in: PlugIn) -> None:
        """Take out what came from a file."""
        self._added = {name: kept for name, kept in self._added.items() if not plug_in.same_file(kept[1])}

    def code_of(self, name: str) -> str | None:
        """The sha256 of the plug-in that an entry came from; None for a built-in one."""
        return self._added[name][1].sha256 if name in self._added else None

    def names(self) -> list[str]:
        """All names, without loading what they stand for."""
        return [*self.built_in, *self._added]

    def unknown(self, name: object) -> str:
        """What is said of a name that is not here, in the words of a check of the competition file."""
        return f"not a known {self.what}; known are {', '.join(self.names())}{meant(name, self.names())}"

    def items(self) -> Iterator[tuple[str, T]]:
        """Names with entries, all of them loaded."""
        return ((name, self[name]) for name in self.names())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.built_in or name in self._added)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())


def code_in(key: str, registry: Registry[Any], name: str) -> dict[str, str]:
    """The code behind a name that the file says under `key`, as part of what the file means; nothing if built in."""
    code = registry.code_of(name)
    return {} if code is None else {f"{key}_code": code}


def read_choice(registry: Registry[Any], said: object, expected: str) -> tuple[str, Section]:
    """The entry that the file chooses, by its name or a table of that and options; its options filled in.

    Raises ValueError, which says in words what is wrong; `expected` is said of what names none.
    """
    given = dict(said) if isinstance(said, Mapping) else {"name": said}
    name = given.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f"expected {expected}")
    if name not in registry:
        raise ValueError(f"{registry.what} {name!r} is {registry.unknown(name)}")
    try:
        return name, read_options(registry[name].options, given)
    except ValueError as error:
        raise ValueError(f"{registry.what} {name!r}: {error}") from None


def meant(name: object, names: Sequence[str]) -> str:
    """The nearest of the names, as the end of a message; empty where none is near."""
    near = difflib.get_close_matches(str(name), names, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def all_registries() -> list[Registry[Any]]:
    """Every registry of the package, whether or not something has imported it."""
    for room in ROOMS:
        importlib.import_module(room)
    return list(REGISTRIES)
