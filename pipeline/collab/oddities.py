"""What in a table of ratings may not be meant: said, or refused, before anything is trained."""

import numpy as np
import pandas as pd

from pipeline.collab.config import RATING, RatingsData
from pipeline.errors import RequestError
from pipeline.log import Log

STEPS = (1.0, 0.5, 0.25, 0.1)  # of ratings, the widest that fits is said
NEARLY = 0.99  # of the ratings on such steps: others may be slips
MANY = 3  # different ratings beside one that lies apart


def refuse_one_only(rated: pd.DataFrame, name: str) -> None:
    """Raise RequestError for ratings of one user or one item."""
    for part in ("user", "item"):
        if rated[part].nunique() < 2:
            raise RequestError(
                f"data.{part}: {name} has one {part} only ({rated[part].iloc[0]!r}); a rating is predicted "
                f"from those of other users for other items, so there must be two at least"
            )


def refuse_outside(train: pd.DataFrame, data: RatingsData) -> None:
    """Raise RequestError for ratings outside of the range that the file gives."""
    if isinstance(data.clip, list):
        outside = train[~train[RATING].between(data.clip[0], data.clip[1])]
        if len(outside):
            first = outside.iloc[0]
            raise RequestError(
                f"data.clip = {data.clip}, but {len(outside)} ratings of {data.table} lie outside, for example "
                f"{first[RATING]:g} of {first['id']}; widen the range, or correct the rows"
            )


def say_oddities(manifest: pd.DataFrame, data: RatingsData, log: Log) -> None:
    """Say which ratings there are, and what of them and of the test table is odd."""
    train, test = (manifest[manifest["split"] == split] for split in ("train", "test"))
    log.say(f"data: ratings {scale_in_words(train[RATING].to_numpy())}")
    for doubt in doubts_about_ratings(train):
        log.warn(f"data.rating: {doubt} in {data.table}")
    for part in ("user", "item"):
        unknown = ~test[part].isin(train[part])
        if len(test) and unknown.all():
            log.warn(
                f"data.test: none of the {test[part].nunique()} {part}s of {data.test} is in {data.table}; here the "
                f"first is {test[part].iloc[0]!r}, there {train[part].iloc[0]!r}; are they spelled alike?"
            )


def scale_in_words(ratings: np.ndarray) -> str:
    """From where to where, in which steps."""
    levels, step = np.unique(ratings), _step(ratings)
    steps = f"in steps of {step:g}" if step is not None else f"with {len(levels):,} different values"
    return f"{levels[0]:g} to {levels[-1]:g} {steps}"


def doubts_about_ratings(train: pd.DataFrame) -> list[str]:
    """Rows of one rating far from all others, and some between steps on which nearly all are."""
    ratings, found = train[RATING].to_numpy(), []
    levels = np.unique(ratings)
    for end, others in ((levels[-1], levels[:-1]), (levels[0], levels[1:])):
        if len(others) >= MANY and np.abs(others - end).min() > others[-1] - others[0]:
            count = int((ratings == end).sum())
            found.append(
                f"{count:,} of {len(ratings):,} ratings are {end:g}, and the others {others[0]:g} to {others[-1]:g}: "
                f"take the rows out if {end:g} stands for no answer"
            )
    for step in STEPS[:2]:
        off = train[~_on(ratings, step)]
        if len(off) <= (1 - NEARLY) * len(ratings):
            if len(off):
                slip = f"such as {off.iloc[0][RATING]:g} of {off.iloc[0]['id']}"
                found.append(f"{len(off)} of {len(ratings):,} ratings lie between steps of {step:g}, {slip}")
            break
    return found


def _step(ratings: np.ndarray) -> float | None:
    return next((step for step in STEPS if _on(ratings, step).all()), None)


def _on(ratings: np.ndarray, step: float) -> np.ndarray:
    return np.isclose(ratings / step, np.round(ratings / step), atol=1e-6)
