"""What a table of ratings really holds: how full, how long-tailed, what was rated twice, who is new in test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.collab.config import RATING, RatingsData, RatingsModel
from pipeline.collab.ratings import read_side
from pipeline.errors import RequestError
from pipeline.log import Log

CORNER = 8  # users and items of the utility matrix that are shown
SHOWN = 20  # examples of each finding


def titles_of(raw: Path, data: RatingsData) -> pd.Series:
    """Titles by raw item id; empty where the file names none."""
    if data.items is None or data.items.title is None:
        return pd.Series(dtype=str)
    table = read_side(raw, data.items, data, "data.items")
    column = data.items.title
    return table.iloc[:, column] if isinstance(column, int) else table[column]


def audit_ratings(manifest: pd.DataFrame, titles: pd.Series) -> dict[str, Any]:
    """Counts, sparsity, duplicates, unknown users and items of test, and the busiest corner of the matrix."""
    train, test = (manifest[manifest["split"] == split] for split in ("train", "test"))
    users, items = train["user"].value_counts(), train["item"].value_counts()
    ratings = train[RATING]
    twice, differ = train[train["copies"] > 1], train[train["contradicts"]]
    unknown = {part: sorted(set(test[part]) - set(train[part])) for part in ("user", "item")}
    return {
        "counts": {"train": len(train), "test": len(test), "users": len(users), "items": len(items)},
        "sparsity": round(1 - len(train) / (len(users) * len(items)), 6),
        "ratings": {"lowest": float(ratings.min()), "highest": float(ratings.max()), "mean": round(ratings.mean(), 6)},
        "levels": {
            f"{level:g}": int(count) for level, count in ratings.value_counts().sort_index().head(SHOWN).items()
        },
        "per_user": _spread(users),
        "per_item": _spread(items),
        "duplicates": {"pairs": len(twice), "rows": int((twice["copies"] - 1).sum()), "ids": _some(twice["id"])},
        "contradictions": {"pairs": len(differ), "ids": _some(differ["id"])},
        "unknown_users": {"count": len(unknown["user"]), "ids": unknown["user"][:SHOWN]},
        "unknown_items": {"count": len(unknown["item"]), "ids": unknown["item"][:SHOWN]},
        "corner": utility_corner(train, list(users.index[:CORNER]), list(items.index[:CORNER]), titles),
    }


def utility_corner(train: pd.DataFrame, users: list[str], items: list[str], titles: pd.Series) -> dict[str, Any]:
    """Ratings of these users for these items, None where there is none."""
    cut = train[train["user"].isin(users) & train["item"].isin(items)]
    matrix = cut.pivot(index="user", columns="item", values=RATING).reindex(index=users, columns=items)
    cells = [[None if np.isnan(value) else float(value) for value in row] for row in matrix.to_numpy()]
    return {"users": users, "items": items, "titles": [str(titles.get(item, item)) for item in items], "ratings": cells}


def refuse_ratings(manifest: pd.DataFrame, models: Sequence[RatingsModel]) -> None:
    """Raise RequestError for ratings outside of the range that a model is given, and more different ones than fit."""
    train = manifest[manifest["split"] == "train"]
    for number, model in enumerate(models):
        try:
            model.check_levels(train[RATING].nunique())
        except ValueError as error:
            raise RequestError(f"models.{number}.{error}; take it out") from None
        if model.limits is not None:
            outside = train[~train[RATING].between(*model.limits)]
            if len(outside):
                first = outside.iloc[0]
                raise RequestError(
                    f"models.{number}.range = {list(model.limits)}, but {len(outside)} ratings lie outside, "
                    f"for example {first[RATING]:g} of {first['id']}; widen the range, or correct the rows"
                )


def say_audit(summary: dict[str, Any], log: Log) -> None:
    """The findings in a few lines, and the corner of the utility matrix."""
    counts, ratings = summary["counts"], summary["ratings"]
    log.say(
        f"check: {counts['train']:,} ratings of {counts['items']:,} items by {counts['users']:,} users, "
        f"{ratings['lowest']:g} to {ratings['highest']:g}, mean {ratings['mean']:.2f}; {summary['sparsity']:.2%} of "
        "the matrix is empty; details in audit.json"
    )
    twice = summary["duplicates"]
    if twice["pairs"]:
        log.warn(
            f"{twice['pairs']} pairs are rated more than once ({summary['contradictions']['pairs']} of them "
            f"differently); the latest rating counts: {', '.join(twice['ids'][:3])}"
        )
    for part in ("user", "item"):
        unknown = summary[f"unknown_{part}s"]
        if unknown["count"]:
            log.warn(
                f"{unknown['count']} {part}s of the test table are not in train and get the mean {part}: "
                f"{', '.join(unknown['ids'][:3])}"
            )
    corner = summary["corner"]
    log.say("  the busiest users (down) and items (across):")
    log.say(f"  {'':>8} " + " ".join(f"{title[:9]:>9}" for title in corner["titles"]))
    for user, row in zip(corner["users"], corner["ratings"], strict=True):
        cells = " ".join(f"{'' if value is None else format(value, 'g'):>9}" for value in row)
        log.say(f"  {user[:8]:>8} {cells}")


def _spread(counts: pd.Series) -> dict[str, float]:
    return {"least": int(counts.min()), "median": float(counts.median()), "most": int(counts.max())}


def _some(ids: pd.Series) -> list[str]:
    return ids.head(SHOWN).tolist()
