"""quadratic_kappa: agreement beyond chance, errors weighed by the squared distance of the codes (Cohen 1968).

Of numbers, which are grades: by the squared distance of the grades, with cut points between them that are fitted on
out-of-fold rows. 1 - (mean squared difference) / (that of all pairs of a truth and a decision).
"""

import numpy as np

from pipeline.metrics import NUMBER, ONE_OF, Metric
from pipeline.metrics.decisions import MANY, CutPoints, Decision
from pipeline.settings import Section
from pipeline.targets import TargetSpec


def quadratic_kappa(truth: np.ndarray, preds: np.ndarray) -> float:
    if preds.ndim == 1:
        return _of_grades(truth, preds.astype(np.float64))
    from sklearn.metrics import cohen_kappa_score

    codes = np.arange(preds.shape[1])
    return float(cohen_kappa_score(truth, preds.argmax(axis=1), labels=codes, weights="quadratic"))


def _of_grades(truth: np.ndarray, grades: np.ndarray) -> float:
    expected = truth.var() + grades.var() + (truth.mean() - grades.mean()) ** 2
    return float(1 - np.mean((truth - grades) ** 2) / expected) if expected > 0 else float("nan")


def _by_cut_points(options: Section, kinds: tuple[str, ...]) -> Decision | None:
    return None if NUMBER.isdisjoint(kinds) else CutPoints()


def _no_grades(options: Section, spec: TargetSpec, truth: np.ndarray) -> str | None:
    different = len(np.unique(truth))
    return f"its labels are {different} different numbers, no grades" if not spec.vocab and different > MANY else None


ENTRY = Metric(ONE_OF | NUMBER, True, False, quadratic_kappa, decision=_by_cut_points, problem=_no_grades)
