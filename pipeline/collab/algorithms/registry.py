"""Names and what stands behind them: the built-in entries are modules of a package, others are added."""

import difflib
import importlib
from collections.abc import Sequence
from typing import Generic, TypeVar

from pipeline.errors import RequestError

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries by name: the built-in ones in their order, then those that were added in theirs."""

    def __init__(self, what: str, package: str, built_in: Sequence[str]) -> None:
        """`what` is the word for an entry in messages; each of `built_in` is a module of `package` with an `ENTRY`."""
        self.what, self.package, self.built_in = what, package, tuple(built_in)
        self._added: dict[str, T] = {}

    def add(self, name: str, entry: T) -> None:
        """Enter another one. Raises RequestError for a name that is taken."""
        if name in self.names():
            raise RequestError(f"the {self.what} {name!r} is there already; choose another name")
        self._added[name] = entry

    def get(self, name: str) -> T:
        """The entry of that name. Raises RequestError, with the nearest name, where there is none."""
        if name in self._added:
            return self._added[name]
        if name in self.built_in:
            return importlib.import_module(f"{self.package}.{name}").ENTRY
        near = difflib.get_close_matches(name, self.names(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise RequestError(f"{self.what} {name!r} is not known; known are {', '.join(self.names())}{hint}")

    def names(self) -> list[str]:
        """All names, those of built-in entries first."""
        return [*self.built_in, *self._added]
