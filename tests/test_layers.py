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
    """Modules of the package that a file imports: at its top, inside functions, or for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
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


# From the ground up: a module imports its own floor and those below it. What is in none of them lies on the ground.
FILE = ("config", "targets", "losses", "metrics", "forms", "combinations", "predictions")
ROOMS = ("competitions", "data", "kaggle", "rows", "submission", "deciding", "scoring", "blending", "jobs", "fold")
ROOMS = (*ROOMS, "columns", "codes", "answers", "kinds", "looking", "cases")
FLOORS = [
    ("the file", tuple(f"pipeline.{name}" for name in FILE)),
    ("rooms", tuple(f"pipeline.{name}" for name in ROOMS)),
    ("wings", ("pipeline.vision", "pipeline.collab")),
    ("the road", ("pipeline.stage", "pipeline.stages", "pipeline.road")),
    ("commands", ("pipeline.commands",)),
    ("what people call", ("pipeline.project", "pipeline.commands.session")),
    ("the command line", ("pipeline.cli", "pipeline.cli_kernel", "pipeline.options", "pipeline.tables")),
    ("the door", ("pipeline.__main__",)),
]


def floor_of(module: str) -> int:
    """The number of a module's floor; 0 for the ground."""
    places = [(len(name), n) for n, (_, names) in enumerate(FLOORS, 1) for name in names]
    within = {name: n for n, (_, names) in enumerate(FLOORS, 1) for name in names}
    fitting = [name for name in within if module == name or module.startswith(f"{name}.")]
    assert len(places) == len(within), "a module is on two floors"
    return within[max(fitting, key=len)] if fitting else 0


def test_no_module_imports_one_of_a_floor_above(graph):
    upward = [(name, other) for name, others in graph.items() for other in others if floor_of(other) > floor_of(name)]
    assert not [pair for pair in upward if pair[0] != "pipeline"], "only `pipeline` itself opens what is above"


def test_no_stage_imports_a_later_stage(graph):
    order = [f"pipeline.stages.{name}" for name in STAGES]
    for place, name in enumerate(order):
        assert not reachable(graph, name) & set(order[place + 1 :]), name


def test_a_wing_knows_nothing_of_the_others(graph):
    for wing in ("vision", "collab", "kaggle"):
        others = {"vision", "collab", "kaggle"} - {wing}
        for name in graph:
            if name.startswith(f"pipeline.{wing}"):
                seen = {other.split(".")[1] for other in graph[name]}
                assert not seen & others, name


def test_every_stage_is_a_file_with_one_function_of_its_name():
    for name, stage in STAGES.items():
        assert (PACKAGE / "stages" / f"{name}.py").is_file()
        assert stage.run.__name__ == name
    files = {path.stem for path in (PACKAGE / "stages").glob("*.py")} - {"__init__"}
    assert files == set(STAGES), "stages/ holds the road and nothing else"


def test_the_order_of_the_road_follows_from_what_stages_need():
    assert list(STAGES) == ["data", "check", "folds", "presize", "train", "predict", "ensemble", "submit"]
    for name, stage in STAGES.items():
        assert set(stage.needs) <= set(list(STAGES)[: list(STAGES).index(name)])


def test_stages_ask_a_kind_and_never_compare_it():
    """What differs between kinds of competition or target is asked of the kind: no stage tells them apart itself."""
    for path in [*(PACKAGE / "stages").glob("*.py"), PACKAGE / "road.py", PACKAGE / "stage.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Compare, ast.Match)):
                side = [node.left, *node.comparators] if isinstance(node, ast.Compare) else [node.subject]
                kinds = [ast.unparse(part) for part in side if isinstance(part, ast.Attribute) and part.attr == "kind"]
                assert not [kind for kind in kinds if kind not in ASKED], f"{path.name}:{node.lineno}: {kinds}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                assert "Competition" not in ast.unparse(node.args[1]), f"{path.name}:{node.lineno}"


ASKED = {"comp.source.kind"}  # where the raw files are from


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
