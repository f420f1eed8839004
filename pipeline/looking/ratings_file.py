"""The file of a rating competition: what was found, as lines with a comment beside each."""

from typing import Any

import pandas as pd

from pipeline.looking.draft import Draft, Head
from pipeline.looking.lines import Part
from pipeline.looking.ratings import Rated
from pipeline.looking.sample import Sample
from pipeline.looking.tables import Table


def ratings_draft(head: Head, rated: Rated, sample: Sample | None) -> Draft:
    """Everything that a file says of ratings."""
    top = head.top("ratings")
    top.add("metric", "rmse", "or mae", guess=True)
    parts = [top, head.source(), _data(rated, sample), *_sides(rated), _folds(rated), *_models(rated)]
    if sample is not None and rated.test is not None:
        parts.append(_submission(sample))
    rows = rated.table.rows
    found = [f"ratings in {rated.table.name}: {len(rows):,} rows"]
    for key in ("user", "item"):
        if key in rated.keys:
            found[0] += f", {rows[rated.keys[key]].nunique():,} {key}s"
    return Draft(parts, found)


def _data(rated: Rated, sample: Sample | None) -> Part:
    part = Part("[data]")
    header = "" if rated.table.header else "; no header, so columns are numbers"
    part.add("table", rated.table.name, f"{len(rated.table.rows):,} rows{header}", guess=not rated.table.header)
    if rated.pair is not None:
        alone = rated.keys["pair"] == rated.own_ids and rated.test is not None
        said = rated.pair if alone else {"pattern": rated.pair, "column": rated.column("pair")}
        part.add("pair", said, f"user and item in column {rated.keys['pair']}", guess=True)
    for key in ("user", "item", "rating", "timestamp"):
        if key in rated.keys:
            shown = ", ".join(rated.table.rows[rated.keys[key]].head(3))
            part.add(key, rated.column(key), shown, guess=not rated.sure)
    if rated.test is not None:
        part.add("test", rated.test.name, f"{len(rated.test.rows):,} rows to predict")
        if rated.test_columns:
            part.add("test_columns", rated.test_columns, "called otherwise there")
    keys = [column for key, column in rated.keys.items() if key != "pair"]
    if rated.test is not None and rated.own_ids is not None and rated.own_ids not in keys:
        part.add("id", rated.own_ids, "what names a row of the sample")
    return part


def _sides(rated: Rated) -> list[Part]:
    parts = []
    for key, side in (("items", rated.items), ("users", rated.users)):
        if side is None:
            continue
        part = Part(f"[data.{key}]")
        part.add("table", side.table.name, f"{len(side.table.rows):,} rows; all its columns are features")
        part.add("id", _column(side.table, side.id))
        if side.title is not None:
            part.add("title", _column(side.table, side.title))
        parts.append(part)
    return parts


def _column(table: Table, column: str) -> str | int:
    return column if table.header else int(column)


def _folds(rated: Rated) -> Part:
    part = Part("[folds]")
    part.add("n", 5 if rated.folds is None else rated.folds[1])
    if rated.folds is not None:
        part.add("files", rated.folds[0], "published folds beside the table")
    return part


def _models(rated: Rated) -> list[Part]:
    plain = Part("[[models]]", note="ids only; another entry is another member of the ensemble")
    low, high = _range(rated)
    plain.add("name", "embedding")
    plain.add("factors", 50)
    plain.add("range", [low, high], "of predictions: a little above the highest rating")
    plain.add("epochs", 5)
    plain.add("lr", 0.01)
    drawn = Part("[[models]]")
    drawn.add("name", "bayes")
    drawn.add("method", "gibbs", "the same, drawn from its posterior")
    drawn.add("factors", 12)
    drawn.add("epochs", 180)
    return [plain, drawn]


def _range(rated: Rated) -> tuple[Any, Any]:
    numbers = pd.to_numeric(rated.table.rows[rated.keys["rating"]], errors="coerce").dropna()
    low, high = float(numbers.min()), float(numbers.max())
    margin = round((high - low) * 0.1, 2)
    return _short(min(0.0, low) if low >= 0 else low - margin), _short(high + margin)


def _short(number: float) -> float | int:
    return int(number) if number == int(number) else round(number, 3)


def _submission(sample: Sample) -> Part:
    part = Part("[submission]")
    part.add("sample", sample.table.name, f"{len(sample.ids):,} rows")
    asked = list(sample.asked)
    if len(asked) == 1:
        part.add("columns", {asked[0]: "rating"})
    return part
