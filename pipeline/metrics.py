"""The metrics that a leaderboard may score, each on one target's predictions.

For a category or binary target `truth` is int codes (n,) and `preds` probabilities (n, classes); for a
multilabel target both are (n, classes); for a regression target both are (n,). scikit-learn computes them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ONE_OF = frozenset({"category", "binary"})


@dataclass(frozen=True)
class Metric:
    """A number for predictions against truth, and which way it gets better."""

    kinds: frozenset[str]
    higher_is_better: bool
    needs_probabilities: bool
    compute: Callable[[np.ndarray, np.ndarray], float]

    def gain(self, truth: np.ndarray, preds: np.ndarray) -> float:
        """The metric turned so that more is better, for choosing weights."""
        value = self.compute(truth, preds)
        return value if self.higher_is_better else -value


def _accuracy(truth: np.ndarray, preds: np.ndarray) -> float:
    return float((preds.argmax(axis=1) == truth).mean())


def _log_loss(truth: np.ndarray, preds: np.ndarray) -> float:
    chosen = preds[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.clip(chosen, 1e-15, 1)).mean())


def _macro_f1(truth: np.ndarray, preds: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(truth, preds.argmax(axis=1), average="macro", zero_division=0))


def _balanced_accuracy(truth: np.ndarray, preds: np.ndarray) -> float:
    decided = preds.argmax(axis=1)
    return float(np.mean([(decided[truth == code] == code).mean() for code in np.unique(truth)]))


def _quadratic_kappa(truth: np.ndarray, preds: np.ndarray) -> float:
    from sklearn.metrics import cohen_kappa_score

    codes = np.arange(preds.shape[1])
    return float(cohen_kappa_score(truth, preds.argmax(axis=1), labels=codes, weights="quadratic"))


def _auc(truth: np.ndarray, preds: np.ndarray) -> float:
    """Area under the ROC curve: of class 1 for binary, else the mean of one class against the rest."""
    from sklearn.metrics import roc_auc_score

    onehot = truth if truth.ndim == 2 else np.eye(preds.shape[1])[truth]
    if truth.ndim == 1 and preds.shape[1] == 2:
        onehot, preds = onehot[:, 1:], preds[:, 1:]
    mixed = [c for c in range(onehot.shape[1]) if 0 < onehot[:, c].sum() < len(onehot)]
    return float(np.mean([roc_auc_score(onehot[:, c], preds[:, c]) for c in mixed])) if mixed else float("nan")


def _micro_f1(truth: np.ndarray, preds: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(truth, preds > 0.5, average="micro", zero_division=0))


def _label_accuracy(truth: np.ndarray, preds: np.ndarray) -> float:
    return float(((preds > 0.5) == (truth > 0.5)).mean())


def _binary_log_loss(truth: np.ndarray, preds: np.ndarray) -> float:
    p = np.clip(preds.astype(np.float64), 1e-15, 1 - 1e-15)
    return float(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean())


METRICS: dict[str, Metric] = {
    "accuracy": Metric(ONE_OF, True, False, _accuracy),
    "error_rate": Metric(ONE_OF, False, False, lambda truth, preds: 1 - _accuracy(truth, preds)),
    "log_loss": Metric(ONE_OF, False, True, _log_loss),
    "macro_f1": Metric(ONE_OF, True, False, _macro_f1),
    "balanced_accuracy": Metric(ONE_OF, True, False, _balanced_accuracy),
    "quadratic_kappa": Metric(ONE_OF, True, False, _quadratic_kappa),
    "auc": Metric(ONE_OF | {"multilabel"}, True, True, _auc),
    "micro_f1": Metric(frozenset({"multilabel"}), True, False, _micro_f1),
    "label_accuracy": Metric(frozenset({"multilabel"}), True, False, _label_accuracy),
    "mean_log_loss": Metric(frozenset({"multilabel"}), False, True, _binary_log_loss),
    "rmse": Metric(frozenset({"regression"}), False, False, lambda t, p: float(np.sqrt(np.mean((t - p) ** 2.0)))),
    "mae": Metric(frozenset({"regression"}), False, False, lambda t, p: float(np.mean(np.abs(t - p)))),
}

STANDARD: dict[str, tuple[str, ...]] = {
    "category": ("error_rate", "accuracy", "log_loss"),
    "binary": ("error_rate", "accuracy", "log_loss"),
    "multilabel": ("label_accuracy", "micro_f1", "mean_log_loss"),
    "regression": ("rmse", "mae"),
}


def reported(kind: str, leaderboard: str) -> list[str]:
    """The metrics shown for a target of this kind: the standard ones, then the leaderboard's if it fits."""
    names = list(STANDARD[kind])
    if leaderboard not in names and kind in METRICS[leaderboard].kinds:
        names.append(leaderboard)
    return names
