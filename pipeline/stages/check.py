"""check: the audit of every image or rating, before anything is trained on them."""

import pandas as pd

from pipeline.config import Competition
from pipeline.freshness import Step, digest
from pipeline.kinds import kind_of
from pipeline.log import Log
from pipeline.stage import Stage
from pipeline.workspace import Workspace, write_json, write_with

VERSION = 1


def check(comp: Competition, workspace: Workspace, log: Log, force: bool = False) -> bool:
    """Look at every row once; write its facts and the audit. Returns whether it did anything."""
    if step(comp, workspace).done() and not force:
        return False
    found = kind_of(comp).audit(comp, workspace, pd.read_parquet(workspace.manifest), log)
    write_with(workspace.facts, lambda file: found.facts.to_parquet(file, index=False))
    write_json(workspace.audit, found.summary)
    step(comp, workspace).record()  # anew: what an audit depends on may follow from what it found
    found.tell(log)
    return True


def step(comp: Competition, workspace: Workspace) -> Step:
    inputs = {"version": VERSION, "manifest": digest(workspace.manifest), **kind_of(comp).audit_inputs(comp, workspace)}
    return Step(workspace.stamp("check"), inputs, (workspace.facts, workspace.audit))


STAGE = Stage(check, lambda comp, workspace: [("", step(comp, workspace))], needs=("data",))
