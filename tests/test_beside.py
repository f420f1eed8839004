"""Pictures and columns together on the road: what each alone can know, what both know, and what a blend adds."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

from pipeline import Project, competitions, predictions
from pipeline.blending import blend
from pipeline.commands.infer import infer
from pipeline.errors import RequestError, WorkFailed
from pipeline.kaggle.manifest import Entry
from pipeline.predictions import Predictions
from pipeline.registry import PlugIn, forget
from pipeline.rows import training_rows
from pipeline.vision.embedding import Beside, MixUpBeside
from pipeline.vision.encoding import Features, NumberFeature, WordFeature
from pipeline.vision.header import read_header
from pipeline.vision.metadata import read_metadata
from pipeline.vision.table import TrainedTable
from pipeline.vision.trained import TrainedModel
from pipeline.workspace import Workspace
from tests.beside import write_beside
from tests.command import pipeline

mpl.use("Agg")


@dataclass(frozen=True)
class Walked:
    """The drawn competition after the whole road."""

    file: Path
    root: Path
    printed: str
    table: str

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root, "beside")

    def oof(self, member: str) -> Predictions:
        return predictions.load(self.workspace.oof(member))

    def accuracy(self, preds: Predictions) -> float:
        truth = training_rows(self.workspace).set_index("id")["label"].loc[list(preds.ids)]
        spec = preds.specs[0]
        return float((spec.target_kind.decode(spec, preds.values["label"]) == truth.to_numpy()).mean())

    def weights(self, model: str, fold: int = 1) -> Path:
        return self.workspace.fold(model, fold) / "weights.safetensors"


@pytest.fixture(scope="module")
def walked(tmp_path_factory) -> Walked:
    folder = tmp_path_factory.mktemp("beside")
    file = write_beside(folder)
    result = pipeline("run", file, "--root", folder / "root")
    assert result.code == 0, result.err
    return Walked(file, folder / "root", result.err, result.out)


def test_both_together_know_more_than_either(walked):
    """Six classes: of three colours a picture tells, of two ages a column; alone they tell 1/2 and 1/3 at best."""
    picture, table, both = (walked.accuracy(walked.oof(name)) for name in ("picture", "table", "both"))
    assert picture < 0.6
    assert table < 0.45
    assert both > max(picture, table) + 0.1


def test_a_blend_with_the_table_shows_what_the_picture_adds(walked):
    members = [walked.oof("picture"), walked.oof("table")]
    alone = [walked.accuracy(own) for own in members]
    assert walked.accuracy(blend(members, [1.0, 1.0])) > max(alone) + 0.1
    assert walked.accuracy(walked.oof("ensemble")) >= walked.accuracy(walked.oof("both"))


def test_the_table_goes_the_road_as_any_member(walked):
    assert "train table fold 1/2  forest of 6 columns  label_accuracy 0." in walked.printed
    names = [line.split()[0] for line in walked.table.splitlines() if " ± ." in line]
    assert names == ["picture", "both", "table", "ensemble"]
    told = pipeline("status", walked.file, "--root", walked.root, "--json").json
    assert set(told["stages"].values()) == {"done"}
    table = next(model for model in told["models"] if model["name"] == "table")
    assert (table["folds_done"], table["folds"]) == (2, 2)
    assert table["mean"] == table["tta_mean"]
    assert sum(told["ensemble"]["weights"].values()) == pytest.approx(1)


def test_what_says_nothing_of_features_is_as_it_was(walked):
    header = read_header(walked.weights("picture"))["metadata"]
    assert "features" not in header
    metadata = read_metadata(walked.weights("both"))
    assert metadata is not None
    assert metadata.features is not None
    assert metadata.features.names == ["age", "margin1", "margin2", "site"]


def test_other_features_make_stale_who_reads_them_and_nobody_else(walked, tmp_path):
    root = shutil.copytree(walked.root, tmp_path / "root")
    options = ["--root", root, "--set", 'data.features=["age"]']
    assert pipeline("data", walked.file, *options).code == 0
    told = pipeline("status", walked.file, *options, "--json").json
    assert [told["stages"][name] for name in ("data", "check", "folds", "presize")] == ["done"] * 4
    assert {model["name"]: model["folds_done"] for model in told["models"]} == {"picture": 2, "both": 0, "table": 0}
    assert "features changed" in told["why"]["train"][0]


@pytest.mark.parametrize("model", ["both", "table"])
def test_a_fold_predicts_from_its_file_alone(walked, tmp_path, model):
    path = shutil.copyfile(walked.weights(model), tmp_path / "alone.safetensors")
    trained = TrainedTable.open(path) if model == "table" else TrainedModel.open(path)
    rows = training_rows(walked.workspace)
    oof = predictions.load(walked.workspace.fold(model, 1) / "oof.parquet")
    own = rows.set_index("id", drop=False).loc[list(oof.ids)].reset_index(drop=True)
    found = trained.predict_rows(own, walked.workspace.raw).tta
    assert np.allclose(found.values["label"], oof.values["label"], atol=1e-5)
    moved = own.assign(**{"feature:age": 99 - own["feature:age"]})
    assert not np.allclose(trained.predict_rows(moved, walked.workspace.raw).tta.values["label"], found.values["label"])


def test_images_without_their_features_are_refused(walked):
    trained = TrainedModel.open(walked.weights("both"))
    rows = training_rows(walked.workspace)[["id", "path"]]
    with pytest.raises(RequestError, match=r"'both' reads features beside the image \(age, margin1, margin2, \.\.\.\)"):
        trained.predict(["a"], [walked.workspace.raw / rows["path"][0]])
    with pytest.raises(RequestError, match=r"reads 4 feature\(s\) beside the image, and the rows lack 'age'"):
        trained.predict_rows(rows, walked.workspace.raw)


def test_a_table_model_is_no_network(walked, tmp_path):
    project = Project(walked.file, root=walked.root)
    assert isinstance(project.trained("table", 0), TrainedTable)
    with pytest.raises(RequestError, match="'table' is a table model, no network to look into"):
        project.learner("table", 0)
    with pytest.raises(WorkFailed, match=r"does not hold a table model \('table'\); train again"):
        TrainedTable.open(walked.weights("both"))
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(walked.weights("table").read_bytes()[:100])
    with pytest.raises(WorkFailed, match="does not hold a table model"):
        TrainedTable.open(torn)


def test_a_fold_opens_as_a_learner(walked):
    learn = Project(walked.file, root=walked.root).learner("both", 1)
    preds, _ = learn.get_preds()
    plain = predictions.load(walked.workspace.fold("both", 1) / "plain" / "oof.parquet")
    ids = [sample.id for sample in learn.dls.valid_ds.items]
    assert np.allclose(preds.numpy(), plain.take(ids)["label"], atol=1e-4)
    learn.show_results(max_n=2)
    assert all(len(axis.get_title().splitlines()) == 2 for axis in mpl.pyplot.gcf().axes)
    learn.dls.show_batch(max_n=2)
    mpl.pyplot.close("all")


def test_a_session_finds_the_features_of_the_mounted_test_set(walked, tmp_path, log):
    bundle, mounted = Path(shutil.copytree(walked.root, tmp_path / "bundle")), tmp_path / "mounted"
    comp = competitions.load(str(walked.file))
    packed = Workspace(bundle, "beside")
    files = [packed.fold(model.name, fold) / "weights.safetensors" for model in comp.models for fold in (0, 1)]
    files += [packed.manifest, packed.facts, packed.folds, packed.features, packed.ensemble / "weights.json"]
    places = [path.relative_to(bundle).as_posix() for path in files]
    entries = [Entry(place, "", 0, place) for place in places]
    infer(comp, Workspace(mounted, "beside"), bundle, entries, tmp_path / "sent.csv", log)
    (local,) = walked.workspace.submissions.glob("ensemble-*.csv")
    assert (tmp_path / "sent.csv").read_bytes() == local.read_bytes()


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_a_fold_that_was_stopped_goes_on_to_the_same_bytes(walked, tmp_path, mixup):
    written = []
    for minutes in ([], ["--minutes", "0.000001"]):
        root = shutil.copytree(walked.root, tmp_path / f"root{len(minutes)}")
        options = ["--root", root, "--set", "models.1.epochs=2", "--set", f"models.1.mixup={mixup}"]
        for _ in range(2 if minutes else 1):
            result = pipeline("train", walked.file, *options, *minutes, "--model", "both", "--fold", "0")
            assert result.code == 0, result.err
        written.append((root / "runs/beside/both/fold-0/weights.safetensors").read_bytes())
    assert written[0] == written[1]


def test_a_probe_is_fitted_to_columns_beside_what_a_body_says(walked, tmp_path):
    root = shutil.copytree(walked.root, tmp_path / "root")
    settings = {"weights": f"'{walked.weights('picture', 0)}'", "schedule": "'probe'", "epochs": 0}
    sets = [part for key, value in settings.items() for part in ("--set", f"models.1.{key}={value}")]
    accuracy = []
    for features in ("true", "false"):
        options = ["--root", root, *sets, "--set", f"models.1.features={features}", "--model", "both"]
        for stage in ("train", "predict"):
            result = pipeline(stage, walked.file, *options)
            assert result.code == 0, result.err
        own = Walked(walked.file, root, "", "")
        accuracy.append(own.accuracy(own.oof("both")))
    assert accuracy[0] > accuracy[1] + 0.1


TARGETS = """targets=[
    {name="label"}, {name="size", kind="regression", transform="log1p"}, {name="tags", kind="multilabel"},
    {name="old", kind="binary"}, {name="grade", kind="regression", order=["low", "mid", "high"], clip=true}
]"""


@pytest.mark.parametrize("estimator", ["linear", "forest", "boosting"])
def test_columns_alone_answer_targets_of_every_kind(tmp_path, estimator):
    file = write_beside(tmp_path, train=120, test=6)
    for table in ("raw/train.csv", "raw/test.csv"):
        rows = pd.read_csv(tmp_path / table)
        rows["size"] = (3 * rows["age"] + rows["margin1"]).astype(str)
        rows["grade"] = pd.cut(rows["age"], [0, 40, 60, 99], labels=["low", "mid", "high"])
        rows["old"] = (rows["age"] > 50).map({True: "yes", False: "no"})
        rows["tags"] = rows["site"] + rows["old"].map({"yes": " old", "no": ""})
        rows.loc[rows.index[:5], "size"] = ""  # no answer for this one
        rows.to_csv(tmp_path / table, index=False)
    models = f'models=[{{name="table", arch="table:{estimator}"}}]'
    options = [TARGETS, models, "submission.columns={label='label'}"]
    sets = [part for each in options for part in ("--set", each)]
    result = pipeline("run", file, "--root", tmp_path / "root", "--json", *sets)
    assert result.code == 0, result.err
    assert "presize" not in result.json["did"]
    (row,) = result.json["rows"]
    cv, spread = row["cv"], pd.to_numeric(pd.read_csv(tmp_path / "raw/train.csv")["size"]).std()
    assert cv["size"]["rmse"] < 0.4 * spread
    assert cv["grade"]["mae"] < 0.4, "the middle one everywhere has about 0.7"
    assert cv["tags"]["label_accuracy"] > 0.85
    assert cv["old"]["accuracy"] > 0.85
    assert len(pd.read_csv(result.json["submission"])) == 6
    again = pipeline("run", file, "--root", tmp_path / "root", "--json", *sets)
    assert again.json["did"] == []


def test_words_become_vectors_and_what_is_unknown_adds_nothing():
    features = Features(
        numbers=(NumberFeature(name="age", mean=0.0, std=1.0, gaps=True),),
        words=(WordFeature(name="sex", words=("f", "m")), WordFeature(name="site", words=tuple("abcdefghij"))),
    )
    torch.manual_seed(0)
    beside = Beside(features)
    beside.draw()
    assert [tuple(own.weight.shape) for own in beside.vectors] == [(3, 3), (11, 6)]  # fastai's rule for 3 and 11
    encoded = torch.tensor([[0.5, 1.0, 2.0, 10.0], [0.5, 1.0, 0.0, 0.0]])
    found = beside(encoded)
    assert found.shape == (2, beside.features) == (2, 11)
    assert found[:, :2].tolist() == [[0.5, 1.0], [0.5, 1.0]]
    assert found[0, 2:5].tolist() == beside.vectors[0].weight[2].tolist()
    assert (found[0, 2:] != 0).all()
    assert (found[1, 2:] == 0).all()
    share = torch.tensor([0.75, 1.0])
    mixed = beside(encoded, encoded.flip(0), share)
    assert torch.allclose(mixed[0], 0.75 * found[0] + 0.25 * found[1])
    assert torch.equal(mixed[1], found[1])


def test_mixup_mixes_features_with_the_items_of_the_images():
    class Batch:
        pass

    images = torch.arange(8.0)[:, None, None, None].expand(8, 3, 2, 2)
    mixing = MixUpBeside(0.4)
    mixing.learn = learn = Batch()
    learn.xb, learn.yb = (images, torch.arange(8.0)[:, None]), (torch.arange(8),)
    torch.manual_seed(1)
    mixing.before_batch()
    mixed, own, other, share = learn.xb
    assert share.min() >= 0.5
    assert other[:, 0].tolist() == mixing.yb1[0].tolist() != own[:, 0].tolist()
    expected = share * own[:, 0] + (1 - share) * other[:, 0]
    assert torch.allclose(mixed[:, 0, 0, 0], expected)
    assert torch.equal(share, mixing.lam)


def test_an_estimator_of_a_plug_in_goes_the_road(tmp_path):
    """The one that the documentation shows."""
    text = (Path(__file__).parents[1] / "docs/plug-ins.md").read_text()
    plug_in = tmp_path / "mine.py"
    plug_in.write_text(text.split("```python\n")[1].split("```")[0])
    file = write_beside(tmp_path, train=60, test=6)
    models = 'models=[{name="own", arch="table:nearest"}]'
    options = ["--root", tmp_path / "root", "--plugin", plug_in, "--set", models]
    try:
        result = pipeline("run", file, *options, "--json")
        assert result.code == 0, result.err
        assert result.json["rows"][0]["cv"]["label"]["accuracy"] > 0.2, "a sixth by chance"
        plug_in.write_text(plug_in.read_text() + "\n# changed\n")
        told = pipeline("status", file, *options, "--json").json
        assert told["stages"]["train"] == "stale"
        assert told["why"]["train"][0].endswith("the plug-in behind model.arch changed")
    finally:
        forget(PlugIn(plug_in.resolve(), ""))
