"""What people see: the leaderboard's metric first, its mean over the scored targets, its spread over folds."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from pipeline import freshness, tables
from pipeline.commands import status as status_command
from pipeline.log import Log
from pipeline.metrics import METRICS, or_none
from pipeline.metrics.leaderboard import Leaderboard
from pipeline.predictions import TargetSpec
from pipeline.scoring import cv_in_words, mean_of
from pipeline.vision import scored as watching
from pipeline.vision.callbacks import epoch_line
from pipeline.vision.heads import Head, JointLabels
from pipeline.vision.scored import Scored, columns_of_line
from pipeline.vision.train import _alike
from tests.command import pipeline
from tests.drawn import COLOURS, SHAPES, write_competition

COLOUR, SHAPE = TargetSpec("colour", "category", tuple(COLOURS)), TargetSpec("shape", "category", SHAPES)
AGE = TargetSpec("age", "regression")


def leaderboard(metric: str, names: Sequence[str]) -> Leaderboard:
    return Leaderboard.read(metric, dict.fromkeys(names, "binary"))


def scored_of(metric: str, targets: Sequence[str], specs: Sequence[TargetSpec], held_out: pd.DataFrame) -> Scored:
    return Scored.of(Leaderboard.read(metric, {spec.name: spec.kind for spec in specs}), targets, specs, held_out)


AUC = leaderboard("auc", "abc")


def probabilities(path: Path) -> None:
    """Have the leaderboard score the AUC of the colour: a column for each class."""
    text = path.read_text().replace('metric = "accuracy"', 'metric = "auc"')
    named = ", ".join(f'{name} = "colour/{name}"' for name in COLOURS)
    path.write_text(text.replace('colour = "colour"', named))
    sample = path.parent / "raw/sample_submission.csv"
    pd.read_csv(sample)[["image_id"]].assign(**dict.fromkeys(COLOURS, 0)).to_csv(sample, index=False)


def both_targets(path: Path) -> None:
    """Have it score the kappa of both targets, one of them with a name of its own in the sample."""
    text = path.read_text().replace('metric = "accuracy"', 'metric = "quadratic_kappa"')
    path.write_text(text.replace('colour = "colour"', 'colour = "colour", form = "shape"'))
    sample = path.parent / "raw/sample_submission.csv"
    pd.read_csv(sample).assign(form="").to_csv(sample, index=False)


def walk(folder: Path, change) -> dict:
    comp = write_competition(folder)
    change(comp)
    result = pipeline("run", comp, "--root", folder / "root")
    assert result.code == 0, result.err
    return {"comp": comp, "root": folder / "root", "out": result.out, "lines": result.err.splitlines()}


@pytest.fixture(scope="module")
def auc(tmp_path_factory) -> dict:
    return walk(tmp_path_factory.mktemp("auc"), probabilities)


@pytest.fixture(scope="module")
def kappa(tmp_path_factory) -> dict:
    return walk(tmp_path_factory.mktemp("kappa"), both_targets)


def status(walked: dict, *options: str) -> dict:
    return pipeline("status", walked["comp"], "--root", walked["root"], "--json", *options).json


def oof(walked: dict, member: str) -> pd.DataFrame:
    rows = pd.read_csv(walked["comp"].parent / "raw/train.csv", dtype=str).rename(columns={"image_id": "id"})
    return pd.read_parquet(walked["root"] / f"runs/tiny/{member}/oof.parquet").merge(rows, on="id", validate="1:1")


def colour_auc(rows: pd.DataFrame) -> float:
    return np.mean([roc_auc_score(rows["colour"] == name, rows[f"colour/{name}"]) for name in COLOURS])


def mean_kappa(rows: pd.DataFrame) -> float:
    values = []
    for target, column, vocab in (("colour", "colour", list(COLOURS)), ("shape", "form", list(SHAPES))):
        said = rows[[f"{target}/{name}" for name in vocab]].to_numpy().argmax(axis=1)
        values.append(cohen_kappa_score(rows[column].map(vocab.index), said, weights="quadratic"))
    return float(np.mean(values))


@pytest.mark.parametrize(("name", "grade"), [("auc", colour_auc), ("kappa", mean_kappa)])
def test_the_mean_and_its_spread_are_those_of_the_predictions(name, grade, request):
    walked = request.getfixturevalue(name)
    found = status(walked)
    members = {model["name"]: model["tta_mean"] for model in found["models"]} | {"ensemble": found["ensemble"]["mean"]}
    for member, mean in members.items():
        rows = oof(walked, member)
        folds = [grade(part) for _, part in rows.groupby("fold")]
        assert mean["metric"] == {"auc": "auc", "kappa": "quadratic_kappa"}[name]
        assert mean["targets"] == {"auc": ["colour"], "kappa": ["colour", "shape"]}[name]
        assert mean["folds"] == pytest.approx(folds, abs=2e-6)
        assert mean["spread"] == pytest.approx(np.std(folds, ddof=1), abs=2e-6)
        assert mean["value"] == pytest.approx(grade(rows), abs=2e-6)


def test_json_has_the_leaderboards_metric_first(auc, kappa):
    for walked, metric in ((auc, "auc"), (kappa, "quadratic_kappa")):
        found = status(walked)
        for cv in [model[key] for model in found["models"] for key in ("cv", "tta_cv")] + [found["ensemble"]["cv"]]:
            assert list(cv) == ["colour", "shape"]
            assert [list(values) for values in cv.values()] == [[metric, "error_rate", "accuracy", "log_loss"]] * 2
        rows = pipeline("run", walked["comp"], "--root", walked["root"], "--json").json["rows"]
        assert [row["tta_mean"] for row in rows[:2]] == [model["tta_mean"] for model in found["models"]]
        assert (rows[2]["tta_mean"], rows[2]["mean"]) == (found["ensemble"]["mean"], {})


def test_history_keeps_its_columns_and_has_the_leaderboards_metric_behind(auc, kappa):
    for walked, metric in ((auc, "auc"), (kappa, "quadratic_kappa")):
        history = pd.read_csv(walked["root"] / "runs/tiny/resnet/fold-0/history.csv")
        before = ["epoch", "train_loss", "valid_loss", "colour_error_rate", "shape_error_rate"]
        assert list(history.columns) == [*before, f"colour_{metric}", f"shape_{metric}", "seconds"]
    told = pd.read_csv(auc["root"] / "runs/tiny/byobnet/fold-1/history.csv")["colour_auc"].iloc[-1]
    (model,) = (model for model in status(auc)["models"] if model["name"] == "byobnet")
    assert told == pytest.approx(model["mean"]["folds"][1], abs=0.03), "the trained fold, predicted without TTA"


def test_lines_begin_with_the_leaderboards_metric(auc, kappa):
    epochs = [line for line in auc["lines"] if "  epoch " in line]
    assert len(epochs) == 8
    assert all(line.split("  ")[2].startswith("colour_auc ") for line in epochs)
    assert not any("error_rate" in line for line in auc["lines"])
    epochs = [line for line in kappa["lines"] if "  epoch " in line]
    assert all(line.split("  ")[2].startswith("mean_quadratic_kappa ") for line in epochs)
    for walked, said in ((auc, "colour auc"), (kappa, "mean quadratic_kappa")):
        (line,) = (line for line in walked["lines"] if line.startswith("predict resnet: "))
        mean = status(walked)["models"][0]["mean"]
        assert line.startswith(f"predict resnet: {said} {mean['value']:.4f} ± {mean['spread']:.4f} over 2 folds")
        assert f"; with TTA {said} " in line
        (line,) = (line for line in walked["lines"] if line.startswith("ensemble: ") and "done in" not in line)
        assert line.startswith(f"ensemble: {said} {status(walked)['ensemble']['mean']['value']:.4f} ± ")


def short(value: float) -> str:
    return f"{value:.4f}".replace("0.", ".", 1)


def test_closing_table_and_status_show_the_mean_beside_its_spread(auc, kappa):
    for walked, title in ((auc, "colour auc"), (kappa, "mean quadratic_kappa of 2 targets")):
        shown = pipeline("status", walked["comp"], "--root", walked["root"]).out
        for text in (shown, walked["out"]):
            assert f"cross-validation: {title} ± spread over 2 folds" in text
            for model in status(walked)["models"]:
                for mean in (model["mean"], model["tta_mean"]):
                    assert f"{short(mean['value'])} ± {short(mean['spread'])}" in text
            assert "error_rate" not in text
    assert "(shape)" in auc["out"]
    assert "(shape)" not in kappa["out"]


def age(walked: dict) -> None:
    """Make every metrics.json as they were before: another order, no scores of folds. The steps stay done."""
    for path in walked["root"].glob("runs/tiny/*/metrics.json"):
        metrics = json.loads(path.read_text())
        del metrics["fold_scores"]
        for kind in {"cv", "tta_cv"} & set(metrics):
            for target, values in metrics[kind].items():
                metrics[kind][target] = {name: values[name] for name in sorted(values, reverse=True)}
        path.write_text(json.dumps(metrics))
        for stamp in (path.with_name("predicted.json"), path.with_name("blended.json")):
            if stamp.is_file():
                about = json.loads(stamp.read_text())
                about["outputs"]["metrics.json"] = freshness.digest(path)
                stamp.write_text(json.dumps(about))


def test_older_metrics_are_read_without_predicting_again(kappa, monkeypatch, tmp_path):
    older = {**kappa, "root": tmp_path / "root"}
    shutil.copytree(kappa["root"], older["root"])
    before, table = status(kappa), pipeline("run", kappa["comp"], "--root", kappa["root"]).out
    age(older)
    after = status(older)
    assert set(after["stages"].values()) == {"done"}
    assert after["models"] == before["models"]
    assert [next(iter(model["cv"]["shape"])) for model in after["models"]] == ["quadratic_kappa"] * 2
    assert after["ensemble"] == before["ensemble"]
    again = pipeline("run", older["comp"], "--root", older["root"])
    assert "everything is up to date" in again.err
    assert again.out.replace(str(tmp_path), "") == table.replace(str(kappa["root"].parent), "")
    monkeypatch.setattr(status_command, "READ_UP_TO", 100)  # large predictions are left where they are
    mean = status(older)["models"][0]["mean"]
    assert (mean["value"], mean["spread"], mean["folds"]) == (before["models"][0]["mean"]["value"], None, [])
    assert "±" not in pipeline("status", older["comp"], "--root", older["root"]).out


def test_another_metric_is_not_taken_for_the_recorded_one(auc):
    found = status(auc, "--set", "metric=log_loss")
    assert found["stages"]["predict"] == "stale"
    mean = found["models"][0]["mean"]
    assert mean["value"] == found["models"][0]["cv"]["colour"]["log_loss"]
    assert (mean["folds"], mean["spread"]) == ([], None), "those that are recorded are of AUC"
    assert status(auc, "--set", "metric=macro_f1")["models"][0]["mean"] == {}, "nothing is known of it"


def test_mean_and_spread_by_hand():
    cv = {"a": {"auc": 0.9}, "b": {"auc": 0.7}, "c": {"auc": 0.1}}
    folds = {"a": [0.9, 0.8, 1.0], "b": [0.7, 0.6, 0.5], "c": [0.0, 0.0, 0.0]}
    mean = mean_of(AUC, ["a", "b"], cv, folds)
    assert mean == {"metric": "auc", "targets": ["a", "b"], "value": 0.8, "folds": [0.8, 0.7, 0.75], "spread": 0.05}
    gap = mean_of(AUC, ["a", "b"], cv, {**folds, "b": [0.7, None, 0.5]})
    assert (gap["folds"], gap["spread"]) == ([0.8, None, 0.75], pytest.approx(0.05 / np.sqrt(2), abs=1e-6))
    assert mean_of(AUC, ["a"], cv, {"a": [0.9]})["spread"] is None
    assert mean_of(AUC, ["a"], {"a": {"auc": float("nan")}}, {})["value"] is None
    assert mean_of(AUC, ["a"], {"a": {"accuracy": 1.0}}, folds) == mean_of(AUC, [], cv, folds) == {}
    assert cv_in_words(cv, mean) == "mean auc 0.8000 ± 0.0500 over 3 folds (a auc 0.9000, b auc 0.7000, c auc 0.1000)"
    alone = mean_of(AUC, ["b"], cv, {})
    assert cv_in_words(cv, alone) == "b auc 0.7000 (a auc 0.9000, c auc 0.1000)"
    assert cv_in_words({f"t{n}": {"auc": 0.5} for n in range(9)}, mean) == "mean auc 0.8000 ± 0.0500 over 3 folds"


def test_a_part_without_a_value_has_none(recwarn):
    assert or_none(lambda: METRICS["auc"].compute(np.array([1, 1]), np.array([[0.5, 0.5], [0.1, 0.9]]))) is None
    assert or_none(lambda: METRICS["quadratic_kappa"].compute(np.array([1, 1]), np.eye(2)[[1, 1]])) is None
    assert or_none(lambda: METRICS["accuracy"].compute(np.array([1, 1]), np.eye(2)[[1, 0]])) == 0.5
    assert not recwarn.list


# The epoch


class Batches:
    """A learner, as far as a metric looks at it."""

    def __init__(self, pred: torch.Tensor) -> None:
        self.pred = pred


def test_an_epochs_metric_is_that_of_all_rows_and_not_a_mean_of_batches():
    heads = [Head(SHAPE, "cross_entropy"), Head(AGE, "mse", center=50.0, scale=10.0), Head(COLOUR, "cross_entropy")]
    joint, generator = JointLabels(heads), torch.Generator().manual_seed(3)
    raw = torch.randn(30, 6, generator=generator)
    rows = pd.DataFrame({"shape": list(SHAPES) * 15, "age": 0.0, "colour": list(COLOURS) * 10})
    scored = scored_of("auc", ["colour"], [SHAPE, AGE, COLOUR], rows)
    metrics = {metric.name: metric for metric in scored.metrics(joint)}
    assert list(metrics) == ["shape_auc", "colour_auc"]
    for metric in metrics.values():
        metric.accumulate(Batches(raw))  # of an epoch before
        metric.reset()
        for first in range(0, 30, 7):
            metric.accumulate(Batches(raw[first : first + 7]))
    expected = roc_auc_score(rows["shape"] == "dot", raw[:, :2].softmax(1)[:, 1])
    assert metrics["shape_auc"].value == pytest.approx(expected)
    each = [roc_auc_score(rows["colour"] == name, raw[:, 3:].softmax(1)[:, n]) for n, name in enumerate(COLOURS)]
    assert metrics["colour_auc"].value == pytest.approx(np.mean(each))
    metrics["colour_auc"].accumulate(Batches(raw[:1]))
    assert np.isnan(metrics["colour_auc"].value), "31 predictions are not those of the 30 rows"


def test_numbers_are_scored_in_their_own_units():
    scored = scored_of("rmse", ["age"], [AGE], pd.DataFrame({"age": [40.0, 60.0]}))
    (metric,) = scored.metrics(JointLabels([Head(AGE, "mse", center=50.0, scale=10.0)]))
    metric.accumulate(Batches(torch.tensor([[-1.0], [-1.0]])))
    assert metric.value == pytest.approx(np.sqrt(200))


def test_the_error_that_is_told_already_is_not_told_twice():
    heads, rows = [Head(AGE, "mse"), Head(SHAPE, "cross_entropy")], pd.DataFrame({"age": [1.0], "shape": ["bar"]})
    scored = scored_of("mae", ["age"], [AGE, SHAPE], rows)
    assert scored.metrics(JointLabels(heads)) == []
    assert columns_of_line(heads, scored) == (("age_mae", {"age_mae": 1.0}), ["shape_error_rate"])


def test_what_would_be_felt_is_not_computed_every_epoch(monkeypatch):
    rows = pd.DataFrame({"colour": ["red", "blue"], "shape": ["bar", "dot"]})
    heads = [Head(COLOUR, "cross_entropy"), Head(SHAPE, "cross_entropy")]
    monkeypatch.setattr(watching, "SORTED", 2)
    scored = scored_of("auc", ["colour"], [COLOUR, SHAPE], rows)
    assert list(scored.truth) == ["shape"]
    assert columns_of_line(heads, scored) == (("", {}), ["colour_error_rate", "shape_auc"])
    assert set(scored_of("accuracy", ["colour"], [COLOUR, SHAPE], rows).truth) == {"colour", "shape"}
    monkeypatch.setattr(watching, "CELLS", 5)
    assert list(scored_of("accuracy", ["colour"], [COLOUR, SHAPE], rows).truth) == ["shape"]


class Said(Log):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_with_many_targets_an_epochs_line_is_their_mean_and_history_has_each():
    specs = [TargetSpec(f"finding_{n}", "binary", ("no", "yes")) for n in range(9)]
    rows = pd.DataFrame({spec.name: ["no", "yes"] for spec in specs})
    scored = scored_of("auc", [spec.name for spec in specs], specs, rows)
    heads, log = [Head(spec, "cross_entropy") for spec in specs], Said()
    say = epoch_line(log, "train m fold 1/5", 3, *columns_of_line(heads, scored))
    row = {"epoch": 0, "train_loss": 1.0, "valid_loss": 2.0, "seconds": 4.0}
    say(row | {f"finding_{n}_auc": n / 10 for n in range(9)})
    assert log.lines == ["train m fold 1/5  epoch 1/3  mean_auc 0.4000  train_loss 1.0000  valid_loss 2.0000  4.0 s"]
    assert len(scored.metrics(JointLabels(heads))) == 9


def test_epochs_from_before_a_restart_may_have_other_columns():
    rows = _alike([{"epoch": 0, "a_error_rate": 0.5, "seconds": 1.0}, {"epoch": 1, "a_auc": 0.6, "seconds": 2.0}])
    assert [list(row) for row in rows] == [["epoch", "a_error_rate", "a_auc", "seconds"]] * 2
    assert (rows[0]["a_auc"], rows[1]["a_auc"]) == ("", 0.6)


def test_a_learner_without_a_leaderboard_says_the_errors():
    assert columns_of_line([Head(AGE, "mse"), Head(SHAPE, "cross_entropy")], None) == (
        ("", {}),
        ["age_mae", "shape_error_rate"],
    )


# Tables


NAMES = ["resnet", "convnext-large-384-seed-2", "efficientnet_b4_noisy_student_ns_at_600_pixels_with_mixup", "b"]


def members(targets: int, scored: int) -> list[dict]:
    names = [f"finding_number_{n}_left" for n in range(targets)]
    rows = []
    for place, name in enumerate([*NAMES, "ensemble"]):
        cv = {target: {"auc": 0.5 + n / 20, "error_rate": 0.1} for n, target in enumerate(names)}
        each = {target: [0.8, 0.9 - place / 100] for target in names}
        mean = mean_of(leaderboard("auc", names), names[:scored], cv, each)
        plain = {"cv": {}, "mean": {}} if name == "ensemble" else {"cv": cv, "mean": mean}
        rows.append({"name": name, **plain, "tta_cv": cv, "tta_mean": mean, "seconds": 123456.0})
        rows[-1] |= dict.fromkeys(("score", "public", "private"), 0.12345) | {"test": dict.fromkeys(names, 0.3)}
    return rows


def as_status(rows: list[dict]) -> dict:
    *models, blend = rows
    return {
        "competition": "chest",
        "kind": "image",
        "stages": dict.fromkeys(
            ["data", "check", "folds", "presize", "train", "predict", "ensemble", "submit"], "done"
        ),
        "models": [{**model, "folds_done": 10, "folds": 10} for model in models],
        "ensemble": {"cv": blend["tta_cv"], "mean": blend["tta_mean"], "weights": dict.fromkeys(NAMES, 0.25)},
        "submission": None,
        "leaderboard": [
            {"date": "2024-05-06T07:08:09Z", "submission": "kernel-some-rather-long-slug-of-a-kernel-v12", "cv": 0.9}
            | {"public": 0.9, "private": 0.9, "status": "complete"}
        ],
    }


@pytest.mark.parametrize("targets", [1, 2, 9])
@pytest.mark.parametrize("scored", [1, 9])
@pytest.mark.parametrize("columns", ["80", None])
def test_tables_fit_80_columns(targets, scored, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns) if columns else monkeypatch.delenv("COLUMNS", raising=False)
    rows = members(targets, min(scored, targets))
    for part in ("score", "public"):
        score = {"metric": "auc", "score": 0.1, "public": None, "private": None} | {part: 0.1}
        tables.print_closing(rows, score)
        tables.print_status(as_status(rows))
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text, "nothing is cut off"
        assert text.index("± spread over 2 folds") < text.index("resnet") < text.index("ensemble")
        mean = rows[0]["tta_mean"]
        assert text.count(f"{short(mean['value'])} ± {short(mean['spread'])}") >= 2
        flat = "".join(text.split())
        for n in range(targets):
            assert f"finding_number_{n}_left" in flat


def test_nine_targets_have_a_row_each_and_two_have_theirs_below_the_model(capsys):
    tables.print_closing(members(9, 9), None)
    lines = capsys.readouterr().out.splitlines()
    means = [line for line in lines if "±" in line][1:]
    assert len(means) == 5, "a row a model"
    assert sum(line.startswith("finding_number_3") for line in lines) in (1, 2), "wide models are in two blocks"
    row = next(line for line in lines if line.startswith("finding_number_3"))
    assert row.split()[-1] == ".6500"
    tables.print_closing(members(2, 2), None)
    assert sum("finding_number_1" in line for line in capsys.readouterr().out.splitlines()) == 5


def test_a_wide_terminal_is_used_and_numbers_keep_their_size(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "160")
    rows = members(9, 9)
    rows[0]["mean"] = {**rows[0]["mean"], "value": 12345.678, "spread": 1.5}
    tables.print_closing(rows, None)
    text = capsys.readouterr().out
    assert NAMES[2] in text
    assert "12345.7 ± 1.5000" in text


def test_status_of_nothing_yet_is_shown(capsys):
    empty = {"cv": {}, "mean": {}, "tta_cv": {}, "tta_mean": {}}
    models = [{"name": "m", **empty, "folds_done": 0, "folds": 5, "seconds": 0.0}]
    about = as_status(members(1, 1)) | {"models": models, "ensemble": {"cv": {}, "mean": {}, "weights": {}}}
    tables.print_status(about | {"leaderboard": []})
    assert "0/5" in capsys.readouterr().out
