"""The pictures of `pipeline explain`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.workspace import write_with

LOW, HIGH, GREY = "#b5482f", "#2f6fb5", "#9a9a9a"


def draw_biases(path: Path, table: pd.DataFrame, count: int = 12) -> None:
    """Items that are liked less, and more, than their users' and their own tastes explain."""
    ordered = table.sort_values("bias", kind="stable")
    shown = pd.concat([ordered.tail(count).iloc[::-1], ordered.head(count).iloc[::-1]])
    figure, axes = _figure(9, 7.5)
    places = np.arange(len(shown))[::-1]
    axes.barh(places, shown["bias"], color=np.where(np.arange(len(shown)) < count, HIGH, LOW))
    axes.set_yticks(places, [_short(title) for title in shown["title"]], fontsize=9)
    axes.axvline(table["bias"].mean(), color=GREY, linewidth=1, linestyle=":")
    axes.set_xlabel("bias, in units of the model's score (dotted: the mean of all items)")
    axes.set_title("Items with the highest and the lowest bias", loc="left")
    _write(path, figure)


def draw_neighbours(path: Path, found: Sequence[Mapping[str, Any]]) -> None:
    """For each item, those whose factors point most nearly the same way."""
    rows = (len(found) + 1) // 2
    figure = Figure(figsize=(11, 2.0 * rows), layout="constrained")
    for number, asked in enumerate(found):
        axes = figure.add_subplot(rows, 2, number + 1)
        places = np.arange(len(asked["near"]))[::-1]
        axes.barh(places, [row["cosine"] for row in asked["near"]], color=HIGH)
        axes.set_yticks(places, [_short(row["title"], 30) for row in asked["near"]], fontsize=8)
        axes.set_xlim(0, 1)
        axes.set_title(_short(asked["title"], 40), loc="left", fontsize=10)
        _bare(axes)
    figure.suptitle("Nearest by the angle between factors (cosine)", x=0.01, ha="left")
    _write(path, figure)


def draw_components(path: Path, places: pd.DataFrame) -> None:
    """The most rated items where their factors differ most."""
    figure, axes = _figure(12, 9)
    axes.scatter(places["x"], places["y"], s=8, color=HIGH)
    for place, _ in _apart(places[["x", "y"]].to_numpy()):
        row = places.iloc[place]
        axes.annotate(_short(row["title"], 28), (row["x"], row["y"]), (3, 3), textcoords="offset points", fontsize=8)
    axes.set_xlabel("first principal component of the factors")
    axes.set_ylabel("second")
    axes.set_title("The most rated items by their factors", loc="left")
    axes.margins(0.1)
    _write(path, figure)


def draw_decay(path: Path, curve: Sequence[Mapping[str, float]], used: float) -> None:
    """RMSE on held-out rows for several weight decays."""
    figure, axes = _figure(8, 4.5)
    places = np.arange(len(curve))
    axes.plot(places, [row["rmse"] for row in curve], marker="o", color=HIGH)
    best = int(np.argmin([row["rmse"] for row in curve]))
    axes.annotate(f"{curve[best]['rmse']:.4f}", (best, curve[best]["rmse"]), (0, -14), textcoords="offset points")
    axes.set_xticks(places, [f"{row['weight_decay']:g}" for row in curve])
    axes.set_xlabel(f"weight decay, as meant for batches of 64 (the model has {used:g})")
    axes.set_ylabel("RMSE on a fifth of train, held out")
    axes.set_title("What weight decay does", loc="left")
    axes.margins(y=0.15)
    _write(path, figure)


def draw_served(path: Path, parts: Mapping[str, tuple[Sequence[Mapping[str, Any]], pd.DataFrame]]) -> None:
    """Error by how many ratings a user or item has, and who is served worst."""
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    for number, (part, (by_count, worst)) in enumerate(parts.items()):
        axes = figure.add_subplot(2, 2, number + 1)
        names = [f"{row['least']}-{row['most']}" for row in by_count]
        axes.bar(range(len(names)), [row["rmse"] for row in by_count], color=HIGH)
        axes.set_xticks(range(len(names)), names, fontsize=8, rotation=20)
        axes.set_title(f"RMSE of {part}s by how many ratings they have", loc="left", fontsize=10)
        _bare(axes)
        axes = figure.add_subplot(2, 2, number + 3)
        places = np.arange(len(worst))[::-1]
        axes.barh(places, worst["rmse"], color=LOW)
        names = [f"{_short(name, 32)} ({count})" for name, count in zip(worst["name"], worst["ratings"], strict=True)]
        axes.set_yticks(places, names, fontsize=8)
        axes.set_title(f"{part}s served worst (their ratings)", loc="left", fontsize=10)
        _bare(axes)
    _write(path, figure)


def _apart(places: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The points that can have a label without covering another's: (row, place), the outermost first."""
    span = np.ptp(places, axis=0) + 1e-12
    scaled = (places - places.mean(axis=0)) / span
    kept: list[tuple[int, np.ndarray]] = []
    for row in np.argsort(-np.abs(scaled).max(axis=1), kind="stable"):
        clear = all(abs(scaled[row, 0] - o[0]) > 0.17 or abs(scaled[row, 1] - o[1]) > 0.022 for _, o in kept)
        if clear:
            kept.append((int(row), scaled[row]))
    return kept


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    _bare(axes)
    return figure, axes


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _short(title: str, most: int = 44) -> str:
    title = str(title).replace("$", r"\$")  # not the start of a formula
    return title if len(title) <= most else f"{title[: most - 1]}…"


def _write(path: Path, figure: Figure) -> None:
    save: Callable[[Path], object] = lambda file: FigureCanvasAgg(figure).print_figure(file, dpi=110, format="png")  # noqa: E731
    write_with(path, save)
