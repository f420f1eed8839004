"""Numbers that are learned transformed and kept in a range, grades and classes in an order, a target of each column."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.competitions import load
from pipeline.data.labels import specs_of
from pipeline.errors import RequestError
from pipeline.targets import TargetSpec
from pipeline.targets.said import Target
from pipeline.targets.transforms import TRANSFORMS
from pipeline.vision.heads import Head, JointLabels, JointLoss
from pipeline.vision.labels import labels_of
from pipeline.vision.probe import FITS
from tests.command import pipeline
from tests.drawn import picture

FILE = """\
slug = "numbers"
metric = {metric}
source.path = "{raw}"
[data]
table = "train.csv"
id = "id"
images = "images/{{id}}.png"
test = "test/{{id}}.png"
{targets}
[folds]
n = 2
[[models]]
name = "small"
arch = "test_resnet"
weights = "none"
resize = {{ size = 40, method = "squish" }}
size = 32
batch_size = 8
epochs = 2
lr = 0.01
tta = 2
"""
COLOURS = ("red", "green", "blue")
GRADES = ("none", "mild", "severe")


class Numbered:
    """24 drawn pictures with a price (by colour and shape), a grade (by colour) and an area; 9 more for test."""

    def __init__(self, folder):
        self.folder, self.raw, self.root = folder, folder / "raw", folder / "root"
        rows = []
        for number in range(33):
            place = self.raw / ("images" if number < 24 else "test")
            place.mkdir(parents=True, exist_ok=True)
            colour, shape = number % 3, number // 3 % 2
            picture(COLOURS[colour], ("bar", "dot")[shape], number).save(place / f"i{number:02}.png")
            price = round(10.0**colour * (1 + shape) + number / 100, 2)
            rows.append((f"i{number:02}", price, GRADES[colour], 20 + 10 * shape))
        table = pd.DataFrame(rows, columns=["id", "price", "grade", "Leaf area"])
        self.train, self.test = table[:24].copy(), table[24:].reset_index(drop=True)
        self.write()

    def write(self, **changes):
        self.train.assign(**changes).to_csv(self.raw / "train.csv", index=False)

    def sample(self, *columns):
        self.test[["id"]].assign(**dict.fromkeys(columns, "")).to_csv(self.raw / "sample_submission.csv", index=False)

    def file(self, targets, metric="rmse"):
        path = self.folder / "numbers.toml"
        said = metric if metric.startswith("{") else f'"{metric}"'
        path.write_text(FILE.format(raw=self.raw, targets=targets, metric=said))
        return path

    def command(self, name, targets, metric="rmse", *options):
        return pipeline(name, self.file(targets, metric), "--root", self.root, *options)

    def walk(self, targets, metric="rmse"):
        result = self.command("run", targets, metric, "--json")
        assert result.code == 0, result.err
        return result, pd.read_csv(self.root / result.json["submission"], keep_default_na=False)

    def predicted(self, name, member="small"):
        return pd.read_parquet(self.root / "runs/numbers" / member / name).set_index("id")

    def graded(self, *options):
        self.test.to_csv(self.folder / "solution.csv", index=False)
        solution = ("--solution", self.folder / "solution.csv")
        result = pipeline("score", self.folder / "numbers.toml", "--root", self.root, *solution, *options, "--json")
        assert result.code == 0, result.err
        return result.json["score"]


@pytest.fixture
def numbered(tmp_path):
    return Numbered(tmp_path)


def target(**said):
    return Target(**({"name": "price", "kind": "regression"} | said))


def spec_of(one, *labels):
    return specs_of([one], pd.DataFrame({"split": "train", one.name: list(labels)}))[0]


def head_of(one, *labels):
    spec = spec_of(one, *labels)
    return Head(spec, one.loss_name, 1.0, *spec.target_kind.label_scale(list(labels)))


# Transforms


@pytest.mark.parametrize(
    ("name", "forward", "labels"),
    [("log1p", np.log1p, (0.0, 9.0, 99.0)), ("log", np.log, (0.01, 1.0, 1000.0)), ("sqrt", np.sqrt, (0.0, 4.0, 100.0))],
)
def test_a_head_learns_the_transformed_number_and_predicts_the_number(name, forward, labels):
    head = head_of(target(transform=name), *labels)
    moved = forward(np.array(labels))
    assert (head.center, head.scale) == pytest.approx((moved.mean(), moved.std(ddof=1)))
    scaled = torch.tensor((moved - moved.mean()) / moved.std(ddof=1), dtype=torch.float32)[:, None]
    told = torch.tensor(labels)[:, None]
    assert head.term(scaled, told).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert head.term(scaled + 2, told).tolist() == pytest.approx([4, 4, 4], rel=1e-4)
    assert head.activate(scaled).flatten().tolist() == pytest.approx(labels, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_whatever_a_head_says_is_a_finite_number(name):
    head = head_of(target(transform=name), 1.0, 2.0, 1000.0)
    said = head.activate(torch.tensor([[-1e6], [0.0], [1e6]]))
    assert torch.isfinite(said).all()
    assert said[0] < said[1] < said[2]


def test_a_probe_is_fitted_to_the_transformed_number():
    x = np.linspace(0, 4, 40)[:, None]
    labels = np.expm1(1.5 * x + 0.5)
    head = head_of(target(transform="log1p"), *labels[:, 0])
    weight, bias = FITS["regression"](head, x, torch.tensor(labels), None, 0, 1)
    said = head.activate(torch.tensor(x @ weight.T + bias)).numpy()
    assert np.log1p(said) == pytest.approx(np.log1p(labels), abs=0.1)


@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_rows_without_an_answer_leave_gradients_finite(name):
    one = head_of(target(transform=name), 1.0, 2.0, 1000.0)
    preds = torch.tensor([[0.5], [0.2]], requires_grad=True)
    JointLoss(JointLabels([one], partial={0}))(preds, torch.tensor([[2.0], [float("nan")]])).backward()
    assert preds.grad is not None
    assert preds.grad[0] != 0
    assert preds.grad[1] == 0


@pytest.mark.parametrize(
    ("name", "bad", "words"),
    [
        ("log1p", -1.0, "takes numbers above -1, but 1 labels are not: -1"),
        ("log", 0.0, "takes numbers above 0, but 1 labels are not: 0"),
        ("sqrt", -0.5, "takes numbers from 0 on, but 1 labels are not: -0.5"),
    ],
)
def test_numbers_that_cannot_be_transformed_are_refused_in_data(numbered, name, bad, words):
    numbered.sample("price")
    said = f'[[targets]]\nname = "price"\nkind = "regression"\ntransform = "{name}"\n'
    numbered.write(price=numbered.train["price"].where(numbered.train["id"] != "i05", bad))
    result = numbered.command("data", said)
    assert result.code == 2
    assert f"transform = '{name}' {words}" in result.err
    assert "(ids i05)" in result.err
    numbered.write()
    assert numbered.command("data", said).code == 0


def test_all_that_is_shown_scored_and_sent_is_in_the_labels_unit(numbered):
    numbered.sample("price")
    _, sent = numbered.walk('[[targets]]\nname = "price"\nkind = "regression"\ntransform = "log1p"\n')
    oof, price = numbered.predicted("oof.parquet")["price"], numbered.train.set_index("id")["price"]
    rmse = np.sqrt(np.mean((oof.astype(float) - price[oof.index]) ** 2))
    status = pipeline("status", numbered.folder / "numbers.toml", "--root", numbered.root, "--json").json
    assert status["models"][0]["tta_cv"]["price"]["rmse"] == pytest.approx(rmse, abs=1e-4)
    history = pd.read_csv(numbered.root / "runs/numbers/small/fold-0/history.csv")
    held = numbered.predicted("fold-0/plain/oof.parquet")["price"]
    assert history["price_mae"].iloc[-1] == pytest.approx((held - price[held.index]).abs().mean(), rel=1e-3)
    folds = [pd.read_parquet(path) for path in sorted(numbered.root.glob("runs/numbers/small/fold-*/test.parquet"))]
    mean = np.mean([fold.set_index("id")["price"] for fold in folds], axis=0)
    assert numbered.predicted("test.parquet")["price"].to_numpy() == pytest.approx(mean, rel=1e-5)
    assert (oof > -1).all()
    assert numbered.graded() == pytest.approx(np.sqrt(np.mean((sent["price"] - numbered.test["price"]) ** 2)), abs=1e-4)


# The range


def test_predictions_keep_within_the_labels_or_what_is_said():
    wide = torch.tensor([[-100.0], [0.0], [100.0]])
    for one, low, high in (
        (target(clip=True), 0.1, 0.7),
        (target(clip=[0.05, 0.9]), 0.05, 0.9),
        (target(clip=True, transform="log1p"), 0.1, 0.7),
    ):
        head = head_of(one, 0.1, 0.3, 0.7)
        least, middle, most = head.activate(wide).double().flatten().tolist()
        assert (least, most) == (pytest.approx(low, abs=1e-7), pytest.approx(high, abs=1e-7))
        assert low <= least < middle < most <= high
        values = head.spec.target_kind.within(wide.numpy())
        assert low <= values.min() < values.max() <= high


def test_the_range_goes_the_road_and_labels_outside_are_refused(numbered):
    numbered.sample("price")
    said = '[[targets]]\nname = "price"\nkind = "regression"\nclip = '
    _, sent = numbered.walk(f"{said}[0.5, 201]")
    assert sent["price"].between(0.5, 201).all()
    result = numbered.command("data", f"{said}[3.0, 200.0]")
    assert result.code == 2
    count = int((~numbered.train["price"].between(3, 200)).sum())
    assert f"clip = [3, 200] keeps predictions there, but {count} labels are not: " in result.err


# Orders


GRADE = '[[targets]]\nname = "grade"\norder = ["none", "mild", "severe"]\n'


def test_grades_are_learned_as_numbers_and_sent_by_name(numbered):
    numbered.sample("grade")
    result, sent = numbered.walk(GRADE + 'kind = "regression"\n', "quadratic_kappa")
    assert "data: 'grade' has 3 classes: none 8, mild 8, severe 8" in result.err
    assert set(sent["grade"]) <= set(GRADES)
    decision = json.loads((numbered.root / "runs/numbers/ensemble/decision.json").read_text())["grade"]
    assert decision["grades"] == [0, 1, 2]
    assert len(decision["cuts"]) == 2
    numbers = numbered.predicted("test.parquet", "ensemble")["grade"]
    expected = [GRADES[np.searchsorted(decision["cuts"], float(number))] for number in numbers]
    assert sent.set_index("id")["grade"][numbers.index].tolist() == expected
    from sklearn.metrics import cohen_kappa_score

    mine = numbered.test[["id"]].assign(grade=[GRADES[number % 3 if number < 6 else 1] for number in range(9)])
    mine.to_csv(numbered.folder / "mine.csv", index=False)
    codes = {name: code for code, name in enumerate(GRADES)}
    kappa = cohen_kappa_score(numbered.test["grade"].map(codes), mine["grade"].map(codes), weights="quadratic")
    assert 0.1 < abs(kappa) < 0.9
    assert numbered.graded("--submission", numbered.folder / "mine.csv") == pytest.approx(kappa, abs=1e-5)


def test_classes_have_the_order_that_is_said(numbered):
    numbered.sample("grade")
    result, sent = numbered.walk(GRADE.replace('"severe"', '"severe", "gone"'), "quadratic_kappa")
    columns = [name for name in numbered.predicted("oof.parquet").columns if "/" in name]
    assert columns == ["grade/none", "grade/mild", "grade/severe", "grade/gone"]
    assert "1 of 4 classes have no images: gone" in result.err
    assert set(sent["grade"]) <= {*GRADES, "gone"}
    unsaid = specs_of([Target(name="grade")], pd.DataFrame({"split": "train", "grade": GRADES}))[0]
    assert unsaid.vocab == ("mild", "none", "severe")


@pytest.mark.parametrize("kind", ["category", "regression", "multilabel"])
def test_a_class_that_the_order_does_not_list_is_refused_in_data(numbered, kind):
    numbered.sample("grade")
    numbered.write(grade=numbered.train["grade"].where(numbered.train["id"] != "i07", "Mild"))
    result = numbered.command("data", f'{GRADE}kind = "{kind}"\n', "rmse" if kind == "regression" else "micro_f1")
    assert result.code == 2
    assert "target 'grade': order lists none, mild, severe, but 1 rows have others: Mild (ids i07)" in result.err


def test_a_sample_of_other_words_than_grades_is_told(numbered):
    numbered.test[["id"]].assign(grade="2").to_csv(numbered.raw / "sample_submission.csv", index=False)
    result = numbered.command("data", GRADE + 'kind = "regression"\n', "quadratic_kappa")
    assert "the sample's cells ('2') are no grades, and grades would be written" in result.err


def test_grades_are_numbers_inside_and_names_outside():
    spec = spec_of(target(order=["low", "mid", "high"]), "low", "high", "high")
    kind = spec.target_kind
    assert (spec.vocab, spec.columns) == ((), ["price"])
    assert kind.truth_of(spec, ["high", "low"]).tolist() == [2, 0]
    assert kind.decode(spec, np.array([[-3.0], [0.6], [9.0]])).tolist() == ["low", "mid", "high"]
    assert kind.label_scale(["low", "high"]) == pytest.approx((1.0, 2**0.5))
    assert kind.strata(spec, ["high", "low", "mid"]).tolist() == [2, 0, 1]
    assert kind.show(spec, torch.tensor([1.2])) == "mid"
    with pytest.raises(RequestError, match="Mid: no grade of 'price', which has low, mid, high"):
        kind.truth_of(spec, ["Mid"])


def test_numbers_in_an_order_are_the_cells_of_the_table():
    assert Target(name="a", order=[2, 0, 1]).order == ["2", "0", "1"]  # pyright: ignore[reportArgumentType]


# A target of each column


def test_a_target_of_each_column(numbered):
    numbered.sample("price", "Leaf area")
    said = '[[targets]]\ncolumns = ["price", "Leaf area"]\nkind = "regression"\nclip = true\n'
    _, sent = numbered.walk(said, "mcrmse")
    comp = load(str(numbered.folder / "numbers.toml"))
    long = [
        Target(name=name, column=column, kind="regression", clip=True)
        for name, column in (("price", "price"), ("Leaf_area", "Leaf area"))
    ]
    assert list(comp.targets) == long
    assert sent["Leaf area"].between(20, 30).all()
    assert sent["price"].between(numbered.train["price"].min(), numbered.train["price"].max()).all()
    each = [np.sqrt(np.mean((sent[name] - numbered.test[name]) ** 2)) for name in ("price", "Leaf area")]
    assert numbered.graded() == pytest.approx(np.mean(each), abs=1e-4)


# The file


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('name = "a"\ntransform = "log1p"', "transform is for targets of kind regression; this one is 'category'"),
        ('name = "a"\nclip = true', "clip is for targets of kind regression"),
        ('name = "a"\nkind = "regression"\ntransform = "log2"', "'log2'.*did you mean 'log'"),
        ('name = "a"\nkind = "regression"\nclip = [5, 1]', "is not .lowest, highest"),
        ('name = "a"\norder = ["x", "y", "x"]', "order names 'x' twice"),
        ('name = "a"\norder = ["x"]', "order"),
        ('name = "a"\norder = ["x", " y"]', "begins or ends with a blank"),
        ('name = "a"\ncolumn = ["x", "y"]\norder = ["y", "x"]', "in the order of their columns"),
        ('name = "a"\nkind = "regression"\norder = ["x", "y"]\ntransform = "log"', "have no transform"),
        ('name = "a"\nkind = "regression"\ncolumn = ["x", "y"]', r"columns = \[\.\.\.\] makes a target of each"),
        ('name = "a"\ncolumns = ["x", "y"]', "name does not go with columns"),
        ('columns = "x"', "are a list of names"),
        ('columns = ["x", "x"]', "'x' is used twice"),
    ],
)
def test_what_does_not_go_together_is_said(numbered, said, words):
    with pytest.raises(RequestError, match=words):
        load(str(numbered.file(f"[[targets]]\n{said}", "error_rate")))


def test_new_keys_are_off_and_change_no_meaning():
    plain = target()
    assert plain.options == ()
    assert spec_of(plain, 1.0, 2.0).options == ()
    settings = plain.settings()
    assert {key: settings[key] for key in ("order", "transform", "clip")} == {
        "order": None,
        "transform": None,
        "clip": False,
    }
    assert not {"order", "transform", "clip"} & settings.non_default().keys()


def test_an_order_is_met_by_each_kind_that_has_classes(numbered):
    from pipeline.vision.data_config import ImageData

    rows = pd.DataFrame({"id": ["a", "b"], "path": ["a.png", "b.png"]})
    tags = Target(name="tags", kind="multilabel", order=["x", "y"])
    data = ImageData(table="t.csv", id="id", images="{id}.png")
    table = pd.DataFrame({"tags": ["y x", "y"]})
    assert spec_of(tags, *labels_of(tags, rows, table, data)).vocab == ("x", "y")
    with pytest.raises(RequestError, match=r"order lists x, y, but 1 rows have others: z \(ids b\)"):
        labels_of(tags, rows, pd.DataFrame({"tags": ["y x", "y z"]}), data)


def test_specs_survive_their_file():
    spec = spec_of(target(clip=True, transform="log1p"), 1.0, 5.5)
    assert dict(spec.options) == {"transform": "log1p", "clip": "labels", "low": "1.0", "high": "5.5"}
    again = TargetSpec(spec.name, spec.kind, spec.vocab, tuple(json.loads(json.dumps(dict(spec.options))).items()))
    assert again == spec
