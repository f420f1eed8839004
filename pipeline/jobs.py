"""Jobs: one model on one fold with one seed, the unit that is trained, kept and predicted; and what runs them."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from pipeline.config import Competition, Model
from pipeline.errors import RequestError
from pipeline.workspace import Workspace

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One model on one fold, `fold` counted from 0 of `folds`, with the competition's seed."""

    model: Model
    fold: int
    folds: int
    seed: int

    @property
    def randomness(self) -> tuple[int | str, ...]:
        """What names its random numbers."""
        return (self.seed, self.model.name, self.fold)

    @property
    def title(self) -> str:
        """As people read it, counted from 1."""
        return f"{self.model.name} fold {self.fold + 1}/{self.folds}"

    @property
    def name(self) -> str:
        """As its folder below runs/<slug>."""
        return f"{self.model.name}/fold-{self.fold}"

    def folder(self, workspace: Workspace) -> Path:
        return workspace.fold(self.model.name, self.fold)


def jobs_of(
    comp: Competition, only_model: str | None = None, only_folds: int | Collection[int] | None = None
) -> list[Job]:
    """Every model on every fold, model by model; or those asked for. Raises RequestError for others."""
    folds = chosen_folds(comp, only_folds)
    models = chosen_models(comp, only_model)
    return [Job(model, fold, comp.folds.n, comp.seed) for model in models for fold in folds]


def chosen_models(comp: Competition, only: str | None) -> list[Model]:
    """All models, or the one of that name. Raises RequestError where there is none."""
    if only is None:
        return list(comp.models)
    chosen = [model for model in comp.models if model.name == only]
    if not chosen:
        raise RequestError(f"--model {only}: the file's models are {', '.join(model.name for model in comp.models)}")
    return chosen


def chosen_folds(comp: Competition, only: int | Collection[int] | None) -> list[int]:
    """All folds' numbers, or those asked for. Raises RequestError for one that there is not."""
    numbers = range(comp.folds.n) if only is None else sorted({only} if isinstance(only, int) else set(only))
    for number in numbers:
        if number not in range(comp.folds.n):
            raise RequestError(f"--fold {number}: folds are numbered 0 to {comp.folds.n - 1}")
    return list(numbers)


class Engine(Protocol):
    """Runs jobs on some machines. The stages name none: they hand over what to do for one job."""

    def map(self, work: Callable[[Job], T], jobs: Iterable[Job]) -> Iterator[T]:
        """`work` of each job, in their order, as they are done. What a job raises ends the others."""
        ...


class LocalEngine:
    """One job after the other, in this process."""

    def map(self, work: Callable[[Job], T], jobs: Iterable[Job]) -> Iterator[T]:
        return map(work, jobs)
