"""Results as tables for people, on standard output."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def print_run(result: dict[str, Any]) -> None:
    """The closing table, and where the submission is."""
    print_closing(result["rows"], result["score"])
    if result["submission"]:
        print(f"submission: {result['submission']}")


def print_closing(rows: Sequence[dict[str, Any]], score: dict[str, Any] | None) -> None:
    """Per model and for the ensemble: CV of each target without and with TTA, seconds, scores where known."""
    table = Table(title="cross-validation and score", title_justify="left")
    table.add_column("model")
    shown = rows[0]["tta_cv"] or rows[0]["cv"]
    firsts = [(target, next(iter(values))) for target, values in shown.items()]
    kinds = ["cv", "tta_cv"] if any(row["tta_cv"] for row in rows) else ["cv"]
    for target, metric in firsts:
        table.add_column(f"{target}\n{metric}", justify="right")
        if "tta_cv" in kinds:
            table.add_column("\nwith TTA", justify="right")
    table.add_column("\nseconds", justify="right")
    parts = [p for p in ("public", "private") if score and score.get(p) is not None] or (["score"] if score else [])
    for part in parts:
        table.add_column(f"{score['metric'] if score else ''}\n{part}", justify="right")
    for row in rows:
        cells = []
        for target, metric in firsts:
            cells += [_number(row[kind].get(target, {}).get(metric)) for kind in kinds]
        cells.append(f"{row['seconds']:.0f}" if row["seconds"] is not None else "")
        table.add_row(row["name"], *cells, *[_number(row.get(part)) for part in parts])
    _console().print(table)


def print_status(status: dict[str, Any], why: bool = False) -> None:
    """The stages' states, asked for also why, then a line for each model and the ensemble."""
    console = _console()
    colours = {"done": "green", "stale": "yellow", "missing": "dim"}
    states = "  ".join(f"[{colours[state]}]{name} {state}[/]" for name, state in status["stages"].items())
    console.print(f"[bold]{status['competition']}[/] ({status['kind']})  {states}")
    if why:
        for name, reasons in status.get("why", {}).items():
            for reason in reasons:
                console.print(f"  {name}: {escape(reason)}", soft_wrap=True)
    elif status.get("why"):
        console.print("  `pipeline status --why` says what makes them stale")
    table = Table()
    for name in ("model", "folds", "cv", "cv with TTA", "seconds"):
        table.add_column(name)
    for model in status["models"]:
        folds = f"{model['folds_done']}/{model['folds']}"
        table.add_row(model["name"], folds, _cv(model["cv"]), _cv(model["tta_cv"]), f"{model['seconds']:.0f}")
    if status["ensemble"]["cv"]:
        weights = ", ".join(f"{name} {weight:.2f}" for name, weight in status["ensemble"]["weights"].items())
        table.add_row("ensemble", weights, "", _cv(status["ensemble"]["cv"]), "")
    console.print(table)
    console.print(f"submission: {status['submission'] or 'none yet'}")
    if "leaderboard" in status:
        console.print(_leaderboard(status["leaderboard"]))


def _leaderboard(sent: Sequence[dict[str, Any]]) -> Table:
    """CV against leaderboard, as it went."""
    table = Table()
    for name in ("sent", "submission", "cv", "public", "private"):
        table.add_column(name)
    for row in sent:
        scores = [_number(row[key]) for key in ("cv", "public", "private")]
        table.add_row(row["date"] or row["status"], row["submission"], *scores)
    return table


def print_score(result: dict[str, Any]) -> None:
    """A grade in one or two lines."""
    parts = "".join(f", {part} {result[part]:.5f}" for part in ("public", "private") if result[part] is not None)
    _console().print(f"{result['metric']} {result['score']:.5f}{parts}  ({result['submission']})")


def print_recommended(result: dict[str, Any]) -> None:
    """Items with their predicted ratings, best first."""
    whose = f"user {result['user']}" if result["user"] else f"{len(result['given'])} ratings given"
    table = Table(title=f"for {whose}, by {result['model']}", title_justify="left")
    table.add_column("rating", justify="right")
    table.add_column("item")
    for row in result["rows"]:
        table.add_row(f"{row['rating']:.2f}", row["title"])
    _console().print(table)


def print_explained(result: dict[str, Any]) -> None:
    """The biases, the neighbours, and where the pictures are."""
    console = _console()
    for key in ("highest_bias", "lowest_bias"):
        rows = "; ".join(f"{row['title']} {row['bias']:+.2f}" for row in result[key])
        console.print(f"[bold]{key.replace('_', ' ')}[/]: {rows}", soft_wrap=True)
    for asked in result["neighbours"]:
        near = "; ".join(row["title"] for row in asked["near"])
        console.print(f"[bold]like {asked['title']}[/]: {near}", soft_wrap=True)
    for part, facts in result["served"].items():
        worst = "; ".join(f"{row['name']} {row['rmse']:.2f}" for row in facts["worst"][:5])
        console.print(f"[bold]{part}s served worst[/] (RMSE): {worst}", soft_wrap=True)
    for path in result["pictures"]:
        console.print(path, soft_wrap=True)


def _cv(cv: dict[str, dict[str, float]]) -> str:
    firsts = [(target, *next(iter(values.items()))) for target, values in cv.items()]
    return "\n".join(f"{target} {metric} {value:.4f}" for target, metric, value in firsts)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120  # a log has no width of its own
    return console
