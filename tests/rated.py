"""A small rating competition with structure to find: tastes, biases, days; tables of users and items."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

USERS, ITEMS = 40, 30

FILE = """\
slug = "rated"
kind = "ratings"
source.path = "{raw}"

[data]
table = "ratings.csv"
user = "who"
item = "film"
rating = "stars"
timestamp = "when"
items = {{ table = "films.csv", id = "film", title = "title" }}
users = {{ table = "people.csv", id = "who" }}
{test}

[folds]
n = 3
{folds}

[[models]]
name = "plain"
factors = 4
epochs = 4
batch_size = 64

[[models]]
name = "drawn"
method = "gibbs"
factors = 2
epochs = 30
implicit = true
time = true
side = true
ordinal = true
"""


@dataclass
class Rated:
    """Where the competition lies, and its rows."""

    folder: Path
    rows: pd.DataFrame
    test: pd.DataFrame
    lines: dict[str, str] = field(default_factory=lambda: {"test": "", "folds": ""})

    @property
    def raw(self) -> Path:
        return self.folder / "raw"

    @property
    def file(self) -> Path:
        path = self.folder / "rated.toml"
        path.write_text(FILE.format(raw=self.raw, **self.lines))
        return path

    def write(self, rows: pd.DataFrame | None = None) -> None:
        """Write the table of ratings, ours or another."""
        (self.rows if rows is None else rows).to_csv(self.raw / "ratings.csv", index=False)


def draw_rows(seed: int = 0) -> pd.DataFrame:
    """About 700 ratings of 1 to 5 out of two hidden tastes; columns who, film, stars, when."""
    rng = np.random.default_rng(seed)
    tastes, styles = rng.normal(size=(USERS, 2)), rng.normal(size=(ITEMS, 2))
    liked = tastes @ styles.T * 0.8 + rng.normal(size=(USERS, 1)) * 0.4 + rng.normal(size=(1, ITEMS)) * 0.6
    stars = np.clip(np.round(3.2 + liked + rng.normal(size=liked.shape) * 0.4), 1, 5).astype(int)
    who, film = np.nonzero(rng.random(liked.shape) < 0.6)
    when = 880000000 + rng.integers(0, 5, len(who)) * 86400 + rng.integers(0, 90, len(who))
    rows = {"who": [f"u{n}" for n in who], "film": [f"f{n}" for n in film], "stars": stars[who, film], "when": when}
    return pd.DataFrame(rows)


def write_rated(folder: Path, seed: int = 0) -> Rated:
    """Write the competition's raw folder, with a test table of 60 rows whose answers are kept apart."""
    rows = draw_rows(seed)
    rng = np.random.default_rng(seed + 1)
    order = rng.permutation(len(rows))
    made = Rated(folder, rows.iloc[order[60:]].reset_index(drop=True), rows.iloc[order[:60]].reset_index(drop=True))
    made.raw.mkdir(parents=True)
    made.write()
    films = pd.DataFrame({"film": [f"f{n}" for n in range(ITEMS)]})
    films["title"] = [f"Film {n}, The ({1950 + n})" for n in range(ITEMS)]
    films["genres"] = ["Drama|Comedy" if n % 3 else "Drama" for n in range(ITEMS)]
    films["year"] = [1950 + n for n in range(ITEMS)]
    films.to_csv(made.raw / "films.csv", index=False)
    people = pd.DataFrame({"who": [f"u{n}" for n in range(USERS)], "age": [20 + n for n in range(USERS)]})
    people.to_csv(made.raw / "people.csv", index=False)
    made.test.drop(columns="stars").to_csv(made.raw / "asked.csv", index=False)
    made.test[["who", "film", "stars"]].to_csv(made.folder / "solution.csv", index=False)
    for fold in range(3):
        made.rows.iloc[fold::3].to_csv(made.raw / f"held{fold + 1}.csv", index=False)
    return made
