"""One fold of a rating competition on disk: its rows in, weights and history out."""

import csv
import hashlib
import io
import shutil
import time

import pandas as pd

from pipeline.collab.features import read_features
from pipeline.collab.model import save
from pipeline.collab.train import Keeper, Observations, fit
from pipeline.fold import Fold
from pipeline.log import Log
from pipeline.workspace import write_text

LINES = 5  # about so many an epoch's line is said of a long fit


def train_rows(fold: Fold, log: Log) -> None:
    """Train one fold; after a kill it goes on from its checkpoint, to the same bytes."""
    seen, label = Observations.of(fold.train), f"train {fold.name}"
    features = (None, None)
    if fold.model.method == "gibbs" and fold.model.side:
        ids = (seen.users.raw, seen.items.raw)
        pairs = zip(ids, ("users", "items"), strict=True)
        features = tuple(read_features(fold.raw, fold.comp.data, own, name) for own, name in pairs)
    keeper = Keeper(fold.folder / "checkpoint" / "fit.safetensors", _identity(fold, features))
    every = max(1, fold.model.epochs // LINES)
    started, announced, said = time.monotonic(), 0, 0
    with log.bar(label) as progress:

        def tell(epoch: int, rmse: float) -> None:
            nonlocal announced, said
            if keeper.resumed > announced:
                announced = keeper.resumed
                log.say(f"{label}  goes on after epoch {announced}")
            if not keeper.rows or keeper.rows[-1]["epoch"] < epoch:
                keeper.rows.append({"epoch": epoch, "train_rmse": round(rmse, 6)})
            progress(epoch + 1, fold.model.epochs)
            if epoch + 1 >= said + every or epoch + 1 == fold.model.epochs:
                said = epoch + 1
                spent = time.monotonic() - started
                log.say(f"{label}  epoch {epoch + 1}/{fold.model.epochs}  train_rmse {rmse:.4f}  {spent:.1f} s")

        trained = fit(seen, fold.model, fold.seed, features, keeper, tell)
    save(fold.folder / "weights.safetensors", trained)
    write_text(fold.folder / "history.csv", _csv(keeper.rows))
    shutil.rmtree(fold.folder / "checkpoint", ignore_errors=True)


def _identity(fold: Fold, features: tuple) -> str:
    """A digest of everything that the fold is trained from."""
    said = hashlib.sha256(repr((fold.model, fold.seed)).encode())
    columns = fold.train[["user", "item", "rating", "timestamp"]]
    said.update(pd.util.hash_pandas_object(columns, index=False).to_numpy().tobytes())
    for block in features:
        said.update(b"none" if block is None else block.tobytes())
    return said.hexdigest()


def _csv(rows: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
