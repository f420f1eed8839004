"""The road: the stages in the order that their needs give, and how far each of them is."""

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.config import Competition
from pipeline.errors import RequestError
from pipeline.freshness import State
from pipeline.stage import Stage
from pipeline.stages import check, data, ensemble, folds, predict, presize, submit, train
from pipeline.workspace import Workspace


def _in_order(stages: list[Stage]) -> dict[str, Stage]:
    """Each stage behind all that it needs. Raises ValueError for needs that go round about, or that nobody meets."""
    order: dict[str, Stage] = {}
    waiting = list(stages)
    while waiting:
        ready = next((stage for stage in waiting if order.keys() >= set(stage.needs)), None)
        if ready is None:
            raise ValueError(f"needs that are never met: {[stage.name for stage in waiting]}")
        order[ready.name] = ready
        waiting.remove(ready)
    return order


STAGES = _in_order([module.STAGE for module in (data, check, folds, presize, train, predict, ensemble, submit)])


class Standing(NamedTuple):
    """How far a stage is: done, stale or missing; and in words what makes it stale."""

    state: State
    why: list[str]


def stages_of(comp: Competition) -> dict[str, Stage]:
    """The stages of this competition, in order: without a test set nothing to submit, without images to presize."""
    return {name: stage for name, stage in STAGES.items() if stage.applies(comp)}


def standings(comp: Competition, workspace: Workspace) -> dict[str, Standing]:
    """How far each stage is; what stands on a stage that is not done is stale at best."""
    found: dict[str, Standing] = {}
    for name, stage in stages_of(comp).items():
        state, why = stage.state(comp, workspace)
        upset = [f"stands on {n}, which is {found[n].state}" for n in stage.needs if n in found and _open(found, n)]
        if upset and state == "done":
            state, why = "stale", upset
        found[name] = Standing(state, why)
    return found


def _open(found: Mapping[str, Standing], name: str) -> bool:
    return found[name].state != "done" and not STAGES[name].on_demand


def refuse_unready(comp: Competition, workspace: Workspace, name: str, called: str) -> None:
    """Raise RequestError where a stage lacks what it stands on; `called` is what the user calls the competition."""
    found, order = standings(comp, workspace), list(stages_of(comp))
    if name not in order:
        return
    needed = {stage for stage in order[: order.index(name)] if _open(found, stage)} - STAGES[name].looks_itself
    lacking = [stage for stage in order if stage in needed]
    if lacking:
        raise RequestError(
            f"{name} needs {', '.join(lacking)} first; run `pipeline {lacking[0]} {called}`, "
            f"or `pipeline run {called}` for everything"
        )
