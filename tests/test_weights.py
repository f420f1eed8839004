"""A weight for each training row: read, refused, and what it does to the loss and to a trained fold."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.mixup import MixUp

from pipeline.competitions import load
from pipeline.errors import RequestError
from pipeline.targets import TargetSpec
from pipeline.targets.said import Target
from pipeline.vision.blocks import EncodeLabels, Sample, TensorLabels
from pipeline.vision.data_config import ImageData, Joined
from pipeline.vision.fold import samples_of
from pipeline.vision.heads import Head, JointLabels, JointLoss
from pipeline.vision.linear import fit_classes, fit_numbers, fit_tags
from pipeline.vision.manifest import build_manifest
from pipeline.vision.weights import WEIGHT
from tests.command import pipeline
from tests.drawn import write_competition

KIND = TargetSpec("kind", "category", ("a", "b", "c"))
AGE = TargetSpec("age", "regression")
HEADS = [Head(KIND, "cross_entropy"), Head(AGE, "mse", 0.5)]
TABLE = "id,kind,w\n1,a,1\n2,b,0\n3,b,2.5\n"


def manifest_of(folder: Path, table: str, weight: str | None) -> pd.DataFrame:
    (folder / "t.csv").write_text(table)
    (folder / "im").mkdir(exist_ok=True)
    for line in table.splitlines()[1:]:
        (folder / "im" / line.partition(",")[0]).write_text("x")
    return build_manifest(folder, ImageData(table="t.csv", images="im", weight=weight), [Target(name="kind")], None)


def test_the_manifest_has_weights_only_where_they_are_said(tmp_path):
    assert manifest_of(tmp_path, TABLE, "w")[WEIGHT].tolist() == [1, 0, 2.5]
    assert WEIGHT not in manifest_of(tmp_path, TABLE, None)


@pytest.mark.parametrize(
    ("table", "weight", "words"),
    [
        (TABLE.replace("2.5", ""), "w", "1 cells of column 'w' of t.csv are no numbers from 0 up: blank in line 4;"),
        (TABLE.replace(",1\n", ",-1\n").replace(",0\n", ",nan\n"), "w", "2 cells .* -1 in line 2, nan in line 3;"),
        (TABLE.replace(",1\n", ",1\n1,a,1\n").replace("2.5", "x"), "w", "x in line 5"),
        (TABLE.replace("2.5", "0").replace(",1\n", ",0\n"), "w", "is 0 in every row"),
        (TABLE, "weights", "data.weight: t.csv has no column 'weights'"),
    ],
)
def test_cells_that_are_no_weights_are_refused_with_their_lines(tmp_path, table, weight, words):
    with pytest.raises(RequestError, match=words):
        manifest_of(tmp_path, table, weight)


def test_weights_of_a_joined_table(tmp_path):
    (tmp_path / "w.csv").write_text("id,w\n3,0.5\n1,2\n2,1\n")
    table = "id,kind\n1,a\n2,b\n3,b\n"
    manifest_of(tmp_path, table, None)
    data = ImageData(table="t.csv", images="im", weight="w", tables=[Joined(table="w.csv")])
    assert build_manifest(tmp_path, data, [Target(name="kind")], None)[WEIGHT].tolist() == [2, 1, 0.5]
    (tmp_path / "w.csv").write_text("id,w\n3,half\n1,2\n")
    with pytest.raises(RequestError, match=r"2 cells of column .w. of t\.csv .*: blank of 2, half of 3;"):
        build_manifest(tmp_path, data, [Target(name="kind")], None)


def test_a_weight_needs_a_table():
    with pytest.raises(ValueError, match=r"data.table, and there is none"):
        ImageData(weight="w")


def labels_of(rows: list[tuple], weights: list[float], weighted: bool = True) -> tuple[JointLabels, torch.Tensor]:
    joint = JointLabels(HEADS, [k for k in range(2) if any(row[k] is None for row in rows)], weighted)
    encode = EncodeLabels(joint)
    samples = [
        Sample(str(n), Path("x"), row, weight) for n, (row, weight) in enumerate(zip(rows, weights, strict=True))
    ]
    return joint, torch.stack([encode.encodes(sample).as_subclass(torch.Tensor) for sample in samples])


FULL = [("a", 1.0), ("b", 2.0), ("c", -1.0)]
GAPS = [("a", None), ("b", 2.0), (None, -1.0)]


@pytest.mark.parametrize("rows", [FULL, GAPS])
def test_the_loss_of_a_batch_is_the_weighted_mean_over_the_rows_that_answer(rows):
    preds = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weights = torch.tensor([2.0, 0.0, 0.5])
    joint, labels = labels_of(rows, weights.tolist())
    expected = torch.zeros(())
    for number, part in enumerate(preds.split(joint.widths, dim=1)):
        known = torch.tensor([row[number] is not None for row in rows])
        own = joint.labels_of(number, labels)
        term = HEADS[number].term(part[known], own[known])
        expected = expected + HEADS[number].weight * (weights[known] * term).sum() / weights[known].sum()
    loss = JointLoss(joint)(preds, labels)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert preds.grad is not None
    assert preds.grad[1].abs().sum() == 0  # the row that weighs 0
    assert preds.grad[[0, 2]].abs().sum() > 0


def test_a_batch_in_which_no_row_counts_has_no_loss():
    preds = torch.randn(3, 4, requires_grad=True)
    loss = JointLoss(labels_of(FULL, [0.0, 0.0, 0.0])[0])(preds, labels_of(FULL, [0.0, 0.0, 0.0])[1])
    loss.backward()
    assert loss == 0
    assert preds.grad is not None
    assert preds.grad.abs().sum() == 0


@pytest.mark.parametrize("rows", [FULL, GAPS])
def test_weights_of_one_are_as_none_to_the_last_bit(rows):
    preds = torch.randn(3, 4)
    for reduction in ("mean", "none"):
        with_them, without = (
            JointLoss(joint, reduction)(preds, labels)
            for joint, labels in (labels_of(rows, [1.0] * 3), labels_of(rows, [1.0] * 3, weighted=False))
        )
        assert torch.equal(with_them, without)


def test_mixup_mixes_weights_with_losses():
    joint, labels = labels_of(FULL, [2.0, 0.0, 0.5])
    preds, order, share = torch.randn(3, 4), torch.tensor([1, 2, 0]), torch.tensor([0.3, 0.8, 0.6])
    mix, loss = MixUp(0.4), JointLoss(joint)
    given = {"learn": SimpleNamespace(training=True), "old_lf": loss, "yb1": (labels[order],), "lam": share}
    for name, value in given.items():
        setattr(mix, name, value)
    term = sum(
        head.weight * head.term(part, joint.labels_of(n, labels))
        for n, (head, part) in enumerate(zip(HEADS, preds.split(joint.widths, dim=1), strict=True))
    )
    other = sum(
        head.weight * head.term(part, joint.labels_of(n, labels[order]))
        for n, (head, part) in enumerate(zip(HEADS, preds.split(joint.widths, dim=1), strict=True))
    )
    weights = labels[:, -1]
    expected = (share * weights * term + (1 - share) * weights[order] * other).sum() / weights.sum()
    torch.testing.assert_close(mix.lf(preds, labels), expected)


def test_weights_stay_out_of_what_people_see():
    joint, labels = labels_of(FULL, [2.0, 0.0, 0.5])
    shown = EncodeLabels(joint).decodes(TensorLabels(labels[1]))
    assert list(shown) == list(EncodeLabels(JointLabels(HEADS)).decodes(TensorLabels(labels[1, :-1])))
    assert JointLoss(joint).decodes(torch.randn(3, 4)).shape == (3, 2)


def test_held_out_rows_count_alike(tmp_path):
    rows = manifest_of(tmp_path, TABLE, "w")
    assert [sample.weight for sample in samples_of(rows, [KIND], tmp_path)] == [1, 1, 1]
    assert [sample.weight for sample in samples_of(rows, [KIND], tmp_path, weighted=True)] == [1, 0, 2.5]


def road(folder: Path, weights: list[str] | None, *more: str) -> Path:
    path = write_competition(folder)
    text = path.read_text()
    if weights is not None:
        table = folder / "raw" / "train.csv"
        head, *lines = table.read_text().splitlines()
        cells = [f"{line},{weights[n % len(weights)]}" for n, line in enumerate(lines)]
        table.write_text("\n".join([f"{head},w", *cells]) + "\n")
        text = text.replace('test = "test_images"', 'test = "test_images"\nweight = "w"')
    path.write_text(text)
    for stage in ("data", "check", "folds", "train"):
        done = pipeline(stage, path, "--root", folder, *(["--model", "resnet", *more] if stage == "train" else []))
        assert done.code == 0, done.err
    return folder / "runs" / "tiny" / "resnet" / "fold-0"


def test_weights_of_one_train_the_same_bytes_and_others_do_not(tmp_path):
    folders = [road(tmp_path / name, weights) for name, weights in (("no", None), ("one", ["1"]), ("two", ["1", "3"]))]
    without, ones, mixed = ((folder / "weights.safetensors").read_bytes() for folder in folders)
    assert without == ones
    assert without != mixed


def test_a_fold_without_a_row_that_counts_is_refused(tmp_path):
    path = write_competition(tmp_path)
    table = tmp_path / "raw" / "train.csv"
    head, *lines = table.read_text().splitlines()
    rows = [f"{line},{int(n < 24)},{n // 24}" for n, line in enumerate(lines)]
    table.write_text("\n".join([f"{head},w,part", *rows]) + "\n")
    text = path.read_text().replace('test = "test_images"', 'test = "test_images"\nweight = "w"')
    path.write_text(text.replace("n = 2", 'n = 2\ncolumn = "part"', 1))
    assert [pipeline(stage, path, "--root", tmp_path).code for stage in ("data", "check")] == [0, 0]
    done = pipeline("folds", path, "--root", tmp_path)
    assert done.code == 2
    assert "data.weight: all rows to train fold 1 on have the weight 0" in done.err


def test_a_column_of_weights_is_off_by_default(tmp_path):
    comp = load(str(write_competition(tmp_path)))
    assert comp.data.settings(comp).defaults["weight"] is None


@pytest.mark.parametrize("kind", ["classes", "tags", "numbers"])
def test_a_probe_is_fitted_by_weights(kind):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(40, 3))
    signal = x[:, 0] + generator.normal(size=40) > 0
    tags = np.column_stack([signal, ~signal]).astype(float)
    y = {"classes": signal.astype(int), "tags": tags, "numbers": 2.0 * x[:, 0] + generator.normal(size=40)}[kind]
    fits = {
        "classes": lambda x, y, w: fit_classes(x, y, 2, 0, 1, w),
        "tags": lambda x, y, w: fit_tags(x, y, 0, 1, w),
        "numbers": lambda x, y, w: fit_numbers(x, y, 0, 1, w),
    }
    plain = fits[kind](x, y, None)
    ones = fits[kind](x, y, np.full(len(x), 3.0))
    assert np.allclose(plain.weight, ones.weight)
    bad = 1 - y if kind != "numbers" else -y
    both = fits[kind](np.concatenate([x, x[:7]]), np.concatenate([y, bad[:7]]), np.r_[np.ones(40), np.zeros(7)])
    assert np.array_equal(both.weight, ones.weight)  # rows of weight 0 are as good as not there
    doubled = fits[kind](x, y, np.r_[np.full(20, 5.0), np.ones(20)])
    assert not np.allclose(doubled.weight, plain.weight)
