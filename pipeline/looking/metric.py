"""Which metric a leaderboard of such targets and such a sample usually has: a guess, always marked as one."""

from typing import Any

from pipeline.looking.answers import Answer, Asked

MANY = 200  # classes


def metric_of(asked: Asked) -> tuple[Any, str]:
    """The metric as the file says it, and others that are as usual."""
    if all(answer.is_number for answer in asked.answers):
        return "mcrmse" if len(asked.answers) > 1 else "rmse", "of numbers; mae, rmsle, r2, ... as often"
    if len({answer.kind for answer in asked.answers}) > 1:
        return "accuracy", "targets of several kinds: the mean of those that it scores"
    if asked.form == "ranked":
        return {"name": "map_at_k", "k": asked.ranks}, "cells rank several answers"
    first = asked.answers[0]
    if asked.form == "probabilities" and len(asked.columns) == 1 and "*" not in next(iter(asked.columns)):
        return "auc", "one probability a row: or log_loss, average_precision, ..."
    return _of_probabilities(first) if asked.form == "probabilities" else _of_labels(first)


def _of_probabilities(answer: Answer) -> tuple[str, str]:
    if answer.is_tags or len(answer.classes) == 2:
        return "auc", "the sample asks for probabilities: or log_loss, average_precision, ..."
    return "multiclass_log_loss", "the sample asks for probabilities: or auc, log_loss, ..."


def _of_labels(answer: Answer) -> tuple[str, str]:
    if answer.is_tags:
        return "f1", "the sample asks for tags: or f2, micro_f1, macro_f1, ..."
    if answer.graded:
        return "quadratic_kappa", "grades: or accuracy"
    if len(answer.classes) > MANY:
        return "macro_f1", "many classes: or accuracy"
    return "accuracy", "or macro_f1, balanced_accuracy, ..."
