"""Rating algorithms as entries: each goes the whole way on its own settings, and another can be added."""

import subprocess
import sys
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from pipeline.collab import algorithms, checkpoint
from pipeline.collab.algorithms.settings import ALGORITHMS
from pipeline.collab.algorithms.sgd import SgdSettings
from pipeline.collab.config import RATING, RatingsModel
from pipeline.collab.fold import identity_of, train_rows
from pipeline.collab.kind import KIND
from pipeline.collab.model import load, save
from pipeline.collab.observations import Observations
from pipeline.collab.store import read_tensors, write_tensors
from pipeline.collab.train import fit
from pipeline.competitions import load as load_competition
from pipeline.errors import RequestError, WorkFailed
from pipeline.fold import Fold
from pipeline.log import Log
from pipeline.predictions import TargetSpec
from pipeline.registry import adding_from
from tests.rated import draw_rows, write_rated

QUICK = {
    "sgd": {"factors": 4, "epochs": 6, "batch_size": 64},
    "network": {"factors": 4, "epochs": 6, "batch_size": 64, "layers": [8]},
    "gibbs": {"factors": 2, "epochs": 24, "time": True},
}
# What a model's section in trained.json and in config.toml held before each method had settings of its own.
ALL = {"factors": 50, "epochs": 5, "range": True, "bias": True, "weight_decay": 0.02, "batch_size": 1024, "lr": 0.01}
ALL |= {"layers": [], "implicit": False, "time": False, "side": False, "ordinal": False}


class AverageSettings(RatingsModel):
    """Nothing but how much the mean of all counts."""

    method: Literal["average"] = "average"
    damping: float = 5.0


class Average(algorithms.Algorithm[AverageSettings]):
    """An item's mean rating, drawn towards the mean of all."""

    def fit(self, seen, settings, seed, features, keeper, tell):
        center, many = seen.rating.mean(), len(seen.items.raw)
        count = torch.bincount(seen.item, minlength=many + 1)
        total = torch.zeros(many + 1).index_add_(0, seen.item, seen.rating)
        means = (total + settings.damping * center) / (count + settings.damping)
        tell(0, float((means[seen.item] - seen.rating).square().mean().sqrt()))
        return algorithms.Learned({"means": means}, {})

    def predict(self, learned, users, items, times):
        return learned.tensors["means"][items]


@pytest.fixture
def average(monkeypatch):
    """One file of somebody's own: settings, class and this call."""
    monkeypatch.setattr(ALGORITHMS, "_added", dict(ALGORITHMS._added))
    with adding_from(__file__, "0" * 64):
        algorithms.add("average", settings=AverageSettings, load=lambda: Average)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    names = {"who": "user", "film": "item", "stars": "rating", "when": "timestamp"}
    return draw_rows().rename(columns=names).sample(frac=1, random_state=0, ignore_index=True)


def fold_of(rows: pd.DataFrame, model: RatingsModel, folder, comp=None) -> Fold:
    specs = (TargetSpec(RATING, "regression"),)
    train, held_out = rows.iloc[100:], rows.iloc[:100].assign(id=[f"r{n}" for n in range(100)])
    return Fold(comp, model, 0, specs, train, held_out, folder / "raw", folder / "fold", (1, "m", 0), "m")


def test_the_quick_settings_are_of_every_built_in_algorithm():
    assert list(QUICK) == ALGORITHMS.names()


@pytest.mark.parametrize("method", QUICK)
def test_an_algorithm_goes_the_whole_way_and_tells_its_settings(rows, tmp_path, method):
    model = RatingsModel(name="m", method=method, **QUICK[method])
    assert type(model) is ALGORITHMS.get(method).settings
    trained = fit(Observations.of(rows.iloc[100:]), model, (0,))
    save(tmp_path / "weights.safetensors", trained)
    read = load(tmp_path / "weights.safetensors")
    assert type(read.algorithm) is ALGORITHMS.get(method).load()
    assert read.settings == model
    assert torch.__version__.startswith(read.about["versions"]["torch"])
    held_out = rows.iloc[:100]
    asked = held_out["user"].tolist(), held_out["item"].tolist(), held_out["timestamp"].to_numpy()
    guess = read.predict(*asked)
    assert guess.tobytes() == trained.predict(*asked).tobytes()
    assert np.sqrt(np.mean((guess - held_out["rating"]) ** 2)) < 1.1 * held_out["rating"].std()
    biases, factors = read.item_rows()
    assert (len(biases), factors.shape) == (len(read.items.raw) + 1, (len(read.items.raw) + 1, model.factors))
    items = list(read.items.raw)[:6]
    if method == "network":
        with pytest.raises(RequestError, match="choose one with --model"):
            read.fold_in(items, [5.0] * 6)
    else:
        loves, hates = (read.fold_in(items, [said] * 6).predict(["new"] * 6, items).mean() for said in (5.0, 1.0))
        assert hates < loves


@pytest.mark.parametrize(
    ("method", "strange", "owner"),
    [
        ("sgd", {"implicit": True}, "gibbs"),
        ("sgd", {"ordinal": True, "time": True}, "gibbs"),
        ("network", {"side": True}, "gibbs"),
        ("gibbs", {"lr": 0.1}, "sgd"),
        ("gibbs", {"layers": [8]}, "sgd"),
        ("gibbs", {"range": [1, 5]}, "sgd"),
        ("gibbs", {"bias": False, "batch_size": 64}, "sgd"),
    ],
)
def test_settings_refuse_those_of_another_algorithm(method, strange, owner):
    options = {"name": "m", "epochs": 30, **strange}
    first = "time" if "time" in strange else next(iter(strange))
    said = f"{first} goes with method = '{owner}', not with '{method}'"
    for make in (lambda: RatingsModel(method=method, **options), lambda: ALGORITHMS.get(method).settings(**options)):
        with pytest.raises(ValidationError, match=said):
            make()


@pytest.mark.parametrize("method", ["sgd", "gibbs"])
def test_what_was_recorded_of_all_settings_still_means_the_same(method):
    said = {**ALL, "method": method, "epochs": 30}
    settings = RatingsModel(name="other", method=method, epochs=30).settings(leave_out={"name"})
    assert settings.from_spelled(said) == settings
    assert RatingsModel(name="m", **said) == RatingsModel(name="m", method=method, epochs=30)
    network = RatingsModel(name="m", **{**ALL, "method": "sgd", "layers": [8, 4]})
    assert network == RatingsModel(name="m", method="network", layers=[8, 4])
    assert network.settings(leave_out={"name"}).non_default() == {"layers": [8, 4]}


def test_a_setting_at_the_default_must_be_of_its_type():
    with pytest.raises(ValidationError, match="implicit goes with"):
        RatingsModel(name="m", implicit=0)


def test_the_network_has_a_plain_name_and_usual_layers(rows):
    assert RatingsModel(name="m", method="network").layers == [100, 50]
    with pytest.raises(ValidationError, match="at least 1"):
        RatingsModel(name="m", method="network", layers=[])
    seen = Observations.of(rows)
    options = {"factors": 3, "epochs": 1, "layers": [4], "batch_size": 64}
    said = [fit(seen, RatingsModel(name="m", method=method, **options), (0,)) for method in ("sgd", "network")]
    assert said[0].about["settings"] == said[1].about["settings"]
    assert all((said[0].tensors[name] == said[1].tensors[name]).all() for name in said[0].tensors)


def test_a_resolved_file_holds_the_settings_of_its_method_alone(tmp_path):
    from pipeline.stages.train import resolved

    made = write_rated(tmp_path)
    comp = load_competition(str(made.file), ["models.0.layers=[8, 4]"])
    assert [type(model).__name__ for model in comp.models] == ["NetworkSettings", "GibbsSettings"]
    again = tmp_path / "again.toml"
    for model in comp.models:
        again.write_text(resolved(comp, model))
        assert load_competition(str(again)).models == [model]
    assert 'method = "gibbs"' in again.read_text()
    assert "weight_decay" not in again.read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("models.0.method='netwrk'", ["models.0.method: found 'netwrk'", "'sgd', 'network' or 'gibbs'", "'network'?"]),
        ("models.0.layers=['x']", ["models.0.layers.0: found 'x'"]),
        ("models.0.weight_deca=1", ["unknown key 'models.0.weight_deca'", "did you mean 'weight_decay'?"]),
        ("models.1.implict=true", ["unknown key 'models.1.implict'", "did you mean 'implicit'?"]),
        ("models.0.zzz=1", ["known here: name, method, factors, epochs, range, bias, weight_decay, batch_size, lr"]),
        ("models.0={name='m', layers=[4], time=true}", ["models.0: time goes with method = 'gibbs', not with 'sgd'"]),
        ("models.0='plain'", ["models.0: found 'plain', expected a table"]),
        ("models.0={}", ["'models.0.name' is missing"]),
        ("models.0.name='ensemble'", ["models.0: name 'ensemble' is taken"]),
    ],
)
def test_what_a_file_says_wrong_about_a_model_is_named(tmp_path, change, words):
    with pytest.raises(RequestError) as caught:
        load_competition(str(write_rated(tmp_path).file), [change])
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_model_that_needs_what_the_data_has_not_is_refused(tmp_path):
    text = write_rated(tmp_path).file.read_text()
    path = tmp_path / "less.toml"
    path.write_text(text.replace('timestamp = "when"\n', ""))
    with pytest.raises(RequestError, match=r"models\.1\.time needs data\.timestamp"):
        load_competition(str(path))
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith(("items = ", "users = "))))
    with pytest.raises(RequestError, match=r"models\.1\.side needs data\.users or data\.items"):
        load_competition(str(path))


@pytest.mark.parametrize("method", QUICK)
def test_weights_without_settings_are_read_as_ever(rows, tmp_path, method):
    """As they were written before: the method in its old name, neither settings nor versions."""
    trained = fit(Observations.of(rows), RatingsModel(name="m", method=method, **QUICK[method]), (0,))
    save(tmp_path / "new", trained)
    tensors, about = read_tensors(tmp_path / "new")
    assert about["method"] == {"sgd": "dot"}.get(method, method)
    del about["settings"], about["versions"]
    write_tensors(tmp_path / "old", tensors, about)
    old = load(tmp_path / "old")
    args = rows["user"].tolist(), rows["item"].tolist(), rows["timestamp"].to_numpy()
    assert old.predict(*args).tobytes() == trained.predict(*args).tobytes()
    assert old.method == method
    with pytest.raises(WorkFailed, match="kept no settings"):
        _ = old.settings


class LaterSettings(SgdSettings):
    """As a later version may have them: one setting more, which is off."""

    noise: float = 0.0


@pytest.mark.parametrize(("noise", "goes_on"), [(0.0, True), (0.5, False)])
def test_a_checkpoint_survives_a_new_setting_that_is_off(rows, tmp_path, monkeypatch, noise, goes_on):
    monkeypatch.setattr(checkpoint, "KEEP_EVERY", -1.0)
    options = {"name": "m", "factors": 3, "epochs": 4, "batch_size": 64}
    calm = tmp_path / "calm"
    train_rows(fold_of(rows, SgdSettings(**options), calm), Log())
    monkeypatch.setattr("pipeline.collab.fold.save", _killed)
    with pytest.raises(KeyboardInterrupt):
        train_rows(fold_of(rows, SgdSettings(**options), tmp_path), Log())
    kept = tmp_path / "fold/checkpoint/fit.safetensors"
    _, about = read_tensors(kept)
    assert about["done"] == 4
    monkeypatch.undo()
    later = fold_of(rows, LaterSettings(**options, noise=noise), tmp_path)
    assert (identity_of(later, (None, None)) == about["identity"]) == goes_on
    monkeypatch.setattr("pipeline.collab.fitting.embedding.Rows.step_whole", _no_step)
    if not goes_on:
        with pytest.raises(AssertionError, match="a step"):
            train_rows(later, Log())
        return
    train_rows(later, Log())  # nothing is left to step
    assert not kept.parent.exists()
    ours, theirs = (load(folder / "fold/weights.safetensors") for folder in (tmp_path, calm))
    assert all((ours.tensors[name] == theirs.tensors[name]).all() for name in ours.tensors)
    assert (tmp_path / "fold/history.csv").read_bytes() == (calm / "fold/history.csv").read_bytes()
    assert (calm / "fold/history.csv").read_text().startswith("epoch,train_rmse\n0,")


def _killed(*_):
    raise KeyboardInterrupt  # before the weights are written


def _no_step(*_):
    raise AssertionError("a step")


def test_another_method_or_seed_is_another_fit(rows, tmp_path):
    options = {"name": "m", "factors": 3, "epochs": 30}
    models = [RatingsModel(method=method, **options) for method in QUICK]
    said = {identity_of(fold_of(rows, model, tmp_path), (None, None)) for model in models}
    assert len(said) == 3
    renamed = RatingsModel(**{**options, "name": "other"})
    assert identity_of(fold_of(rows, renamed, tmp_path), (None, None)) in said


def test_an_algorithm_of_ones_own_goes_the_road(average, rows, tmp_path):
    made = write_rated(tmp_path)
    comp = load_competition(str(made.file), ["models.0={name='mine', method='average', damping=2.0}"])
    assert comp.models[0] == AverageSettings(name="mine", damping=2.0)
    fold = fold_of(rows, comp.models[0], tmp_path, comp)
    train_rows(fold, Log())
    held_out, _ = KIND.predict_fold(fold, fold.held_out, Log())[""]
    means = fold.train.groupby("item")["rating"].agg(["sum", "size"])
    expected = (means["sum"] + 2 * fold.train["rating"].mean()) / (means["size"] + 2)
    np.testing.assert_allclose(
        held_out.take(fold.held_out["id"])[RATING][:, 0], expected[fold.held_out["item"]], rtol=1e-5
    )
    trained = load(fold.folder / "weights.safetensors")
    assert trained.settings == comp.models[0]
    with pytest.raises(RequestError, match="choose one with --model"):
        trained.fold_in(["f1"], [5.0])
    with pytest.raises(RequestError, match="choose one with --model"):
        trained.item_rows()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("damping=1.0", ["damping goes with method = 'average', not with 'sgd'"]),
        ("method='averge'", ["'gibbs' or 'average'", "did you mean 'average'?"]),
        ("dampin=1.0", ["did you mean 'damping'?"]),
    ],
)
def test_what_was_added_is_known_in_messages(average, tmp_path, change, words):
    with pytest.raises(RequestError) as caught:
        load_competition(str(write_rated(tmp_path).file), [f"models.0.{change}"])
    assert all(word in str(caught.value) for word in words), caught.value


def test_weights_of_an_algorithm_that_is_gone_say_which(average, rows, tmp_path, monkeypatch):
    save(tmp_path / "weights", fit(Observations.of(rows), AverageSettings(name="m"), (0,)))
    monkeypatch.setattr(ALGORITHMS, "_added", {})
    with pytest.raises(RequestError, match="method 'average' is not a known method; known are sgd, network, gibbs"):
        load(tmp_path / "weights").predict(["u1"], ["f1"])


def test_a_name_is_entered_once_and_is_that_of_its_settings(average):
    other = adding_from("another.py", "1" * 64)
    with other, pytest.raises(RequestError, match="the method 'average' is taken by"):
        algorithms.add("average", settings=AverageSettings, load=lambda: Average)
    with pytest.raises(RequestError, match=r"AverageSettings\.method is 'average'"):
        algorithms.add("mean", settings=AverageSettings, load=lambda: Average)


def test_settings_need_no_torch():
    code = "import sys; from pipeline.collab.algorithms import ALGORITHMS, Algorithm, Learned, RatingsModel\n"
    code += "RatingsModel(name='m', method='network'), RatingsModel(name='m', method='gibbs', epochs=30)\n"
    code += "print(*({'torch', 'scipy', 'fastai', 'safetensors'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
