"""What a rating model learned, as numbers: biases, neighbours, components; and whom it serves worst."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.collab.config import RATING, RatingsModel
from pipeline.collab.model import Trained
from pipeline.collab.observations import Observations
from pipeline.collab.train import fit

DECAYS = (0.0, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)  # of the curve, as meant for batches of 64
HELD_OUT = 0.2  # of the rows, for the curve
LEAST = 10  # ratings of a user or item whose error is shown
GROUPS = 8  # of users or items by how many ratings they have


def item_table(folds: Sequence[Trained], train: pd.DataFrame, titles: pd.Series) -> pd.DataFrame:
    """A row each item that every fold knows: title, ratings, bias (mean over the folds); most rated first.

    The first fold's factors are one column each: `f0`, `f1`, ...
    """
    counts = train["item"].value_counts()
    known = [item for item in counts.index if all(item in set_ for set_ in [set(fold.items.raw) for fold in folds])]
    biases = np.mean([fold.item_rows()[0][fold.items.inner(known)] for fold in folds], axis=0)
    factors = folds[0].item_rows()[1][folds[0].items.inner(known)]
    table = pd.DataFrame({"title": [str(titles.get(item, item)) for item in known]}, index=known)
    table = table.assign(ratings=counts.loc[known].to_numpy(), bias=biases)
    return table.join(pd.DataFrame(factors, index=known, columns=[f"f{n}" for n in range(factors.shape[1])]))


def factors_of(table: pd.DataFrame) -> np.ndarray:
    """Factors (items, any) of an item table."""
    return table.filter(regex=r"^f\d+$").to_numpy()


def neighbours(table: pd.DataFrame, item: str, among: int, count: int = 5) -> list[dict[str, Any]]:
    """Items whose factors point most nearly the same way, among the most rated ones."""
    popular = table.head(among)
    factors = factors_of(popular)
    own = factors_of(table.loc[[item]])[0]
    length = np.linalg.norm(factors, axis=1) * np.linalg.norm(own)
    cosine = factors @ own / np.maximum(length, 1e-12)
    order = [place for place in np.argsort(-cosine, kind="stable") if popular.index[place] != item][:count]
    return [
        {"item": popular.index[n], "title": popular["title"].iloc[n], "cosine": round(float(cosine[n]), 4)}
        for n in order
    ]


def components(table: pd.DataFrame, among: int) -> pd.DataFrame:
    """The most rated items on the two directions in which their factors differ most: columns title, x, y."""
    popular = table.head(among)
    factors = factors_of(popular)
    centred = factors - factors.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    places = left[:, :2] * singular[:2]
    places = np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
    places = places * np.where(places[np.abs(places).argmax(axis=0), range(2)] < 0, -1, 1)  # signs mean nothing
    return pd.DataFrame({"title": popular["title"], "x": places[:, 0], "y": places[:, 1]}, index=popular.index)


def decay_curve(train: pd.DataFrame, model: RatingsModel, seed: int) -> list[dict[str, float]]:
    """RMSE on held-out rows of train for several weight decays, all else as the model has it."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(train))
    cut = int(len(train) * HELD_OUT)
    held_out, rest = train.iloc[order[:cut]], train.iloc[order[cut:]]
    seen, curve = Observations.of(rest), []
    for decay in DECAYS:
        trained = fit(seen, model.model_copy(update={"weight_decay": decay}), (seed, "decay"))
        guess = trained.predict(held_out["user"].tolist(), held_out["item"].tolist())
        curve.append({"weight_decay": decay, "rmse": round(_rmse(guess - held_out[RATING].to_numpy()), 6)})
    return curve


def served(oof: pd.DataFrame, part: str) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Who is served worst: `oof` has user, item and error. Returns a row each user (or item) of some ratings with
    its count and RMSE, the worst first; and RMSE by how many ratings they have.
    """
    grouped = oof.groupby(part)["error"]
    table = pd.DataFrame({"ratings": grouped.size(), "rmse": grouped.apply(_rmse)})
    count = oof[part].map(table["ratings"])
    edges = np.unique(np.quantile(table["ratings"], np.arange(1, GROUPS) / GROUPS))
    group = np.searchsorted(edges, count, side="left")
    by_count = []
    for number in np.unique(group):
        rows = group == number
        by_count.append(
            {
                "least": int(count[rows].min()),
                "most": int(count[rows].max()),
                "rows": int(rows.sum()),
                "rmse": round(_rmse(oof["error"][rows]), 6),
            }
        )
    some = table[table["ratings"] >= LEAST]
    return some.sort_values("rmse", ascending=False, kind="stable"), by_count


def _rmse(errors: pd.Series | np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(errors, dtype=np.float64)))))
