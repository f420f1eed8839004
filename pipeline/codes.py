"""Codes of classes: what a submission writes where the labels are names."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.config import Competition
from pipeline.data.tables import need_column, read_table
from pipeline.errors import RequestError
from pipeline.forms import Column, Source
from pipeline.forms.said import Codes, CodeTable, Counted
from pipeline.targets import TargetSpec
from pipeline.targets.classes import some
from pipeline.workspace import Workspace

Spelling = Mapping[str, Mapping[str, str]]  # of a target's classes, as the submission writes them


def spelling_of(comp: Competition, workspace: Workspace, specs: Sequence[TargetSpec]) -> dict[str, dict[str, str]]:
    """The code of each class of the targets that have codes. Raises RequestError for a class without one of its own."""
    said = comp.submission.codes
    return {spec.name: _coded(said[spec.name], spec, comp, workspace) for spec in specs if spec.name in said}


def spelled(specs: Sequence[TargetSpec], spelling: Spelling) -> tuple[TargetSpec, ...]:
    """Targets whose classes are called as the submission writes them, in the same order."""
    found = []
    for spec in specs:
        codes = spelling.get(spec.name)
        found.append(spec if codes is None else replace(spec, vocab=tuple(codes[label] for label in spec.vocab)))
    return tuple(found)


def sources_spelled(columns: Mapping[str, Source], spelling: Spelling) -> dict[str, Source]:
    """What goes into columns, where the file names classes and the submission their codes."""
    found: dict[str, Source] = {}
    for name, source in columns.items():
        column = Column.of(name, source)
        code = spelling.get(column.target, {}).get(column.label or "")
        found[name] = source if code is None else with_class(source, code)
    return found


def with_class(source: Source, label: str) -> Source:
    """The same source of another class."""
    if isinstance(source, str):
        return f"{source.partition('/')[0]}/{label}"
    return {**source, "class": label}


def spelling_digest(spelling: Spelling) -> dict[str, str]:
    """What a spelling is, as part of what a submission was made from."""
    return {
        target: hashlib.sha256(json.dumps(codes, sort_keys=True).encode()).hexdigest()
        for target, codes in spelling.items()
    }


def _coded(said: Codes, spec: TargetSpec, comp: Competition, workspace: Workspace) -> dict[str, str]:
    key, where = f"submission.codes.{spec.name}", "the file"
    if isinstance(said, CodeTable):
        where, codes = said.table, _from_table(said, workspace, key, comp.data.encoding)
    elif isinstance(said, Counted):
        order = list(spec.vocab) if said.order is None else said.order
        _refuse_repeats(order, key, "classes")
        codes = {label: str(said.first + place) for place, label in enumerate(order)}
    else:
        codes = {label: str(code) for label, code in said.items()}
    lacking = [label for label in spec.vocab if label not in codes]
    if lacking:
        raise RequestError(
            f"{key}: {len(lacking)} of {len(spec.vocab)} classes have no code in {where}: {some(lacking)}; "
            f"it has codes of {some(codes)}"
        )
    _refuse_repeats([codes[label] for label in spec.vocab], key, "codes")
    return {label: codes[label] for label in spec.vocab}


def _from_table(said: CodeTable, workspace: Workspace, key: str, encoding: str | None) -> dict[str, str]:
    table = read_table(workspace.raw / said.table, f"{key}.table", encoding=encoding)
    for column, name in ((said.name, "name"), (said.code, "code")):
        need_column(table, column, said.table, f"{key}.{name}")
    pairs = table[[said.name, said.code]].drop_duplicates()
    _refuse_repeats(pairs[said.name].tolist(), key, "names")
    return dict(zip(pairs[said.name], pairs[said.code], strict=True))


def _refuse_repeats(values: Sequence[str], key: str, what: str) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise RequestError(f"{key}: {len(repeated)} {what} are there more than once: {some(repeated)}")
