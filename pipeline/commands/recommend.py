"""recommend: the items that a user would rate highest, or somebody new who names a few ratings."""

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.collab.audit import titles_of
from pipeline.collab.config import RATING, RatingsCompetition
from pipeline.config import Competition, Model
from pipeline.errors import RequestError
from pipeline.jobs import chosen_models, jobs_of
from pipeline.rows import training_rows
from pipeline.stages import train as training
from pipeline.workspace import WEIGHTS, Workspace, read_json

if TYPE_CHECKING:
    from pipeline.collab.model import Trained

GIVEN = re.compile(r"\s*(.+?)\s*=\s*([^,=]+?)\s*(?:,|$)")  # titles hold commas themselves
YEAR = re.compile(r"\s*\(\d{4}\)$")


def recommend(
    comp: Competition,
    workspace: Workspace,
    user: str | None = None,
    new: str | None = None,
    only_model: str | None = None,
    top: int = 10,
) -> dict[str, Any]:
    """The `top` items with the highest predicted rating, those already rated left out.

    Returns {"competition", "model", "user", "given": [...], "rows": [{"item", "title", "rating"}]}. Predictions are
    the mean over the model's folds. Raises RequestError for users and items that are not there.
    """
    comp = need_ratings(comp, "recommend")
    if (user is None) == (new is None):
        raise RequestError('recommend needs either --user ID or --new "Title=5,Other title=3"')
    user = user or ""  # somebody new has no id
    train = training_rows(workspace)
    titles = titles_of(workspace.raw, comp.data)
    name, folds = open_model(comp, workspace, only_model)
    items = sorted(train["item"].unique())
    given: dict[str, float] = {}
    if new is not None:
        given = parse_new(new, items, titles, (train[RATING].min(), train[RATING].max()))
        folds, seen = [fold.fold_in(list(given), list(given.values())) for fold in folds], set(given)
    else:
        seen = set(train["item"][train["user"] == user])
        if not seen:
            raise _unknown(user, train)
    wanted = [item for item in items if item not in seen]
    expected = np.mean([fold.predict([user] * len(wanted), wanted) for fold in folds], axis=0)
    best = np.argsort(-expected, kind="stable")[:top]
    rows = [(wanted[place], float(expected[place])) for place in best]
    return {
        "competition": comp.slug,
        "model": name,
        "user": user or None,
        "given": [{"item": item, "title": str(titles.get(item, item)), "rating": said} for item, said in given.items()],
        "rows": [{"item": i, "title": str(titles.get(i, i)), "rating": round(value, 4)} for i, value in rows],
    }


def need_ratings(comp: Competition, verb: str) -> RatingsCompetition:
    """The competition, where it is one of ratings. Raises RequestError for another kind."""
    if not isinstance(comp, RatingsCompetition):
        raise RequestError(f"{verb} goes with rating competitions, and {comp.slug} is of kind {comp.kind!r}")
    return comp


def open_model(comp: Competition, workspace: Workspace, only: str | None) -> "tuple[str, list[Trained]]":
    """The folds of the named model, or of the one with the best cross-validation. Raises RequestError if untrained."""
    from pipeline.collab.model import load

    models = chosen_models(comp, only)
    ready = [m for m in models if all(training.step(comp, workspace, job).done() for job in jobs_of(comp, m.name))]
    if not ready:
        raise RequestError(f"no model of {comp.slug} is trained as the file says; run `pipeline run` first")
    higher_is_better = comp.leaderboard.higher_is_better
    name = comp.leaderboard.of[RATING].name

    def worth(model: Model) -> float:
        cv = (read_json(workspace.metrics(model.name)) or {}).get("cv", {}).get(RATING, {})
        value = cv.get(name)
        return -np.inf if value is None else (value if higher_is_better else -value)

    best = max(ready, key=worth)
    return best.name, [load(job.folder(workspace) / WEIGHTS) for job in jobs_of(comp, best.name)]


def parse_new(new: str, items: Sequence[str], titles: pd.Series, limits: tuple[float, float]) -> dict[str, float]:
    """Ratings by raw item id from "Title=5,Other title=3". Raises RequestError for what cannot be understood."""
    given, place = {}, 0
    while place < len(new.rstrip(" ,")):
        found = GIVEN.match(new, place)
        if found is None:
            raise RequestError(f'--new: {new[place:]!r} is not Title=rating; write "Toy Story=5,Fargo=4"')
        place = found.end()
        try:
            said = float(found[2])
        except ValueError:
            said = np.nan
        if not limits[0] <= said <= limits[1]:
            raise RequestError(f"--new: {found[1]} = {found[2]}, but ratings go from {limits[0]:g} to {limits[1]:g}")
        given[item_called(found[1], items, titles, "--new")] = said
    if not given:
        raise RequestError('--new names no rating; write "Toy Story=5,Fargo=4"')
    return given


def item_called(said: str, items: Sequence[str], titles: pd.Series, option: str) -> str:
    """The item of a title, with or without its year; or of a raw id. Raises RequestError for none or several."""
    known = {item: str(titles.get(item, item)) for item in items}
    wanted = said.casefold()
    tests = [
        lambda item, title: title.casefold() == wanted,
        lambda item, title: YEAR.sub("", title).casefold() == wanted,
        lambda item, title: item == said,
        lambda item, title: wanted in title.casefold(),
    ]
    for fits in tests:
        found = [item for item, title in known.items() if fits(item, title)]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(repr(known[item]) for item in found[:4])
            raise RequestError(f"{option}: {said!r} may be {several}{', ...' if len(found) > 4 else ''}; say which")
    near = difflib.get_close_matches(said, [YEAR.sub("", title) for title in known.values()], 3)
    hint = f"; did you mean {' or '.join(map(repr, dict.fromkeys(near)))}?" if near else ""
    raise RequestError(f"{option}: no item is called {said!r}{hint}")


def _unknown(user: str, train: pd.DataFrame) -> RequestError:
    users = train["user"].unique()
    near = difflib.get_close_matches(user, list(users), 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return RequestError(
        f"--user {user}: not among the {len(users):,} users of the data; {hint}"
        'somebody new is given by --new "Title=5,Other title=3"'
    )
