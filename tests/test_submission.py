"""The submission: the sample's rows and columns, checked before it is written; and its grade."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

from pipeline.commands.score import score, score_predictions
from pipeline.errors import RequestError, WorkFailed
from pipeline.forms import FORMS, Form
from pipeline.predictions import NO_FOLD, Predictions, TargetSpec
from pipeline.stages import submit as submitting
from pipeline.stages.data import data
from pipeline.stages.submit import check_submission, class_shifts, latest, submit
from pipeline.submission import Column, columns_of, fill_in, scored_targets
from pipeline.workspace import read_json
from tests.conftest import predict
from tests.plugged import plugged

DISEASE = TargetSpec("disease", "category", ("blast", "hispa", "normal"))
VARIETY = TargetSpec("variety", "category", ("A", "B"))
AGE = TargetSpec("age", "regression")
TAGS = TargetSpec("tags", "multilabel", ("rust", "scab"))
LABELS = Column("label", "disease")
read = partial(pd.read_csv, dtype=str, keep_default_na=False)


def certain(ids, codes, fold: int = NO_FOLD, varieties=None) -> Predictions:
    """Predictions that are 80% sure of the given classes."""
    varieties = np.zeros(len(codes), int) if varieties is None else varieties
    values = {"disease": 0.1 + 0.7 * np.eye(3)[codes], "variety": 0.2 + 0.6 * np.eye(2)[varieties]}
    return Predictions(np.array(ids), np.full(len(ids), fold), (DISEASE, VARIETY), values)


@pytest.fixture
def predicted(tiny, log):
    """The tiny competition with an ensemble that has predicted: 900 and 903 blast, 901 and 904 hispa, ..."""
    data(tiny.load(), tiny.workspace, log)
    oof = certain(list(tiny.labels), [number % 3 for number in range(24)], fold=0)
    oof.save(tiny.workspace.ensemble / "oof.parquet")
    certain(tiny.test_ids, [0, 1, 2, 0, 1, 2]).save(tiny.workspace.ensemble / "test.parquet")
    log.lines.clear()
    return tiny


def submitted(tiny, comp, log) -> pd.DataFrame:
    submit(comp, tiny.workspace, log)
    return read(tiny.workspace.submissions / latest(tiny.workspace))


def files_of(tiny) -> list[str]:
    folder = tiny.workspace.submissions
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


# What goes into each column


@pytest.mark.parametrize(
    ("overrides", "sample", "expected"),
    [
        ([], ["label"], [Column("label", "disease")]),
        (["submission.columns={}"], ["label"], [Column("label", "disease")]),  # the target's own column
        (
            ["submission.columns={}"],
            ["variety", "disease"],
            [Column("variety", "variety"), Column("disease", "disease")],
        ),
        (
            ["submission.columns={p='disease:probability/a:b', q='disease:decision'}"],
            ["q", "p"],
            [Column("q", "disease", None, "decision"), Column("p", "disease", "a:b", "probability")],
        ),
        (
            ["submission.columns={p='disease/leaf/spot', q='disease/blast'}"],
            ["q", "p"],
            [Column("q", "disease", "blast"), Column("p", "disease", "leaf/spot")],
        ),
    ],
)
def test_columns_by_the_file_or_by_name_in_the_samples_order(tiny, overrides, sample, expected):
    assert columns_of(tiny.load(*overrides), sample) == expected


@pytest.mark.parametrize(
    ("overrides", "sample", "words"),
    [
        ([], ["label", "age"], "sample's columns are label, age, and nothing to put into 'age'"),
        ([], ["answer"], "nothing to put into 'answer'; write for example columns = { answer = 'disease' }"),
        (["submission.columns={label='disease', more='variety'}"], ["label"], "it has no column 'more'"),
        (["submission.columns={}"], ["illness"], "nothing to put into 'illness'"),
    ],
)
def test_columns_that_do_not_fit_the_sample_are_refused(tiny, overrides, sample, words):
    with pytest.raises(RequestError) as caught:
        columns_of(tiny.load(*overrides), sample)
    assert words in str(caught.value)


def test_the_leaderboard_sees_the_targets_of_the_samples_columns(predicted):
    assert scored_targets(predicted.load(), predicted.workspace) == ["disease"]
    (predicted.raw / "sample_submission.csv").unlink()
    assert scored_targets(predicted.load(), predicted.workspace) == ["disease", "variety"]


def test_cells_of_every_kind_come_by_id_in_the_samples_order():
    specs = (DISEASE, AGE, TAGS)
    values = {
        "disease": np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]),
        "age": np.array([[1.5], [-3.0]]),
        "tags": np.array([[0.9, 0.8], [0.1, 0.5]]),
    }
    preds = Predictions(np.array(["a", "b"]), np.full(2, NO_FOLD), specs, values)
    sample = pd.DataFrame({"key": ["b", "a"], "label": "", "p": "", "age": "", "tags": ""})
    columns = [LABELS, Column("p", "disease", "hispa"), Column("age", "age"), Column("tags", "tags")]
    table = fill_in("key", sample, columns, preds)
    assert list(table.columns) == list(sample.columns)
    assert table["key"].tolist() == ["b", "a"]
    assert table["label"].tolist() == ["blast", "normal"]
    assert table["p"].tolist() == pytest.approx([0.3, 0.3])
    assert table["age"].tolist() == [-3.0, 1.5]
    assert table["tags"].tolist() == ["", "rust scab"]
    check_submission(table, "key", sample, columns, specs)


def test_a_sample_id_without_a_prediction_is_named(tiny):
    sample = pd.DataFrame({"image_id": ["900.png", "999.png"], "label": ""})
    with pytest.raises(WorkFailed, match=r"1 ids have no prediction: 999\.png"):
        fill_in("image_id", sample, [LABELS], certain(tiny.test_ids, [0] * 6))


def test_a_class_that_there_is_not_is_named():
    sample = pd.DataFrame({"image_id": ["a"], "p": ""})
    with pytest.raises(RequestError, match="'rust' is not a class of 'disease', which has blast, hispa, normal"):
        fill_in("image_id", sample, [Column("p", "disease", "rust")], certain(["a"], [0]))


# The check


SAMPLE = pd.DataFrame({"id": ["b", "a", "c"], "label": "", "p": "", "age": "", "tags": ""})
COLUMNS = [LABELS, Column("p", "disease", "hispa"), Column("age", "age"), Column("tags", "tags")]
GOOD = SAMPLE.assign(label=["blast", "normal", "hispa"], p=[0.0, 1.0, 0.5], age=1.5, tags=["", "rust", "scab rust"])


def checked(table: pd.DataFrame) -> None:
    check_submission(table, "id", SAMPLE, COLUMNS, (DISEASE, AGE, TAGS))


def test_a_sound_table_passes():
    checked(GOOD)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (GOOD.assign(id=["b", "a", "d"]), "ids are not the sample's"),
        (GOOD.iloc[[1, 0, 2]], "ids are not the sample's, in its order"),
        (GOOD.iloc[:2], r"ids are not .* \(2 and 3 rows\)"),
        (GOOD[["id", "p", "label", "age", "tags"]], "columns .* are not the sample's"),
        (GOOD.drop(columns="p"), "columns .* are not the sample's"),
        (GOOD.assign(extra=1), "columns .* are not the sample's"),
        (GOOD.rename(columns={"label": "Label"}), "columns .* are not the sample's"),
        (GOOD.assign(label=["blast", None, "hispa"]), "'label': 1 empty cells"),
        (GOOD.assign(p=[0.1, np.nan, np.nan]), "'p': 2 empty cells"),
        (GOOD.assign(label=["blast", "rust", "hispa"]), "'label': 'rust' is not a class of 'disease'"),
        (GOOD.assign(label=["blast", "", "hispa"]), "'label': '' is not a class of 'disease'"),
        (GOOD.assign(p=[0.1, 1.01, 0.2]), "'p': 1 values outside of 0 to 1"),
        (GOOD.assign(p=[-0.1, 0, 1.5]), "'p': 2 values outside of 0 to 1"),
        (GOOD.assign(age=[1, np.inf, 2]), "'age': values that are not finite"),
        (GOOD.assign(tags=["rust", "mold", ""]), "'tags': 'mold' is not a class of 'tags'"),
    ],
)
def test_what_the_check_refuses(table, words):
    with pytest.raises(WorkFailed, match=words):
        checked(table)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: table.assign(label="rust"),
        lambda table: table.assign(label=None),
        lambda table: table.iloc[::-1],
        lambda table: table.iloc[1:],
        lambda table: table.rename(columns={"label": "disease"}),
    ],
)
def test_a_failed_check_writes_no_file(predicted, log, monkeypatch, spoil):
    monkeypatch.setattr(submitting, "fill_in", lambda *args: spoil(fill_in(*args)))
    with pytest.raises(WorkFailed):
        submit(predicted.load(), predicted.workspace, log)
    assert files_of(predicted) == []
    assert latest(predicted.workspace) is None
    assert submitting.step(predicted.load(), predicted.workspace).state() == "missing"


# The stage


def test_the_submission_has_the_samples_rows_in_its_order(predicted, log):
    table = submitted(predicted, predicted.load(), log)
    sample = read(predicted.raw / "sample_submission.csv")
    assert list(table.columns) == ["image_id", "label"]
    assert table["image_id"].tolist() == sample["image_id"].tolist() == predicted.test_ids[::-1]
    assert table["label"].tolist() == ["normal", "hispa", "blast"] * 2
    about = read_json(predicted.workspace.submissions / latest(predicted.workspace).replace(".csv", ".json"))
    assert about["member"] == "ensemble"
    assert submit(predicted.load(), predicted.workspace, log) is False


def test_the_order_of_rows_anywhere_changes_nothing_but_the_order(predicted, log):
    first = submitted(predicted, predicted.load(), log)
    rng = np.random.default_rng(1)
    order = rng.permutation(6)
    codes = np.array([0, 1, 2, 0, 1, 2])
    certain(np.array(predicted.test_ids)[order], codes[order]).save(predicted.workspace.ensemble / "test.parquet")
    assert submit(predicted.load(), predicted.workspace, log) is False  # the very same bytes
    sample = read(predicted.raw / "sample_submission.csv").iloc[rng.permutation(6)]
    sample.to_csv(predicted.raw / "sample_submission.csv", index=False)
    second = submitted(predicted, predicted.load(), log)
    assert second["image_id"].tolist() == sample["image_id"].tolist() != first["image_id"].tolist()
    assert second.sort_values("image_id").to_numpy().tolist() == first.sort_values("image_id").to_numpy().tolist()


def test_a_file_that_may_have_been_sent_is_never_overwritten(predicted, log):
    submit(predicted.load(), predicted.workspace, log)
    first = latest(predicted.workspace)
    content = (predicted.workspace.submissions / first).read_bytes()
    sample = predicted.raw / "sample_submission.csv"
    sample.write_text(sample.read_text().replace("label", "p"))
    submit(predicted.load("submission.columns={p='disease/blast'}"), predicted.workspace, log)
    certain(predicted.test_ids, [2] * 6).save(predicted.workspace.ensemble / "test.parquet")
    submit(predicted.load("submission.columns={p='disease/blast'}"), predicted.workspace, log)
    assert (predicted.workspace.submissions / first).read_bytes() == content
    assert len([name for name in files_of(predicted) if name.endswith(".csv")]) == 3


def test_probabilities_are_written_as_numbers(predicted, log):
    sample = predicted.raw / "sample_submission.csv"
    rows = "".join(f"{name},,\n" for name in predicted.test_ids)
    sample.write_text(f"image_id,healthy,ill\n{rows}")
    comp = predicted.load("submission.columns={healthy='disease/normal', ill='disease/blast'}")
    table = submitted(predicted, comp, log).astype({"healthy": float, "ill": float})
    assert table["healthy"].tolist() == pytest.approx([0.1, 0.1, 0.8] * 2)
    assert table["ill"].tolist() == pytest.approx([0.8, 0.1, 0.1] * 2)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda tiny: (tiny.raw / "sample_submission.csv").unlink(), RequestError, "no file 'sample_submission.csv'"),
        (lambda tiny: (tiny.workspace.ensemble / "test.parquet").unlink(), WorkFailed, "no test predictions"),
        (
            lambda tiny: (tiny.raw / "sample_submission.csv").write_text("image_id,label\na,\na,\n"),
            RequestError,
            "repeats ids in column 'image_id'",
        ),
    ],
)
def test_what_is_missing_is_said(predicted, log, spoil, error, words):
    spoil(predicted)
    with pytest.raises(error, match=words):
        submit(predicted.load(), predicted.workspace, log)
    assert files_of(predicted) == []


def test_without_a_test_set_there_is_nothing_to_submit(tiny, log):
    comp = tiny.load("data={table='train.csv', id='image_id', images='train_images/{label}/{image_id}'}")
    with pytest.raises(RequestError, match="has no test set"):
        submit(comp, tiny.workspace, log)


# Shares of classes on test and out of fold


def drawn(shares, n: int, seed: int) -> Predictions:
    codes = np.random.default_rng(seed).choice(3, n, p=shares)
    return certain([f"{seed}-{row:05}" for row in range(n)], codes)


def test_a_planted_shift_is_found_and_chance_is_not():
    oof = drawn([0.6, 0.3, 0.1], 1000, 1)
    assert class_shifts([LABELS], drawn([0.6, 0.3, 0.1], 300, 2), oof) == []
    found = class_shifts([LABELS], drawn([0.6, 0.1, 0.3], 300, 3), oof)
    assert [(shift["target"], shift["class"]) for shift in found] == [("disease", "hispa"), ("disease", "normal")]
    assert found[0]["predicted"] == pytest.approx(0.1, abs=0.05)
    assert found[0]["oof"] == pytest.approx(0.3, abs=0.05)


def test_few_rows_prove_no_shift():
    assert class_shifts([LABELS], drawn([0.3, 0.4, 0.3], 5, 4), drawn([0.6, 0.3, 0.1], 1000, 1)) == []


def test_only_submitted_targets_are_compared():
    oof = certain([f"o{n}" for n in range(200)], np.arange(200) % 3, varieties=np.zeros(200, int))
    test = certain([f"t{n}" for n in range(200)], np.arange(200) % 3, varieties=np.ones(200, int))
    assert class_shifts([LABELS], test, oof) == []
    assert {shift["class"] for shift in class_shifts([Column("v", "variety")], test, oof)} == {"A", "B"}


def test_a_shift_is_warned_of_and_kept_but_the_file_is_written(predicted, log):
    ids = [f"{n}.png" for n in range(400)]
    certain(ids, np.arange(400) % 3, fold=0).save(predicted.workspace.ensemble / "oof.parquet")
    certain(predicted.test_ids, [0] * 6).save(predicted.workspace.ensemble / "test.parquet")
    monotone = certain([f"x{n}" for n in range(60)], [0] * 60)
    rows = "".join(f"{name},\n" for name in monotone.ids)
    monotone.save(predicted.workspace.ensemble / "test.parquet")
    (predicted.raw / "sample_submission.csv").write_text(f"image_id,label\n{rows}")
    assert submit(predicted.load(), predicted.workspace, log) is True
    assert "warning: disease 'blast': 100.0% of the test rows, but 33.5% of the out-of-fold rows" in log.warnings
    about = read_json(predicted.workspace.submissions / latest(predicted.workspace).replace(".csv", ".json"))
    assert {shift["class"] for shift in about["class_shifts"]} == {"blast", "hispa", "normal"}


# The grade


def solve(tiny, text: str):
    path = tiny.root / "solution.csv"
    path.write_text(text)
    return path


# predicted: blast hispa normal blast hispa normal
USAGE = """\
image_id,label,variety,Usage
903.png,hispa,A,Private
900.png,blast,A,Public
902.png,normal,B,Private
901.png,blast,B,Public
905.png,normal,A,Private
904.png,hispa,A,Private
"""


def test_accuracy_on_the_public_and_the_private_part(predicted, log):
    submit(predicted.load(), predicted.workspace, log)
    solution = solve(predicted, USAGE)
    result = score(predicted.load(), predicted.workspace, solution)
    assert result["score"] == pytest.approx(4 / 6, abs=1e-6)
    assert (result["public"], result["private"]) == (0.5, 0.75)
    assert result["targets"] == {"disease": result["score"]}
    assert (result["competition"], result["metric"]) == ("tiny", "accuracy")
    about = read_json(predicted.workspace.submissions / latest(predicted.workspace).replace(".csv", ".json"))
    assert about["scores"]["local"] == result
    rows = USAGE.splitlines()
    moved = solve(predicted, "\n".join([rows[0], *reversed(rows[1:])]) + "\n")
    assert score(predicted.load(), predicted.workspace, moved) == result


def test_rows_that_neither_leaderboard_scores_do_not_count(predicted, log):
    """Kaggle marks them Ignored, and often leaves their answers out."""
    submit(predicted.load(), predicted.workspace, log)
    ignored = USAGE.replace("902.png,normal,B,Private", "902.png,,,Ignored")
    result = score(predicted.load(), predicted.workspace, solve(predicted, ignored))
    assert (result["public"], result["private"]) == (0.5, pytest.approx(2 / 3, abs=1e-6))
    assert result["score"] == pytest.approx(3 / 5, abs=1e-6)


def test_a_metric_without_a_value_is_null_in_json(predicted, log):
    """AUC on public rows that are all of one class."""
    comp = predicted.load("metric='auc'", "submission.columns={label='disease/blast'}")
    preds = certain(predicted.test_ids, [0, 1, 2, 0, 1, 2])
    text = USAGE.replace("900.png,blast", "900.png,hispa").replace("901.png,blast", "901.png,hispa")
    result = score_predictions(comp, predicted.workspace, preds, solve(predicted, text))
    assert result["public"] is None
    assert 0 < result["private"] <= 1
    json.dumps(result, allow_nan=False)


def test_without_usage_there_are_no_parts(predicted, log):
    submit(predicted.load(), predicted.workspace, log)
    text = "\n".join(line.rsplit(",", 1)[0] for line in USAGE.splitlines())
    result = score(predicted.load(), predicted.workspace, solve(predicted, text))
    assert result["score"] == pytest.approx(4 / 6, abs=1e-6)
    assert (result["public"], result["private"]) == (None, None)


def test_predictions_are_graded_on_every_target_that_the_solution_knows(predicted):
    preds = certain(predicted.test_ids[::-1], [2, 1, 0, 2, 1, 0])
    result = score_predictions(predicted.load(), predicted.workspace, preds, solve(predicted, USAGE))
    assert result["targets"] == pytest.approx({"disease": 4 / 6, "variety": 4 / 6}, abs=1e-6)
    assert result["score"] == pytest.approx(4 / 6, abs=1e-6)
    wrong = certain(predicted.test_ids[::-1], [2, 1, 0, 2, 1, 0], varieties=np.array([1] * 6))
    result = score_predictions(predicted.load(), predicted.workspace, wrong, solve(predicted, USAGE))
    assert result["targets"]["variety"] == pytest.approx(2 / 6, abs=1e-6)
    assert result["score"] == pytest.approx(4 / 6, abs=1e-6)  # variety is not submitted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("".join(USAGE.splitlines(keepends=True)[:-1]), r"0 missing \[\], 1 unknown \['904.png'\]"),
        (USAGE + "999.png,blast,A,Private\n", r"1 missing \['999.png'\], 0 unknown"),
        (USAGE + "904.png,blast,A,Private\n", "repeats ids in column 'image_id'"),
        (USAGE.replace("905.png,normal", "905.png,rust"), "rust: not a class of 'disease'"),
        (USAGE.replace("label,variety", "colour,form"), "has no column of any target; it has colour, form"),
    ],
)
def test_a_solution_that_does_not_fit_is_refused(predicted, log, text, words):
    submit(predicted.load(), predicted.workspace, log)
    with pytest.raises(RequestError, match=words):
        score(predicted.load(), predicted.workspace, solve(predicted, text))


def test_a_given_submission_is_graded_and_checked(predicted, tmp_path):
    own, solution = tmp_path / "own.csv", solve(predicted, USAGE)
    grade = partial(score, predicted.load(), predicted.workspace, solution)
    own.write_text("label,image_id\n" + "".join(f"blast,{name}\n" for name in predicted.test_ids))
    assert grade(own)["score"] == pytest.approx(2 / 6, abs=1e-6)
    own.write_text("image_id,disease\n900.png,blast\n")
    with pytest.raises(RequestError, match="has no column 'label'; it has image_id, disease"):
        grade(own)
    own.write_text("image_id,label\n" + "".join(f"{name},Blast\n" for name in predicted.test_ids))
    with pytest.raises(RequestError, match="Blast: not a class of 'disease'"):
        grade(own)
    with pytest.raises(RequestError, match="no file at"):
        grade(tmp_path / "absent.csv")


def test_nothing_to_grade_is_said(predicted):
    with pytest.raises(RequestError, match="no known answers here; give them with --solution"):
        score(predicted.load(), predicted.workspace, None, predicted.raw / "sample_submission.csv")
    with pytest.raises(WorkFailed, match="run `pipeline submit`"):
        score(predicted.load(), predicted.workspace, solve(predicted, USAGE))


def test_probability_columns_are_graded_by_log_loss(predicted, log):
    rows = "".join(f"{name},,,\n" for name in predicted.test_ids)
    (predicted.raw / "sample_submission.csv").write_text(f"image_id,n,h,b\n{rows}")
    columns = "submission.columns={b='disease/blast', h='disease/hispa', n='disease/normal'}"
    comp = predicted.load(columns, "metric=log_loss")
    submit(comp, predicted.workspace, log)
    result = score(comp, predicted.workspace, solve(predicted, USAGE))
    assert result["score"] == pytest.approx(-(4 * np.log(0.8) + 2 * np.log(0.1)) / 6, abs=1e-5)
    answers = {line.split(",")[0]: line.split(",")[1] for line in USAGE.splitlines()[1:]}
    lines = [f"{i},{int(a == 'normal')},{int(a == 'hispa')},{int(a == 'blast')}\n" for i, a in answers.items()]
    onehot = solve(predicted, "image_id,n,h,b\n" + "".join(lines))  # as Kaggle keeps it
    assert score(comp, predicted.workspace, onehot)["score"] == result["score"]
    path = predicted.workspace.submissions / latest(predicted.workspace)
    path.write_text(path.read_text().replace("0.8", "most", 1))
    with pytest.raises(RequestError, match=r"column '.' should hold numbers, but 1 cells do not: 'most"):
        score(comp, predicted.workspace, onehot)


def test_a_regression_is_graded_by_rmse(predicted, log):
    rows = [f"{n},{d},{number}\n" for number, (n, (d, _)) in enumerate(predicted.labels.items())]
    (predicted.raw / "train.csv").write_text("image_id,label,age\n" + "".join(rows))
    sample = "".join(f"{name},\n" for name in predicted.test_ids[::-1])
    (predicted.raw / "sample_submission.csv").write_text(f"image_id,age\n{sample}")
    comp = predicted.load("targets=[{name='age', kind='regression'}]", "submission.columns={}", "metric=rmse")
    data(comp, predicted.workspace, log)
    predict(predicted, {AGE: np.arange(6.0)[:, None]})
    table = submitted(predicted, comp, log)
    assert table["age"].astype(float).tolist() == [5, 4, 3, 2, 1, 0]
    answers = "".join(f"{name},{number + 2 * (number % 2)}\n" for number, name in enumerate(predicted.test_ids))
    result = score(comp, predicted.workspace, solve(predicted, f"image_id,age\n{answers}"))
    assert result["score"] == pytest.approx(np.sqrt(2), abs=1e-6)
    with pytest.raises(RequestError, match="column 'age' should hold numbers, but 1 cells do not: 'old'"):
        score(comp, predicted.workspace, solve(predicted, f"image_id,age\n{answers}".replace(",7\n", ",old\n")))


def test_a_metric_of_probabilities_refuses_a_column_of_decisions(predicted, log):
    comp = predicted.load("metric=log_loss")
    with pytest.raises(RequestError, match=r"'log_loss' scores probabilities.*disease/CLASS"):
        submit(comp, predicted.workspace, log)
    assert not list(predicted.workspace.submissions.glob("*"))


class Ranked(Form):
    """All classes of a row, the most probable one first."""

    of_class, gives_probabilities = False, True

    def cells(self, spec, column, values):
        return np.array([" ".join(spec.vocab[code] for code in row) for row in (-values).argsort(axis=1)], dtype=object)

    def problem(self, spec, cells):
        short = [cell for cell in cells if set(cell.split()) != set(spec.vocab)]
        return f"{short[0]!r} leaves a class out" if short else None

    def read(self, spec, columns, table):
        places = [[cell.split().index(label) for label in spec.vocab] for cell in table[columns[0].name]]
        return 2.0 ** -np.array(places) / 1.75


def test_a_plug_ins_form_is_filled_checked_and_read_back(predicted, log):
    with plugged():
        FORMS.add("ranked", Ranked())
        comp = predicted.load("submission.columns={label='disease:ranked'}", "metric=log_loss")
        table = submitted(predicted, comp, log)
        assert table["label"].tolist() == ["normal blast hispa", "hispa blast normal", "blast hispa normal"] * 2
        result = score(comp, predicted.workspace, solve(predicted, USAGE))
        assert result["score"] == pytest.approx(-(4 * np.log(1 / 1.75) + 2 * np.log(0.5 / 1.75)) / 6, abs=1e-6)
        column, sample = Column("label", "disease", None, "ranked"), SAMPLE[["id", "label"]]
        with pytest.raises(WorkFailed, match="'label': 'blast' leaves a class out"):
            check_submission(sample.assign(label="blast"), "id", sample, [column], (DISEASE,))
    with pytest.raises(RequestError, match="'ranked' is not a known form; known are decision, probability"):
        predicted.load("submission.columns={label='disease:ranked'}")
