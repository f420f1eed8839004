"""explain: what biases and factors of a rating model learned, and whom it serves worst, as pictures and numbers."""

from collections.abc import Hashable
from typing import Any

import pandas as pd

from pipeline import predictions
from pipeline.collab.audit import titles_of
from pipeline.collab.config import RATING
from pipeline.commands.recommend import item_called, need_ratings, open_model
from pipeline.config import Competition
from pipeline.errors import RequestError
from pipeline.log import Log
from pipeline.rows import training_rows
from pipeline.workspace import Workspace, write_json

POPULAR = 300  # items that are neighbours of others; rarer ones lie anywhere
PLOTTED = 60
EXAMPLES = 6
WORST = 10


def explain(
    comp: Competition, workspace: Workspace, log: Log, only_model: str | None = None, item: str | None = None
) -> dict[str, Any]:
    """Draw into runs/<slug>/explain/ and write explain.json beside the pictures; returns what that holds.

    The model is the named one, or the first that is trained by gradient steps on a dot product, whose factors stay
    put. Raises RequestError for an unknown `item` (a title or a raw id).
    """
    comp = need_ratings(comp, "explain")
    from pipeline.collab import pictures
    from pipeline.collab.explain import components, decay_curve, item_table, neighbours, served

    plain = [model for model in comp.models if model.readable_factors]
    name, folds = open_model(comp, workspace, only_model or (plain[0].name if plain else None))
    (model,) = (model for model in comp.models if model.name == name)
    train, titles, folder = training_rows(workspace), titles_of(workspace.raw, comp.data), workspace.explain
    table = item_table(folds, train, titles)
    known = list(table.index)
    asked = known[:EXAMPLES] if item is None else [item_called(item, known, titles, "--item")]
    found = [{"item": i, "title": table["title"][i], "near": neighbours(table, i, POPULAR)} for i in asked]
    log.say(f"explain: {name}, {len(table):,} items; drawing into {workspace.show(folder)}")
    pictures.draw_biases(folder / "bias.png", table)
    pictures.draw_neighbours(folder / "neighbours.png", found)
    places = components(table, PLOTTED)
    pictures.draw_components(folder / "components.png", places)
    ordered = table.sort_values("bias", kind="stable")[["title", "bias"]]
    result: dict[str, Any] = {
        "competition": comp.slug,
        "model": name,
        "highest_bias": _rows(ordered.tail(EXAMPLES).iloc[::-1]),
        "lowest_bias": _rows(ordered.head(EXAMPLES)),
        "neighbours": found,
        "components": _rows(places),
    }
    if model.decay is not None:
        result["weight_decay"] = decay_curve(train, model, comp.seed)
        pictures.draw_decay(folder / "weight_decay.png", result["weight_decay"], model.decay)
    result["served"] = {}
    drawn = {}
    for part in ("user", "item"):
        worst, by_count = served(_errors(workspace, name, train), part)
        worst = worst.head(WORST).assign(name=lambda rows: [str(titles.get(i, i)) for i in rows.index])
        worst = worst if part == "item" else worst.assign(name=[f"user {user}" for user in worst.index])
        drawn[part] = (by_count, worst)
        result["served"][part] = {"by_ratings": by_count, "worst": _rows(worst)}
    pictures.draw_served(folder / "served.png", drawn)
    write_json(workspace.explanation, result)
    result["pictures"] = sorted(str(path) for path in folder.glob("*.png"))
    return result


def _errors(workspace: Workspace, name: str, train: pd.DataFrame) -> pd.DataFrame:
    """Out-of-fold errors of a model, or of the ensemble where the model has not predicted yet."""
    path = workspace.oof(name)
    if not path.is_file():
        raise RequestError(f"explain needs predictions of {name}; run `pipeline predict`")
    oof = predictions.load(path)
    rows = train.set_index("id").loc[list(oof.ids)]
    return rows[["user", "item"]].assign(error=oof.values[RATING][:, 0] - rows[RATING].to_numpy())


def _rows(table: pd.DataFrame) -> list[dict[Hashable, Any]]:
    return [{"id": key, **row} for key, row in zip(table.index, table.round(6).to_dict("records"), strict=True)]
