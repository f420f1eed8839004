"""Graders written from what the competitions publish: they refuse a file that the host refuses, or give its score.

Each is made by a function that takes the names of columns, and called with a submission and the answers as tables of
text. They know nothing of `pipeline`.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score, log_loss, r2_score, roc_auc_score

Grader = Callable[[pd.DataFrame, pd.DataFrame], float]


class RefusedSubmission(Exception):
    """The host would not take the file."""


def aligned(
    submission: pd.DataFrame, answers: pd.DataFrame, id_column: str, columns: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables by id, in one order, with those columns alone."""
    if list(submission.columns) != [id_column, *columns]:
        raise RefusedSubmission(f"columns {list(submission.columns)}, expected {[id_column, *columns]}")
    if submission[id_column].duplicated().any() or set(submission[id_column]) != set(answers[id_column]):
        raise RefusedSubmission(f"the ids in {id_column!r} are not those of the test set")
    if submission.isna().any(axis=None):
        raise RefusedSubmission("empty cells")
    truth = answers.set_index(id_column)[list(columns)]
    return submission.set_index(id_column).loc[truth.index], truth


def numbers(cells: pd.DataFrame, low: float = -np.inf, high: float = np.inf) -> np.ndarray:
    values = cells.to_numpy().astype(np.float64)
    if not np.isfinite(values).all() or (values < low).any() or (values > high).any():
        raise RefusedSubmission(f"values that are no numbers from {low} to {high}")
    return values


def of_labels(id_column: str, column: str, score: Callable[[list[str], list[str]], float]) -> Grader:
    """A class in each row, compared as text."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        found, truth = aligned(submission, answers, id_column, [column])
        return float(score(list(truth[column]), list(found[column])))

    return grade


def accuracy(id_column: str, column: str) -> Grader:
    return of_labels(id_column, column, accuracy_score)


def error(id_column: str, column: str) -> Grader:
    return of_labels(id_column, column, lambda truth, found: 1 - accuracy_score(truth, found))


def f1(id_column: str, column: str, average: str) -> Grader:
    return of_labels(id_column, column, lambda truth, found: f1_score(truth, found, average=average))


def balanced_accuracy(id_column: str, column: str) -> Grader:
    """The mean of the recall of each class that the answers hold."""

    def mean_recall(truth: list[str], found: list[str]) -> float:
        told = pd.Series(found).eq(pd.Series(truth))
        return float(told.groupby(pd.Series(truth)).mean().mean())

    return of_labels(id_column, column, mean_recall)


def quadratic_kappa(id_column: str, column: str, grades: int) -> Grader:
    """1 - sum(w O) / sum(w E): O counts pairs of ratings, E is the outer product of their histograms with O's sum."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        found, truth = aligned(submission, answers, id_column, [column])
        if not set(found[column]) <= {str(rating) for rating in range(grades)}:
            raise RefusedSubmission(f"ratings are whole numbers from 0 to {grades - 1}")
        observed = np.zeros((grades, grades))
        for one, other in zip(truth[column], found[column], strict=True):
            observed[int(one), int(other)] += 1
        expected = np.outer(observed.sum(1), observed.sum(0)) / observed.sum()
        rows, columns = np.indices(observed.shape)
        weights = (rows - columns) ** 2
        return float(1 - (weights * observed).sum() / (weights * expected).sum())

    return grade


def auc(id_column: str, *columns: str) -> Grader:
    """The mean over columns of the area under the ROC curve."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        found, truth = aligned(submission, answers, id_column, columns)
        scores, marks = numbers(found), numbers(truth, 0, 1)
        return float(np.mean([roc_auc_score(marks[:, place], scores[:, place]) for place in range(len(columns))]))

    return grade


def binary_log_loss(id_column: str, column: str) -> Grader:
    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        found, truth = aligned(submission, answers, id_column, [column])
        return float(log_loss(numbers(truth)[:, 0], numbers(found, 0, 1)[:, 0], labels=[0, 1]))

    return grade


def class_log_loss(id_column: str) -> Grader:
    """A column a class; rows are rescaled to sum to 1, then clipped to 1e-15."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        found, truth = aligned(submission, answers, id_column, [name for name in answers.columns if name != id_column])
        values = numbers(found, 0, 1)
        if (values.sum(axis=1) == 0).any():
            raise RefusedSubmission("rows without any probability")
        values = (values / values.sum(axis=1, keepdims=True)).clip(1e-15, 1 - 1e-15)
        return float(-np.log(values[numbers(truth) == 1]).mean())

    return grade


def rmse(id_column: str, column: str | Sequence[str], low: float = -np.inf, high: float = np.inf) -> Grader:
    """The root of the mean square of all differences, of several columns at once."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        found, truth = aligned(submission, answers, id_column, [column] if isinstance(column, str) else column)
        return float(np.sqrt(np.mean((numbers(found, low, high) - numbers(truth)) ** 2)))

    return grade


def tags_of(cells: pd.Series, known: set[str]) -> list[set[str]]:
    found = [set(str(cell).split()) for cell in cells]
    strange = set().union(*found) - known
    if strange:
        raise RefusedSubmission(f"labels that are none: {sorted(strange)[:3]}")
    return found


def tag_f(id_column: str, column: str, known: Sequence[str], beta: float, mean: str) -> Grader:
    """F-beta of labels between blanks: of all together ("micro"), or the mean over rows ("rows")."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        found, truth = aligned(submission, answers, id_column, [column])
        pairs = list(zip(tags_of(truth[column], set(known)), tags_of(found[column], set(known)), strict=True))
        counts = np.array([[len(own & said), len(said - own), len(own - said)] for own, said in pairs], float)
        hits, extra, missed = counts.sum(axis=0)[:, None] if mean == "micro" else counts.T
        top = (1 + beta**2) * hits
        bottom = top + beta**2 * missed + extra
        return float(np.mean(np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)))

    return grade


def tag_macro_f1(id_column: str, column: str, known: Sequence[str]) -> Grader:
    """The mean over classes of F1, 0 where a class is neither there nor said."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        found, truth = aligned(submission, answers, id_column, [column])
        marks = [
            np.array([[name in tags for name in known] for tags in tags_of(cells, set(known))])
            for cells in (truth[column], found[column])
        ]
        return float(f1_score(*marks, average="macro", zero_division=0))

    return grade


def map_at_5(id_column: str, column: str) -> Grader:
    """1 / place of the one true label among up to five words, 0 where it is none of them."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        found, truth = aligned(submission, answers, id_column, [column])
        total = 0.0
        for own, cell in zip(truth[column], found[column], strict=True):
            said = str(cell).split(" ")
            if len(said) > 5 or len(set(said)) != len(said):
                raise RefusedSubmission(f"up to five different labels; found {cell!r}")
            total += 1 / (said.index(own) + 1) if own in said else 0.0
        return total / len(truth)

    return grade


def weighted_auc(id_column: str, column: str) -> Grader:
    """ALASKA2: the part of the ROC curve's area below a true positive rate of 0.4 counts twice."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        found, truth = aligned(submission, answers, id_column, [column])
        scores, marks = numbers(found)[:, 0], numbers(truth)[:, 0]
        at = [(0.0, 0.0)]
        for limit in sorted(set(scores), reverse=True):
            above = scores >= limit
            at.append((float(above[marks == 0].mean()), float(above[marks == 1].mean())))
        total = 0.0
        for (left, low), (right, high) in pairwise(at):
            cuts: list[float] = sorted({low, high, *([0.4] if low < 0.4 < high else [])})
            for bottom, top in pairwise(cuts):  # the curve is straight here
                false = left + (right - left) * ((bottom + top) / 2 - low) / (high - low)
                total += (2 if top <= 0.4 else 1) * (top - bottom) * (1 - false)
        return total / (2 * 0.4 + 1 * 0.6)

    return grade


def weighted_r2(id_column: str, column: str, weights: dict[str, float]) -> Grader:
    """CSIRO: one R2 over all rows, each weighted by the target that its id ends in."""

    def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
        found, truth = aligned(submission, answers, id_column, [column])
        weight = [weights[str(name).rpartition("__")[2]] for name in truth.index]
        return float(r2_score(numbers(truth)[:, 0], numbers(found)[:, 0], sample_weight=weight))

    return grade
