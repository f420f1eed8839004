"""Rows that answer some of the targets: each counts for those, in training, scores and folds alike."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error

from pipeline import predictions
from pipeline.data.labels import answered, known_in, priors, specs_of, strata_of, truth_of
from pipeline.errors import RequestError
from pipeline.targets import TargetSpec
from pipeline.targets.said import Target
from pipeline.vision.blocks import EncodeLabels, Sample, TensorLabels
from pipeline.vision.data_config import ImageData
from pipeline.vision.fold import heads_of, samples_of
from pipeline.vision.heads import Head, JointLabels, JointLoss
from pipeline.vision.learner import AnsweredMetric, _metric
from pipeline.vision.manifest import build_manifest
from tests.command import pipeline
from tests.drawn import COLOURS, SHAPES, picture

KIND = TargetSpec("kind", "category", ("a", "b", "c"))
SIDE = TargetSpec("side", "binary", ("l", "r"))
AGE = TargetSpec("age", "regression")
TAGS = TargetSpec("tags", "multilabel", ("x", "y"))


# From the table


def manifest_of(tmp_path: Path, table: str, *targets: Target) -> pd.DataFrame:
    (tmp_path / "t.csv").write_text(table)
    (tmp_path / "im").mkdir(exist_ok=True)
    for line in table.splitlines()[1:]:
        (tmp_path / "im" / line.partition(",")[0]).write_text("x")
    return build_manifest(tmp_path, ImageData(table="t.csv", images="im"), targets, None)


TABLE = "id,kind,age,tags,x,y\n1,a,3,,1,0\n2,,4.5,x y,,\n3,b,,x,0,0\n"
FOUR = [
    Target(name="kind"),
    Target(name="age", kind="regression"),
    Target(name="tags", kind="multilabel"),
    Target(name="both", kind="multilabel", column=["x", "y"]),
]


def test_a_blank_is_no_answer_but_for_tags(tmp_path):
    manifest = manifest_of(tmp_path, TABLE, *FOUR)
    manifest.to_parquet(tmp_path / "m.parquet")
    manifest = pd.read_parquet(tmp_path / "m.parquet")
    assert manifest["kind"].isna().tolist() == [False, True, False]
    assert manifest["age"].fillna(-1).tolist() == [3, 4.5, -1]
    assert manifest["tags"].tolist() == ["", "x y", "x"]
    assert manifest["both"].fillna("?").tolist() == ["x", "?", ""]
    kind, age, tags, both = specs_of(FOUR, manifest)
    assert (kind.vocab, both.vocab) == (("a", "b"), ("x", "y"))
    assert truth_of(kind, manifest["kind"]).tolist() == [0, -1, 1]
    assert truth_of(both, manifest["both"])[[0, 2]].tolist() == [[1, 0], [0, 0]]
    assert known_in(truth_of(age, manifest["age"])).tolist() == [True, True, False]
    assert known_in(truth_of(both, manifest["both"])).tolist() == [True, False, True]
    assert priors(kind, manifest["kind"]).tolist() == [0.5, 0.5]
    assert priors(age, manifest["age"]).tolist() == [3.75]
    assert strata_of(kind, manifest["kind"]).tolist() == [0, 2, 1]
    assert strata_of(tags, manifest["tags"]).toarray().tolist() == [[0, 0], [1, 1], [1, 0]]
    truth, values = answered(truth_of(kind, manifest["kind"]), np.eye(3))
    assert (truth.tolist(), values.tolist()) == ([0, 1], [[1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("table", "targets", "words"),
    [
        (TABLE, FOUR[:1], "'kind': 1 training rows have no label, for example 2"),
        (TABLE, FOUR[1:2], "'age': 1 training rows have no label, for example 3"),
        (TABLE.replace("4.5", ""), FOUR[:2], "targets: 1 training rows have no label of any target, for example 2;"),
        ("id,kind,age\n1,a,\n2,b,\n", FOUR[:2], "'age': no row of t.csv has an answer in age"),
        ("id,kind,x,y\n1,a,1,\n2,b,0,1\n", [FOUR[0], FOUR[3]], "neither 0 nor 1, for example '' in column 'y' of 1"),
    ],
)
def test_rows_without_any_answer_are_refused(tmp_path, table, targets, words):
    with pytest.raises(RequestError) as caught:
        manifest_of(tmp_path, table, *targets)
    assert words in str(caught.value)


# Training


def joint(*specs: TargetSpec, partial: tuple[int, ...] = ()) -> JointLabels:
    losses = {"regression": "mse"}
    heads = [Head(spec, losses.get(spec.kind, "cross_entropy"), weight=k + 0.5) for k, spec in enumerate(specs)]
    return JointLabels(heads, partial)


def encoded(labels: JointLabels, *rows: tuple) -> torch.Tensor:
    encode = EncodeLabels(labels)
    return torch.stack(
        [encode.encodes(Sample(str(k), Path("x"), row)).as_subclass(torch.Tensor) for k, row in enumerate(rows)]
    )


def shown(labels: JointLabels, row: torch.Tensor) -> list[str]:
    return list(EncodeLabels(labels).decodes(TensorLabels(row)))


ROWS = [("a", "r", 2.0, ("x",)), (None, "l", None, ("x", "y")), ("c", None, -3.0, ()), ("b", "r", 0.5, None)]


def test_a_missing_label_is_encoded_and_shown():
    codes = joint(KIND, SIDE)
    assert encoded(codes, *[row[:2] for row in ROWS]).tolist() == [[0, 4], [-1, 3], [2, -1], [1, 4]]
    assert shown(codes, encoded(codes, ROWS[1][:2])[0]) == ["?", "l"]
    mixed = joint(KIND, SIDE, AGE, TAGS)
    table = encoded(mixed, *ROWS)
    assert table.isnan().tolist() == [
        [False] * 5,
        [True, False, True, False, False],
        [False, True] + [False] * 3,
        [False] * 3 + [True] * 2,
    ]
    assert [shown(mixed, row) for row in table[1:3]] == [
        ["?", "l", "?", "x y"],
        ["c", "?", "-3", "none"],
    ]


@pytest.mark.parametrize(("specs", "columns"), [((KIND, SIDE), 2), ((KIND, SIDE, AGE, TAGS), 4)])
def test_the_loss_is_the_mean_over_the_rows_that_answer(specs, columns):
    labels = joint(*specs, partial=tuple(range(columns)))
    table = encoded(labels, *[row[:columns] for row in ROWS])
    preds = torch.randn(4, sum(labels.widths), generator=torch.Generator().manual_seed(1), requires_grad=True)
    loss = JointLoss(labels)(preds, table)
    expected = torch.zeros(())
    for number, head in enumerate(labels.heads):
        known = [k for k, row in enumerate(ROWS) if row[number] is not None]
        part = preds.split(labels.widths, dim=1)[number][known]
        expected = expected + head.weight * head.term(part, labels.labels_of(number, table)[known]).mean()
    assert torch.allclose(loss, expected)
    loss.backward()
    assert preds.grad.isfinite().all()
    assert preds.grad.split(labels.widths, dim=1)[0][1].abs().max() == 0  # no answer: nothing to learn
    assert preds.grad.split(labels.widths, dim=1)[1][1].abs().max() > 0
    each = JointLoss(labels, reduction="none")(preds, table)  # what MixUp mixes
    assert torch.allclose(each.mean(), expected)


def test_whole_rows_lose_the_same_bits_however_they_are_told():
    rows = [(*row[:1], "l", 1.0, ("x",)) for row in (ROWS[0], ROWS[2], ROWS[3])]
    whole, told = joint(KIND, SIDE, AGE, TAGS), joint(KIND, SIDE, AGE, TAGS, partial=(0, 1, 2, 3))
    table, preds = encoded(whole, *rows), torch.randn(3, sum(whole.widths))
    assert torch.equal(JointLoss(whole)(preds, table), JointLoss(told)(preds, table))


def test_a_batch_without_answers_adds_nothing():
    labels = joint(KIND, SIDE, partial=(0,))
    table = encoded(labels, (None, "l"), (None, "r"))
    preds = torch.randn(2, 5)
    alone = JointLoss(joint(KIND, SIDE))(preds, encoded(joint(KIND, SIDE), ("a", "l"), ("a", "r")))
    assert torch.allclose(
        JointLoss(labels)(preds, table) + 0.5 * torch.nn.functional.cross_entropy(preds[:, :3], torch.zeros(2).long()),
        alone,
    )


def test_the_error_of_an_epoch_counts_answers():
    labels = joint(KIND, SIDE, partial=(1,))
    metric = _metric(labels, 1)
    assert isinstance(metric, AnsweredMetric)
    metric.reset()
    assert math.isnan(metric.value)

    class Learn:
        pred = torch.tensor([[0.0, 0, 0, 9, 0], [0, 0, 0, 9, 0], [0, 0, 0, 0, 9]])

    for rows in ([("a", "l"), ("a", "r"), ("a", None)], [("a", None)] * 3, [("a", None), ("a", None), ("a", "l")]):
        Learn.yb = (encoded(labels, *rows),)
        metric.accumulate(Learn)
    assert float(metric.value) == pytest.approx(2 / 3)
    assert not isinstance(_metric(labels, 0), AnsweredMetric)


def test_samples_and_heads_know_the_gaps(tmp_path):
    rows = pd.DataFrame({"id": ["1", "2"], "path": ["a", "b"], "kind": ["a", None], "age": [math.nan, 4.0]})
    assert [sample.labels for sample in samples_of(rows, [KIND, AGE], tmp_path)] == [("a", None), (None, 4.0)]
    targets = [Target(name="kind"), Target(name="age", kind="regression")]
    more = pd.concat([rows, rows.assign(age=[6.0, 8.0])])
    assert heads_of(targets, [KIND, AGE], more)[1].center == 6.0
    assert heads_of(targets, [KIND, AGE], rows.iloc[:1])[1].center == 0.0


# The whole road

TOML = """\
slug = "gaps"
metric = "log_loss"
source.path = "{raw}"

[data]
table = "train.csv"
images = "im/{{id}}.*"
test = "test/{{id}}.*"

[[targets]]
name = "shape"
kind = "binary"

[[targets]]
name = "state"
column = ["blue", "green", "red"]

[[targets]]
name = "age"
kind = "regression"

[[targets]]
name = "tags"
kind = "multilabel"
separator = "|"

[folds]
n = 2

[[models]]
name = "m"
arch = "test_resnet"
weights = "none"
resize = {{ size = 40, method = "squish" }}
size = 32
batch_size = 16
epochs = 2
lr = 0.01
tta = 1
mixup = {mixup}

[submission]
columns = {{ bar = "shape/bar", blue = "state/blue", green = "state/green", red = "state/red", tags = "tags" }}
"""


def row_of(number: int) -> dict[str, object]:
    colour, shape = list(COLOURS)[number % 3], SHAPES[number // 3 % 2]
    marks = {name: "" if number % 5 == 1 else int(name == colour) for name in COLOURS}
    answers = {"shape": "" if number % 4 == 1 else shape, **marks, "age": "" if number % 3 == 2 else number % 7}
    return {"id": number, **answers, "tags": f"No Finding|{colour}" if number % 2 else colour}


@pytest.fixture(scope="module", params=[0.0, 0.3])
def road(request, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("gaps")
    for folder, numbers in (("im", range(36)), ("test", range(100, 112))):
        (place / "raw" / folder).mkdir(parents=True)
        for number in numbers:
            colour, shape = list(COLOURS)[number % 3], SHAPES[number // 3 % 2]
            picture(colour, shape, number).save(place / "raw" / folder / f"{number}.{'png' if number % 2 else 'bmp'}")
    pd.DataFrame([row_of(number) for number in range(36)]).to_csv(place / "raw" / "train.csv", index=False)
    columns = {"bar": 0.5, "blue": 0.3, "green": 0.3, "red": 0.4, "tags": "red"}
    sample = pd.DataFrame([{"id": number, **columns} for number in range(100, 112)])
    sample.to_csv(place / "raw" / "sample_submission.csv", index=False)
    solution = pd.DataFrame([row_of(number) for number in range(100, 112)])
    solution.to_csv(place / "solution.csv", index=False)
    (place / "gaps.toml").write_text(TOML.format(raw=place / "raw", mixup=request.param))
    result = pipeline("run", place / "gaps.toml", "--root", place / "root")
    assert result.code == 0, result.err
    assert "data: 9 of 36 images have no 'shape'; they count for other targets" in result.err
    return place


def test_scores_are_over_the_rows_that_answer(road):
    rows = pd.read_csv(road / "raw" / "train.csv", dtype={"id": str}).set_index("id")
    oof = predictions.load(road / "root/runs/gaps/m/oof.parquet")
    cv = json.loads((road / "root/runs/gaps/m/metrics.json").read_text())["tta_cv"]
    rows = rows.loc[oof.ids]
    known = rows["shape"].notna().to_numpy()
    assert 0 < known.sum() < len(rows)
    guess = oof.values["shape"][known, 1] > 0.5
    assert cv["shape"]["accuracy"] == pytest.approx(accuracy_score(rows["shape"][known] == "dot", guess), abs=1e-6)
    known = rows["blue"].notna().to_numpy()
    codes = rows.loc[known, list(COLOURS)].to_numpy().argmax(axis=1)
    assert cv["state"]["log_loss"] == pytest.approx(log_loss(codes, oof.values["state"][known]), abs=1e-5)
    known = rows["age"].notna().to_numpy()
    found = mean_absolute_error(rows["age"][known], oof.values["age"][known, 0])
    assert cv["age"]["mae"] == pytest.approx(found, abs=1e-6)
    assert oof.spec("tags").vocab == ("No Finding", "blue", "green", "red")


def test_a_solution_may_have_gaps_too(road):
    args = ("--root", road / "root", "--solution", road / "solution.csv", "--json")
    result = pipeline("score", road / "gaps.toml", *args)
    assert result.code == 0, result.err
    sent = next((road / "root/submissions/gaps").glob("*.csv"))
    table, truth = pd.read_csv(sent, dtype={"id": str}), pd.read_csv(road / "solution.csv")
    known = truth["shape"].notna()
    expected = log_loss(truth["shape"][known] == "bar", table["bar"][known])
    assert result.json["targets"]["shape"] == pytest.approx(expected, abs=1e-5)
    known = truth["blue"].notna()
    expected = log_loss(truth.loc[known, list(COLOURS)].to_numpy().argmax(axis=1), table.loc[known, list(COLOURS)])
    assert result.json["targets"]["state"] == pytest.approx(expected, abs=1e-5)
    assert set(table["tags"].str.split("|").explode()) <= {"No Finding", *COLOURS}
    assert table["tags"].notna().all()


def test_what_was_made_is_up_to_date(road):
    result = pipeline("run", road / "gaps.toml", "--root", road / "root")
    assert (result.code, "done in" in result.err) == (0, False)
