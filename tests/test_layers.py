"""The one-way road: no module imports a later one, and the cheap commands import nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.road import STAGES

PACKAGE = Path(__file__).parents[1] / "pipeline"


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, modules: set[str]) -> set[str]:
    """Modules of the package that a file imports, at its top or inside functions; not those for types alone."""
    found = set()
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in found & modules if name != "pipeline"} - {module_name(path)}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    paths = list(PACKAGE.rglob("*.py"))
    modules = {module_name(path) for path in paths}
    return {module_name(path): imports_of(path, modules) for path in paths}


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen, pending = set(), [start]
    while pending:
        for name in graph[pending.pop()] - seen:
            seen.add(name)
            pending.append(name)
    return seen


def test_no_module_imports_itself_round_about(graph):
    assert not [name for name in graph if name in reachable(graph, name)]


def test_no_stage_imports_a_later_stage(graph):
    order = [f"pipeline.stages.{name}" for name in STAGES]
    for place, name in enumerate(order):
        assert not reachable(graph, name) & set(order[place + 1 :]), name


def test_the_layers_below_know_nothing_of_those_above(graph):
    above = {"pipeline.cli", "pipeline.road", "pipeline.tables", *[n for n in graph if n.startswith(("pipeline.stages", "pipeline.commands")) or n == "pipeline.submission"]}
    for name in graph:
        if name not in above | {"pipeline.__main__"}:
            assert not reachable(graph, name) & above, name


def test_every_stage_is_a_file_with_one_function_of_its_name():
    for name, stage in STAGES.items():
        assert (PACKAGE / "stages" / f"{name}.py").is_file()
        assert stage.__name__ == name


@pytest.mark.parametrize(
    ("command", "heavy"),
    [("--help", {"torch", "pandas", "numpy", "pydantic"}), ("status", {"torch", "fastai", "timm"})],
)
def test_cheap_commands_import_nothing_heavy(command, heavy, tmp_path):
    code = f"import sys; sys.argv = ['pipeline', {command!r}]\ntry:\n import pipeline.cli; pipeline.cli.main()\n"
    code += "except SystemExit as end:\n assert end.code == 0, end.code\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout
    assert not heavy & set(done.stderr.split())
