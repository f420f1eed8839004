"""A stage of the road as a value: what it needs, what it is made of, what it does."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from pipeline.config import Competition
from pipeline.freshness import State, Step
from pipeline.log import Log
from pipeline.workspace import Workspace

Part = tuple[str, Step]  # what it is, in words (empty where a stage has only one), and its step


class Run(Protocol):
    """What a stage does: returns whether it had anything to do. Options of its own have defaults."""

    __name__: str

    def __call__(self, comp: Competition, workspace: Workspace, log: Log, force: bool = False) -> bool: ...


@dataclass(frozen=True)
class Stage:
    """Order, state and readiness follow from these: nothing else tells them."""

    run: Run
    parts: Callable[[Competition, Workspace], Iterable[Part]]
    needs: tuple[str, ...] = ()  # stages whose artifacts it reads
    looks_itself: frozenset[str] = frozenset()  # needs that may be partly done: it sees itself whether they will do
    on_demand: bool = False  # made by whoever reads it: nothing behind it waits for it, or is made stale by it
    applies: Callable[[Competition], bool] = lambda comp: True

    @property
    def name(self) -> str:
        return self.run.__name__

    def state(self, comp: Competition, workspace: Workspace) -> tuple[State, list[str]]:
        """done, stale or missing by its own parts; and why, a line each stale part."""
        states: list[State] = []
        stale: dict[str, list[str]] = {}
        for what, step in self.parts(comp, workspace):
            states.append(step.state())
            if states[-1] == "stale":
                stale.setdefault(step.reason(), []).append(what)
        return worst(states), [_sentence(reason, parts) for reason, parts in stale.items()]


def _sentence(reason: str, parts: list[str]) -> str:
    more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
    return f"{parts[0]}{more}: {reason}" if parts[0] else reason


def worst(states: Iterable[State]) -> State:
    """The state of a whole."""
    states = set(states)
    return "stale" if "stale" in states else "missing" if "missing" in states else "done"
