"""Results as tables for people, on standard output."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

LOG_WIDTH = 80
BELOW = 3  # targets that have a row each below their model
LEGIBLE, GAP = 8, 2  # characters of a column, and between two
PASSES = {"cv": "CV", "tta_cv": "with TTA"}  # columns of numbers


def print_run(result: dict[str, Any]) -> None:
    """The closing table, and where the submission is."""
    print_closing(result["rows"], result["score"])
    if result["submission"]:
        print(f"submission: {result['submission']}")


def print_closing(rows: Sequence[dict[str, Any]], score: dict[str, Any] | None) -> None:
    """Per model and for the ensemble: CV without and with TTA, seconds, scores where known; then the targets' own."""
    parts = [p for p in ("public", "private") if score and score.get(p) is not None] or (["score"] if score else [])
    behind = [_Column("seconds", lambda row: _seconds(row["seconds"]))]
    for part in parts:
        of_target = (lambda row, name: _number(row.get("test", {}).get(name))) if part == "score" else None
        behind.append(_Column(part, lambda row, part=part: _number(row.get(part)), of_target))
    _print_cv(_console(), rows, [], behind)


def print_status(status: dict[str, Any], why: bool = False) -> None:
    """The stages' states, asked for also why, then lines for each model and the ensemble."""
    console = _console()
    _print_states(console, status)
    if why:
        for name, reasons in status.get("why", {}).items():
            for reason in reasons:
                console.print(f"  {name}: {escape(reason)}", soft_wrap=True)
    elif status.get("why"):
        console.print("  `pipeline status --why` says what makes them stale")
    rows, weights = list(status["models"]), status["ensemble"]["weights"]
    if status["ensemble"]["cv"]:
        cv, mean = ("tta_cv", "tta_mean") if any(row["tta_cv"] for row in rows) else ("cv", "mean")  # what it blends
        none = {"cv": {}, "mean": {}, "tta_cv": {}, "tta_mean": {}}
        own = {cv: status["ensemble"]["cv"], mean: status["ensemble"]["mean"]}
        rows.append({"name": "ensemble", **none, **own})
    before = [_Column("folds", lambda row: f"{row['folds_done']}/{row['folds']}" if "folds" in row else "")]
    if weights and len(status["models"]) > 1:
        before.append(_Column("weight", lambda row: f"{weights[row['name']]:.2f}" if row["name"] in weights else ""))
    _print_cv(console, rows, before, [_Column("seconds", lambda row: _seconds(row.get("seconds")))])
    console.print(f"submission: {status['submission'] or 'none yet'}", soft_wrap=True)
    if "leaderboard" in status:
        console.print(_leaderboard(status["leaderboard"]))


@dataclass(frozen=True)
class _Column:
    """A column beside those of the CV: its cell of a model's row, and of a target's below it."""

    name: str
    cell: Callable[[dict[str, Any]], str]
    of_target: Callable[[dict[str, Any], str], str] | None = None


def _print_cv(
    console: Console, rows: Sequence[dict[str, Any]], before: Sequence[_Column], behind: Sequence[_Column]
) -> None:
    """The table of CV, below what its numbers are; where the targets are many, they have a table of their own."""
    console.print(f"[bold]{_cv_title(rows)}[/]")
    apart = any(len(list(_own(row))) > BELOW for row in rows)
    console.print(_cv_table(rows, before, behind, below=not apart))
    if apart:
        _print_targets(console, rows)
    means = [mean for row in rows for mean in (row["mean"], row["tta_mean"]) if mean]
    told = {target for row in rows for target in row["cv"] | row["tta_cv"]}
    if means and told - set(means[0]["targets"]):
        console.print("in parentheses: what the leaderboard does not score", style="dim")


def _cv_table(
    rows: Sequence[dict[str, Any]], before: Sequence[_Column], behind: Sequence[_Column], below: bool
) -> Table:
    """A row a model with the leaderboard's mean, and `below` it one a target that is not that mean already."""
    kinds = {kind: word for kind, word in PASSES.items() if any(row[kind] for row in rows)} or {"cv": "CV"}
    lines = []
    for row in rows:
        means = [row[kind.replace("cv", "mean")] for kind in kinds]
        ends = [[column.cell(row) for column in columns] for columns in (before, behind)]
        numbers = [(_number(mean.get("value")), _number(mean.get("spread"))) for mean in means]
        lines.append((f"[bold]{row['name']}[/]", ends[0], numbers, ends[1]))
        for target, metric, label in _own(row) if below else ():
            own = [(_number(row[kind].get(target, {}).get(metric)), "") for kind in kinds]
            last = [column.of_target(row, target) if column.of_target else "" for column in behind]
            lines.append((f"  {label}", [""] * len(before), own, last))
    table = _plain_table()
    table.add_column("model", overflow="fold")
    _add_numbers(table, [column.name for column in before])
    for name in kinds.values():
        table.add_column(name, no_wrap=True)
    _add_numbers(table, [column.name for column in behind])
    width = max((len(value) for _, _, numbers, _ in lines for value, _ in numbers), default=0)
    for name, first, numbers, last in lines:
        spread = [value.rjust(width) + (f" ± {spread}" if spread else "") for value, spread in numbers]
        table.add_row(name, *first, *spread, *last)
    return table


def _own(row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Target, its first metric and what to call it, for each target that is not the whole of the leaderboard's mean."""
    mean = row["tta_mean"] or row["mean"]
    scored = mean.get("targets", [])
    for target, values in (row["tta_cv"] or row["cv"]).items():
        metric = next(iter(values))
        label = target if metric == mean.get("metric") else f"{target} {metric}"
        if scored != [target]:
            yield target, metric, label if target in scored or not mean else f"({label})"


def _print_targets(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """A row a target, a column a model, as many beside each other as are legible."""
    rows = [row for row in rows if row["tta_cv"] or row["cv"]]
    labels = {target: (metric, label) for row in rows for target, metric, label in _own(row)}
    wide = min(max(len(label) for _, label in labels.values()), console.width // 2)
    several = max(1, (console.width - wide) // (LEGIBLE + GAP))
    for first in range(0, len(rows), several):
        block = rows[first : first + several]
        table = _plain_table()
        table.add_column("with TTA" if any(row["tta_cv"] for row in block) else "CV", overflow="fold", max_width=wide)
        for row in block:
            most = max(LEGIBLE, (console.width - wide) // len(block) - GAP)
            table.add_column(row["name"], justify="right", overflow="fold", max_width=most)
        for target, (metric, label) in labels.items():
            values = [(row["tta_cv"] or row["cv"]).get(target, {}).get(metric) for row in block]
            table.add_row(label, *map(_number, values))
        console.print()
        console.print(table)


def _cv_title(rows: Sequence[dict[str, Any]]) -> str:
    """What the numbers are: the leaderboard's metric, of which targets, and what stands behind the ±."""
    from pipeline.metrics.leaderboard import in_words

    means = [mean for row in rows for mean in (row["mean"], row["tta_mean"]) if mean]
    if not means:
        return "cross-validation"
    targets, folds = means[0]["targets"], max(len(mean["folds"]) for mean in means)
    of = f"{in_words(means[0]['metric'])} of {len(targets)} targets" if len(targets) > 1 else None
    spread = f" ± spread over {folds} folds" if any(mean["spread"] is not None for mean in means) else ""
    return f"cross-validation: {of or f'{targets[0]} ' + means[0]['metric']}{spread}"


def _print_states(console: Console, status: dict[str, Any]) -> None:
    """The stages with their states, in as many lines as they need."""
    colours = {"done": "green", "stale": "yellow", "missing": "dim"}
    line, width = (
        f"[bold]{status['competition']}[/] ({status['kind']})",
        len(status["competition"] + status["kind"]) + 3,
    )
    for name, state in status["stages"].items():
        said = f"{name} {state}"
        if width + 2 + len(said) > console.width:
            console.print(line)
            line, width = "", 0
        line += f"  [{colours[state]}]{said}[/]"
        width += 2 + len(said)
    console.print(line)


def _leaderboard(sent: Sequence[dict[str, Any]]) -> Table:
    """CV against leaderboard, as it went."""
    table = _plain_table()
    for name in ("sent", "submission"):
        table.add_column(name, overflow="fold")
    _add_numbers(table, ("cv", "public", "private"))
    for row in sent:
        scores = ["" if row[key] is None else f"{row[key]:.4f}" for key in ("cv", "public", "private")]
        table.add_row(row["date"] or row["status"], row["submission"], *scores)
    return table


def print_score(result: dict[str, Any]) -> None:
    """A grade in one or two lines."""
    parts = "".join(f", {part} {result[part]:.5f}" for part in ("public", "private") if result[part] is not None)
    _console().print(f"{result['metric']} {result['score']:.5f}{parts}  ({result['submission']})", soft_wrap=True)


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


def _number(value: float | None) -> str:
    """Four decimals, without the nought before the point; fewer of what has three digits before it."""
    if value is None:
        return ""
    shown = f"{value:.4f}" if abs(value) < 100 else f"{value:.6g}"
    return shown.replace("0.", ".", 1) if shown.startswith(("0.", "-0.")) else shown


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _add_numbers(table: Table, names: Sequence[str]) -> None:
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)


def _plain_table() -> Table:
    """Without lines between the columns: 80 characters are few."""
    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def _console() -> Console:
    """As wide as the terminal, or as COLUMNS says; a log has no width of its own."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = LOG_WIDTH
    return console
