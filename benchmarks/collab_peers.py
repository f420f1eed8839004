"""One library on one fold, in the peers' environment: reads two CSV files, prints {"rmse", "fit_s"} as JSON.

Settings are each library's defaults, or those of its own MovieLens example where it has one.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
Result = tuple[np.ndarray, float]  # predictions of the held-out rows, seconds of fitting


def main() -> None:
    system, train, test, raw = sys.argv[1], pd.read_csv(sys.argv[2]), pd.read_csv(sys.argv[3]), Path(sys.argv[4])
    np.random.seed(0)
    preds, seconds = SYSTEMS[system](train, test, raw)
    error = np.clip(preds, train["rating"].min(), train["rating"].max()) - test["rating"]
    print(json.dumps({"rmse": float(np.sqrt(np.mean(error**2))), "fit_s": seconds}))


def surprise(name: str) -> Callable[..., Result]:
    def run(train: pd.DataFrame, test: pd.DataFrame, raw: Path) -> Result:
        import surprise as library

        reader = library.Reader(rating_scale=(1, 5))
        data = library.Dataset.load_from_df(train[["user", "item", "rating"]], reader).build_full_trainset()
        algorithm = getattr(library, name)(**({} if name == "BaselineOnly" else {"random_state": 0}))
        started = time.perf_counter()
        algorithm.fit(data)
        seconds = time.perf_counter() - started
        return np.array([algorithm.predict(u, i).est for u, i in zip(test["user"], test["item"], strict=True)]), seconds

    return run


def fastai_collab(train: pd.DataFrame, test: pd.DataFrame, raw: Path) -> Result:
    import torch
    from fastai.collab import CollabDataLoaders, collab_learner

    torch.manual_seed(0)
    loaders = CollabDataLoaders.from_df(train[["user", "item", "rating"]], bs=64, valid_pct=0.01, seed=0)
    learn = collab_learner(loaders, n_factors=50, y_range=(0, 5.5))
    started = time.perf_counter()
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(5, 5e-3, wd=0.1)
    seconds = time.perf_counter() - started
    with learn.no_bar():
        preds, _ = learn.get_preds(dl=loaders.test_dl(test[["user", "item"]]))
    return preds.numpy().ravel(), seconds


def lenskit_mf(train: pd.DataFrame, test: pd.DataFrame, raw: Path) -> Result:
    from lenskit.als import BiasedMFScorer
    from lenskit.data import ItemList, from_interactions_df

    data = from_interactions_df(train.rename(columns={"user": "user_id", "item": "item_id"}))
    scorer = BiasedMFScorer(embedding_size=50, epochs=10)
    started = time.perf_counter()
    scorer.train(data)
    seconds = time.perf_counter() - started
    preds = pd.Series(train["rating"].mean(), index=test.index)
    for user, rows in test.groupby("user"):
        scores = scorer(query=user, items=ItemList(item_ids=rows["item"].to_numpy())).scores()
        preds[rows.index] = np.where(np.isnan(scores), train["rating"].mean(), scores)
    return preds.to_numpy(), seconds


def myfm_ids(train: pd.DataFrame, test: pd.DataFrame, raw: Path) -> Result:
    import myfm
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(handle_unknown="ignore").fit(train[["user", "item"]])
    groups = [len(values) for values in encoder.categories_]
    model = myfm.MyFMRegressor(rank=10, random_seed=42)
    features = encoder.transform(train[["user", "item"]])
    started = time.perf_counter()
    model.fit(features, train["rating"].to_numpy(dtype=float), n_iter=512, n_kept_samples=500, group_shapes=groups)
    seconds = time.perf_counter() - started
    return model.predict(encoder.transform(test[["user", "item"]])), seconds


def myfm_all(train: pd.DataFrame, test: pd.DataFrame, raw: Path) -> Result:
    """Day, implicit feedback of both sides, age, sex, occupation, genres: relation blocks, as in myFM's examples."""
    import myfm
    from scipy import sparse
    from sklearn.preprocessing import OneHotEncoder

    users = pd.read_csv(raw / "u.user", sep="|", header=None, index_col=0)
    films = pd.read_csv(raw / "u.item", sep="|", header=None, index_col=0, encoding="latin-1")
    rows = sparse.csr_matrix((np.ones(len(train)), (train["user"], train["item"])), shape=(944, 1683))
    blocks = []
    for ids, seen, about in (
        (np.arange(944), rows, users.reindex(range(944))[[1, 2, 3]].assign(**{"1": lambda t: t[1] // 5})[["1", 2, 3]]),
        (np.arange(1683), rows.T.tocsr(), films.reindex(range(1683))[range(5, 24)]),
    ):
        counts = np.asarray(seen.sum(1)).ravel()
        implicit = sparse.diags(1 / np.sqrt(np.maximum(counts, 1))) @ seen
        told = OneHotEncoder(handle_unknown="ignore").fit_transform(about.astype(str).to_numpy())
        blocks.append(sparse.hstack([sparse.identity(len(ids)), implicit, told]).tocsr())
    day = OneHotEncoder(handle_unknown="ignore")
    day.fit(train[["timestamp"]] // 86400)

    def relations(part: pd.DataFrame) -> list:
        return [
            myfm.RelationBlock(part[key].tolist(), block) for key, block in zip(("user", "item"), blocks, strict=True)
        ]

    model = myfm.MyFMRegressor(rank=10, random_seed=42)
    shapes = [len(day.categories_[0]), 944, 1683, blocks[0].shape[1] - 944 - 1683]
    shapes += [1683, 944, blocks[1].shape[1] - 944 - 1683]
    started = time.perf_counter()
    times = day.transform(train[["timestamp"]] // 86400)
    y = train["rating"].to_numpy(dtype=float)
    model.fit(times, y, X_rel=relations(train), n_iter=200, n_kept_samples=180, group_shapes=shapes)
    seconds = time.perf_counter() - started
    return model.predict(day.transform(test[["timestamp"]] // 86400), relations(test)), seconds


SYSTEMS: dict[str, Callable[..., Result]] = {
    "Surprise BaselineOnly": surprise("BaselineOnly"),
    "Surprise SVD": surprise("SVD"),
    "Surprise SVD++": surprise("SVDpp"),
    "fastai collab_learner": fastai_collab,
    "LensKit BiasedMF": lenskit_mf,
    "myFM": myfm_ids,
    "myFM, all": myfm_all,
}

if __name__ == "__main__":
    main()
