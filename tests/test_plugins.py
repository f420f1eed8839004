"""Plug-ins: what a file adds is used, its content is part of what is up to date, and it travels to Kaggle."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import Project
from pipeline.errors import RequestError
from pipeline.registry import PlugIn, all_registries, forget
from tests.command import pipeline
from tests.drawn import write_competition

PLUG_IN = """\
import io

import numpy as np

from pipeline.data.readers import READERS, Reader
from pipeline.losses import LOSSES, Loss
from pipeline.metrics import METRICS, Metric
from pipeline.vision.augmentations import AUGMENTATIONS, WindowTransform

FACTOR = 1.0


def doubled(preds, labels, options):
    import torch.nn.functional as F

    return FACTOR * 2 * F.cross_entropy(preds, labels[:, 0].long(), reduction="none")


def dim(window, rng, options):
    return (window * 0.9).astype(np.uint8)


LOSSES.add("doubled", Loss({"category": doubled}))
METRICS.add("worst_class", Metric(frozenset({"category"}), True, False, lambda truth, preds: min(
    float((preds.argmax(1)[truth == code] == code).mean()) for code in np.unique(truth)
)))
AUGMENTATIONS.add("dim", WindowTransform(dim))
READERS.add("npy", Reader(endings=(".npy",), read=lambda content: np.load(io.BytesIO(content))))
"""
USED = ["targets.0.loss=doubled", "metric=worst_class", "models.0.augment.own=['dim']"]


def sets(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


@pytest.fixture
def comp(tmp_path) -> Path:
    return write_competition(tmp_path, train=24, test=6)


@pytest.fixture
def plug_in(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUG_IN)
    yield path
    forget(PlugIn(path.resolve(), ""))


@pytest.fixture
def walked(comp, plug_in):
    """Run the road with the plug-in, and say what it printed."""

    def walk(*changes: str):
        return pipeline("run", comp, "--root", comp.parent, "--plugin", plug_in, *sets(*changes))

    return walk


def stages(comp: Path, plug_in: Path, *changes: str) -> dict:
    options = ["--root", comp.parent, "--plugin", plug_in, "--json", *sets(*changes)]
    return pipeline("status", comp, *options).json


def test_the_road_uses_what_a_plug_in_adds(comp, plug_in, walked):
    result = walked(*USED)
    assert result.code == 0, result.err
    metrics = json.loads((comp.parent / "runs/tiny/resnet/metrics.json").read_text())
    assert "worst_class" in metrics["cv"]["colour"]
    history = pd.read_csv(comp.parent / "runs/tiny/resnet/fold-0/history.csv")
    assert walked("models.0.augment.own=['dim']").code == 0  # with cross-entropy, which is half as large at the start
    halved = pd.read_csv(comp.parent / "runs/tiny/resnet/fold-0/history.csv")
    assert history["train_loss"][0] > 1.2 * halved["train_loss"][0]


def test_another_content_makes_stale_what_uses_it_and_nothing_else(comp, plug_in, walked):
    assert walked(*USED).code == 0
    assert set(stages(comp, plug_in, *USED)["stages"].values()) == {"done"}
    plug_in.write_text(PLUG_IN.replace("FACTOR = 1.0", "FACTOR = 3.0"))
    found = stages(comp, plug_in, *USED)
    assert [found["stages"][name] for name in ("data", "check", "folds", "presize")] == ["done"] * 4
    assert found["stages"]["train"] == "stale"
    assert "the plug-in behind targets.colour.loss changed" in found["why"]["train"][0]


def test_a_plug_in_that_is_loaded_and_not_used_changes_nothing(comp, plug_in):
    assert pipeline("run", comp, "--root", comp.parent).code == 0
    assert set(stages(comp, plug_in)["stages"].values()) == {"done"}


def test_without_its_plug_in_a_name_is_unknown(comp):
    result = pipeline("status", comp, *sets("targets.0.loss=doubled"))
    assert result.code == 2
    assert "loss 'doubled' is not one of" in result.err


def test_files_of_a_format_of_ones_own_go_the_road(comp, plug_in, walked):
    from PIL import Image

    for folder in ("train_images", "test_images"):
        for path in (comp.parent / "raw" / folder).rglob("*.png"):
            np.save(path.with_suffix(".npy"), np.asarray(Image.open(path).convert("RGB")))
            path.unlink()
    for table in ("raw/train.csv", "raw/sample_submission.csv"):
        (comp.parent / table).write_text((comp.parent / table).read_text().replace(".png", ".npy"))
    result = walked()
    assert result.code == 0, result.err
    facts = pd.read_parquet(comp.parent / "data/tiny/.pipeline/facts.parquet")
    assert facts["readable"].all()
    assert set(facts["format"]) == {"npy"}
    plug_in.write_text(PLUG_IN + "\n# another reader, for all we know\n")
    found = stages(comp, plug_in)
    assert found["stages"]["check"] == found["stages"]["train"] == "stale"
    assert "readers..npy changed" in found["why"]["check"][0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nowhere_to_be_found\n", ["line 1", "ModuleNotFoundError"]),
        ("x = 1\ndef f(:\n", ["line 2", "SyntaxError"]),
        ("from pipeline.losses import LOSSES\nLOSSES.add('mse', LOSSES['l1'])\n", ["the loss 'mse' is there already"]),
    ],
)
def test_a_plug_in_that_cannot_be_run_is_told_in_a_line(comp, plug_in, text, words):
    plug_in.write_text(text)
    result = pipeline("status", comp, "--plugin", plug_in)
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1
    assert all(word in result.err for word in words), result.err


def test_a_plug_in_that_is_not_there(comp, tmp_path):
    with pytest.raises(RequestError, match=r"--plugin .*none.py: cannot be read \(No such file"):
        Project(comp, root=tmp_path, plugins=[tmp_path / "none.py"])


def test_no_competition_file_can_name_a_plug_in(comp):
    for change in ("plugin='mine.py'", "plugins=['mine.py']"):
        assert pipeline("status", comp, *sets(change)).code == 2


def test_what_a_plug_in_added_is_gone_when_it_fails_half_way(comp, plug_in):
    plug_in.write_text(PLUG_IN + "\nraise ValueError('half way')\n")
    with pytest.raises(RequestError, match=r"line .*half way"):
        Project(comp, plugins=[plug_in])
    assert not [registry.what for registry in all_registries() for name in registry if registry.code_of(name)]
