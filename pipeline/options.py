"""Options of the command line, and what every subcommand has in common: said once, for all of them."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

Comp = Annotated[str, typer.Argument(metavar="[COMP]", help="A shipped competition, or a path to a TOML file.")]
Root = Annotated[Path, typer.Option("--root", help="Where data/, runs/ and submissions/ live.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the file.")]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", metavar="FILE", help="A Python file that adds losses, metrics, ...")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Force = Annotated[bool, typer.Option("--force", help="Do it again even if nothing changed.")]
ModelName = Annotated[str | None, typer.Option("--model", help="Only this model.")]
Minutes = Annotated[float | None, typer.Option("--minutes", min=0, help="Stop at an epoch's end before these.")]
HERE = Path()
COMMON: dict[str, tuple[Any, Any]] = {
    "comp": (Comp, "demo"),
    "root": (Root, HERE),
    "sets": (Sets, None),
    "plugins": (Plugins, None),
    "as_json": (Json, False),
    "debug": (Debug, False),
}
Work = Callable[..., dict[str, Any]]


def subcommand(
    app: typer.Typer, name: str, show: str | None = None, asked: tuple[str, ...] = (), comp: str = "demo"
) -> Callable[[Work], Work]:
    """Make a subcommand of a function that takes the project and options of its own, and returns a JSON object.

    Without --json the object goes to the function `show` of `pipeline.tables`, if there is one, with options `asked`.
    """

    def register(work: Work) -> Work:
        def run(**given: Any) -> None:
            from pipeline.project import Project

            comp, root, sets, plugins, as_json, _ = (given.pop(key) for key in COMMON)
            result = work(Project(comp, root, sets or (), plugins or ()), **given)
            if as_json:
                print(json.dumps(result))
            elif show is not None:
                from pipeline import tables

                getattr(tables, show)(result, **{key: given[key] for key in asked})

        defaults = {key: default for key, (_, default) in COMMON.items()} | {"comp": comp}
        shared = [_parameter(key, kind, defaults[key]) for key, (kind, _) in COMMON.items()]
        own = [
            _parameter(p.name, p.annotation, p.default) for p in list(inspect.signature(work).parameters.values())[1:]
        ]
        run.__signature__ = inspect.Signature([*shared, *own])
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*shared, *own)}
        app.command(name, help=work.__doc__)(run)
        return work

    return register


def _parameter(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
