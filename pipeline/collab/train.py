"""Fitting rating models: ratings in, a trained model out, by the algorithm that the settings name."""

from importlib.metadata import PackageNotFoundError, version

import torch

from pipeline.collab.algorithms.base import Features, Tell
from pipeline.collab.algorithms.settings import ALGORITHMS, RatingsModel
from pipeline.collab.checkpoint import Keeper
from pipeline.collab.model import Trained, one_thread
from pipeline.collab.observations import Observations

LIBRARIES = ("pipeline", "torch", "scipy")  # whose versions are kept beside what is learned


def fit(
    seen: Observations,
    model: RatingsModel,
    seed: tuple[object, ...],
    features: Features = (None, None),
    keeper: Keeper | None = None,
    tell: Tell = lambda epoch, rmse: None,
) -> Trained:
    """Train one model. The same arguments give the same bytes, also when it goes on from a checkpoint."""
    algorithm = ALGORITHMS.get(model.method).load()()
    with one_thread(), torch.no_grad():
        learned = algorithm.fit(seen, model, seed, features, keeper or Keeper(), tell)
    about = {**learned.about, "settings": model.model_dump(mode="json"), "versions": _versions()}
    return Trained(learned.tensors, about, seen.users, seen.items, model.method)


def _versions() -> dict[str, str]:
    """Those of what is installed: on Kaggle the pipeline lies beside the notebook."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
