"""What is up to date is compared by meaning: older stamps, defaults said aloud, new settings, changed defaults."""

import hashlib
import json
import shutil
import tomllib
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, create_model

from pipeline import Project, freshness
from pipeline.settings import Section, differences
from pipeline.stages import train as training
from pipeline.targets.said import Target
from pipeline.vision.config import Augment, ImageCompetition, ImageModel, Resize
from pipeline.vision.kind import ImageKind
from tests.command import pipeline
from tests.drawn import write_competition
from tests.rated import write_rated

STAGES = ["data", "check", "folds", "presize", "train", "predict", "ensemble", "submit"]


@pytest.fixture(scope="module")
def comp(tmp_path_factory) -> Path:
    path = write_competition(tmp_path_factory.mktemp("tiny"), train=24, test=6)
    assert pipeline("run", path, "--root", path.parent).code == 0
    return path


@pytest.fixture(scope="module")
def ratings(tmp_path_factory) -> Path:
    made = write_rated(tmp_path_factory.mktemp("rated") / "here")
    made.lines["test"] = 'test = "asked.csv"'
    assert pipeline("run", made.file, "--root", made.folder).code == 0
    return made.file


def stale(path: Path, root: Path | None = None, *changes: str) -> dict[str, list[str]]:
    """The stages that are not done, each with its reasons."""
    status = Project(path, root or path.parent, sets=changes).status()
    return {name: status.get("why", {}).get(name, []) for name, state in status["stages"].items() if state != "done"}


# Stamps of the first version, which held each section as the file spelled it.

AUGMENT = {"flip": True, "flip_vert": False, "max_rotate": 10.0, "max_zoom": 1.1, "max_lighting": 0.2, "max_warp": 0.2}
IMAGE_MODEL = {"weights": "none", "size": [32, 32], "augment": AUGMENT | {"min_scale": 1.0}, "batch_size": 16}
IMAGE_MODEL |= {"epochs": 2, "freeze_epochs": None, "lr": 0.01, "schedule": "", "weight_decay": 0.01, "dropout": 0.5}
IMAGE_MODEL |= {"mixup": 0.0, "precision": "auto"}
RATING_MODEL = {"range": True, "bias": True, "weight_decay": 0.02, "lr": 0.01, "layers": []}
SPELLED: dict[str, dict[str, Any]] = {
    "resnet": {"arch": "test_resnet", "resize": {"size": [40, 40], "method": "squish"}, "accumulate": 1, **IMAGE_MODEL},
    "byobnet": {"arch": "test_byobnet", "resize": {"size": [40, 40], "method": "crop"}, "accumulate": 2, **IMAGE_MODEL},
    "plain": {"method": "sgd", "factors": 4, "epochs": 4, "batch_size": 64, **RATING_MODEL}
    | dict.fromkeys(["implicit", "time", "side", "ordinal"], False),
    "drawn": {"method": "gibbs", "factors": 2, "epochs": 30, "batch_size": 1024, **RATING_MODEL}
    | dict.fromkeys(["implicit", "time", "side", "ordinal"], True),
}
LABELS = {
    "tiny": [("colour", None, "category", 1.0), ("shape", "form", "category", 0.5)],
    "rated": [("rating", "stars", "regression", 1.0)],
}
DATA = {
    "tiny": {
        "data": {"table": "train.csv", "id": "image_id", "images": "train_images/{colour}/{image_id}"}
        | {"test": "test_images", "holdout": None},
        "folds": {"n": 2, "stratify": None, "group": "near-duplicates"},
        "columns": {"colour": "colour"},
    },
    "rated": {
        "data": {"table": "ratings.csv", "user": "who", "item": "film", "rating": "stars", "timestamp": "when"}
        | {"items": {"table": "films.csv", "id": "film", "title": "title", "features": None}}
        | {"users": {"table": "people.csv", "id": "who", "title": None, "features": None}}
        | {"test": "asked.csv", "id": "id"},
        "folds": {"n": 3, "files": None},
        "columns": {},
    },
}


def spell(root: Path, slug: str) -> None:
    """Rewrite every stamp below a root as the first version would have."""

    def rewrite(stamp: Path, **inputs: Any) -> str:
        recorded = json.loads(stamp.read_text())
        del recorded["form"]
        recorded["inputs"] |= inputs
        stamp.write_text(json.dumps(recorded))
        return hashlib.sha256(stamp.read_bytes()).hexdigest()

    meta, runs = root / "data" / slug / ".pipeline", root / "runs" / slug
    where, learned = [], []
    for name, column, kind, weight in LABELS[slug]:
        where.append({"name": name, "column": column, "regex": None, "folder": False, "kind": kind})
        learned.append({"name": name, "kind": kind, "loss": "", "weight": weight})
    rewrite(meta / "data.json", data=DATA[slug]["data"], targets=where)
    rewrite(meta / "folds.json", folds=DATA[slug]["folds"])
    for model in sorted(name for name in SPELLED if (runs / name).is_dir()):
        folds = []
        for fold in sorted((runs / model).glob("fold-*")):
            trained = rewrite(fold / "trained.json", model=SPELLED[model], targets=learned)
            folds.append(rewrite(fold / "predicted.json", trained=trained, tta=1 if slug == "tiny" else None))
        rewrite(runs / model / "predicted.json", folds=folds)
    rewrite(runs / "ensemble/blended.json", columns=DATA[slug]["columns"])
    rewrite(runs / "submitted-ensemble.json", columns=DATA[slug]["columns"])


@pytest.mark.parametrize("slug", ["tiny", "rated"])
def test_what_the_first_version_trained_stays_done(slug, comp, ratings, tmp_path):
    path = comp if slug == "tiny" else ratings
    shutil.copytree(path.parent / "data", tmp_path / "data", symlinks=True)
    for folder in ("runs", "submissions"):
        shutil.copytree(path.parent / folder, tmp_path / folder)
    spell(tmp_path, slug)
    assert stale(path, tmp_path) == {}
    change = "models.0.lr=0.5"
    assert "model.lr changed from 0.01 to 0.5" in stale(path, tmp_path, change)["train"][0]
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.json")}
    assert json.loads(pipeline("run", path, "--root", tmp_path, "--json").out)["did"] == []
    assert {file: file.read_bytes() for file in before if file.name != "resolved"} == before


def test_a_stamp_that_says_what_no_file_may_say_any_more_is_stale(comp, tmp_path):
    shutil.copytree(comp.parent / "data", tmp_path / "data", symlinks=True)
    shutil.copytree(comp.parent / "runs", tmp_path / "runs")
    spell(tmp_path, "tiny")
    stamp = tmp_path / "runs/tiny/resnet/fold-0/trained.json"
    recorded = json.loads(stamp.read_text())
    recorded["inputs"]["model"]["colour_jitter"] = 0.3
    stamp.write_text(json.dumps(recorded))
    (reason,) = stale(comp, tmp_path)["train"]
    assert reason.startswith("resnet fold 1/2: ")
    assert "model.colour_jitter changed from 0.3 to null" in reason


# Defaults said aloud


@pytest.mark.parametrize(
    "changes",
    [
        ["models.0.schedule=one_cycle"],
        ["models.0.freeze_epochs=0", "models.0.mixup=0.0", "models.0.precision=auto", "models.0.pooling=concat"],
        ["models.0.augment={flip=true, max_zoom=1.1, own=[]}"],
        ["targets.0.loss=cross_entropy", "targets.0.weight=1.0", "targets.0.kind=category"],
        ["targets.0.loss={name='cross_entropy'}"],
        ["targets.0.column=colour"],
        ["folds.group=near-duplicates", "folds.stratify=['shape', 'colour']"],
        ["ensemble.method=hillclimb", "submission.sample=sample_submission.csv"],
        ["submission.columns={}"],
    ],
    ids=lambda changes: changes[0],
)
def test_saying_a_default_aloud_changes_nothing(comp, changes):
    assert stale(comp, None, *changes) == {}


@pytest.mark.parametrize(
    "changes", [["models.0.range=true", "models.0.layers=[]"], ["models.1.factors=2"], ["targets=[]"], ["folds.n=3"]]
)
def test_saying_a_default_aloud_changes_nothing_of_ratings(ratings, changes):
    if changes == ["targets=[]"]:
        changes = ["targets=[{name='rating', kind='regression', column='stars'}]"]
    assert stale(ratings, None, *changes) == {}


@pytest.mark.parametrize(
    ("change", "first", "words"),
    [
        ("models.0.epochs=3", "train", "model.epochs changed from 2 to 3"),
        ("targets.0.loss=label_smoothing", "train", "targets.colour.loss.name changed"),
        ("targets.0.loss={name='focal', gamma=1.0}", "train", "targets.colour.loss.gamma changed from null to 1.0"),
        ("folds.stratify=['shape']", "folds", 'folds.stratify changed from ["colour", "shape"] to ["shape"]'),
        ("data.test=other", "data", 'data.test changed from "test_images" to "other"'),
        ("models.1.tta=2", "predict", "tta changed from 1 to 2"),
        ("ensemble.method=mean", "ensemble", 'method changed from "hillclimb" to "mean"'),
    ],
)
def test_what_means_something_else_is_stale_and_says_why(comp, change, first, words):
    found = stale(comp, None, change)
    assert next(iter(found)) == first
    assert any(words in reason for reason in found[first]), found
    after = [name for name in STAGES[STAGES.index(first) + 1 :] if name != "presize"]
    assert all(name in found for name in after)
    shown = pipeline("status", comp, "--root", comp.parent, "--set", change, "--why")
    assert shown.code == 0
    assert words in shown.out
    assert "status --why` says" in pipeline("status", comp, "--root", comp.parent, "--set", change).out


# Settings that are new, and defaults that mean something else


def later(monkeypatch, section: str, **fields: Any) -> None:
    """Let a section of the competition file have other fields, as a later version of the code may."""
    names = {"augment": Augment, "resize": Resize, "model": ImageModel, "target": Target}
    hints = ImageCompetition.model_fields
    base = names.get(section) or type(hints[section].default)
    changed = create_model(f"Later{base.__name__}", __base__=base, **fields)
    if section in ("augment", "resize"):
        default = changed() if section == "augment" else None
        kind = changed if section == "augment" else changed | None
        changed, section = create_model("LaterModel", __base__=ImageModel, **{section: (kind, default)}), "model"
    if section in ("model", "target"):
        field = {f"{section}s": (Annotated[list[changed], Field(min_length=1)], ...)}
    else:
        field = {section: (changed, changed())}
    monkeypatch.setattr(ImageKind, "competition", create_model("Later", __base__=ImageCompetition, **field))


SECTIONS = ["data", "target", "folds", "model", "augment", "resize", "ensemble", "submission"]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_setting_that_is_new_and_off_changes_nothing(comp, monkeypatch, section):
    later(monkeypatch, section, brand_new=(float, 0.0))
    assert stale(comp) == {}


@pytest.mark.parametrize("section", sorted(set(SECTIONS) - {"submission"}))
def test_a_setting_that_is_new_and_on_is_a_change(comp, monkeypatch, section):
    later(monkeypatch, section, brand_new=(float, 0.0))
    place = {"target": "targets.0", "model": "models.0", "augment": "models.0.augment", "resize": "models.0.resize"}
    found = stale(comp, None, f"{place.get(section, section)}.brand_new=0.5")
    if section == "resize":  # names a cache, which is built on demand
        assert "caches" in found["presize"][0]
    assert found
    assert section == "resize" or any("brand_new changed from null to 0.5" in why for why in next(iter(found.values())))


def test_a_default_that_means_something_else_makes_stale_what_used_it(comp, monkeypatch):
    later(monkeypatch, "model", dropout=(float, 0.4))
    assert list(stale(comp)) == ["train", "predict", "ensemble", "submit"]
    assert stale(comp, None, "models.0.dropout=0.5", "models.1.dropout=0.5") == {}


def test_a_rule_that_resolves_to_something_else_makes_stale_what_used_it(comp, monkeypatch):
    monkeypatch.setattr(ImageModel, "schedule_name", property(lambda model: model.schedule or "flat"))
    assert 'model.schedule changed from "one_cycle" to "flat"' in stale(comp)["train"][0]
    assert stale(comp, None, "models.0.schedule=one_cycle", "models.1.schedule=one_cycle") == {}


def test_another_version_of_the_code_makes_stale(comp, monkeypatch):
    monkeypatch.setattr(training, "VERSION", training.VERSION + 1)
    assert "version changed from 2 to 3" in stale(comp)["train"][0]


def stopped_after_an_epoch(tmp_path: Path) -> list[object]:
    """A fold with a checkpoint; returns the command line, without options of its own, that goes on with it."""
    comp = write_competition(tmp_path, train=24, test=6)
    for stage in ("data", "check", "folds", "presize"):
        assert pipeline(stage, comp, "--root", tmp_path).code == 0
    training = ["train", comp, "--root", tmp_path, "--model", "resnet", "--fold", 0]
    assert "stopped after epoch 1/2" in pipeline(*training, "--minutes", 0).err
    return training


def test_a_checkpoint_goes_on_past_a_setting_that_is_new_and_off(monkeypatch, tmp_path):
    training = stopped_after_an_epoch(tmp_path)
    later(monkeypatch, "augment", brand_new=(float, 0.0))
    assert "goes on after epoch 1" in pipeline(*training).err


def test_a_checkpoint_of_another_default_is_not_taken_up(monkeypatch, tmp_path):
    training = stopped_after_an_epoch(tmp_path)
    later(monkeypatch, "model", dropout=(float, 0.1))
    assert "goes on after" not in pipeline(*training).err


# What is recorded


def test_the_config_beside_a_model_holds_every_default_and_means_the_same(comp, tmp_path):
    path = comp.parent / "runs/tiny/resnet/config.toml"
    said = tomllib.loads(path.read_text())
    (model,) = said["models"]
    assert (model["schedule"], model["freeze_epochs"], model["resize"]["method"]) == ("one_cycle", 0, "squish")
    assert [target["loss"] for target in said["targets"]] == ["cross_entropy"] * 2
    assert [target["column"] for target in said["targets"]] == ["colour", "form"]
    assert said["folds"]["stratify"] == ["colour", "shape"]
    again = Project(path, comp.parent).competition
    whole = Project(comp, comp.parent).competition
    assert again.models[0].settings(again) == whole.models[0].settings(whole)
    assert again.folds.settings(again) == whole.folds.settings(whole)


def test_a_loss_with_options_is_recorded_with_all_of_them(comp):
    loaded = Project(comp, comp.parent, sets=["targets.0.loss=focal"]).competition
    assert loaded.targets[0].settings(loaded)["loss"] == {"name": "focal", "gamma": 2.0}
    assert loaded.resolved().targets[0].loss == {"name": "focal", "gamma": 2.0}


class Inner(Section):
    near: int = 1


class Outer(Section):
    first: str
    inner: Inner = Inner()
    many: list[Inner] = Field(default=[])


def test_settings_tell_what_differs_from_the_default():
    settings = Outer(first="a", inner=Inner(near=2)).settings()
    assert settings == {"first": "a", "inner": {"near": 2}, "many": []}
    assert settings.non_default() == {"first": "a", "inner": {"near": 2}}
    assert Outer(first="a").settings().non_default() == {"first": "a"}


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ({"first": "a", "inner": {"near": 1}, "many": []}, []),
        ({"first": "a"}, []),
        ({"first": "a", "inner": {}}, []),
        ({"first": "b", "inner": {"near": 3}}, ['first changed from "b" to "a"', "inner.near changed from 3 to 1"]),
        ({"first": "a", "gone": 4}, ["gone changed from 4 to null"]),
        ({"first": "a", "many": [{"near": 5}]}, ['many changed from [{"near": 5}] to []']),
    ],
)
def test_differences_are_told_all_of_them(before, words):
    assert list(differences("", before, Outer(first="a").settings())) == words


def test_a_reason_names_three_differences_and_counts_the_rest(tmp_path):
    step = freshness.Step(tmp_path / "step.json", dict.fromkeys("abcde", 1), ())
    step.record()
    now = freshness.Step(tmp_path / "step.json", dict.fromkeys("abcde", 2), ())
    assert now.reason() == "; ".join(f"{name} changed from 1 to 2" for name in "abc") + "; and 2 more"
