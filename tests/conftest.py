"""What several tests need: a log that remembers, competition files out of text, a small raw image folder."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads: the tests' networks are too small to share out

from pipeline import competitions
from pipeline.config import Competition
from pipeline.errors import RequestError
from pipeline.kaggle.client import Kaggle
from pipeline.log import Log
from pipeline.predictions import NO_FOLD, Predictions, TargetSpec
from pipeline.stages.check import check
from pipeline.stages.data import data
from pipeline.stages.submit import latest, submit
from pipeline.workspace import Workspace
from tests.kaggle_server import TOKEN, KaggleServer

MODEL = '[[models]]\nname = "m"\narch = "test_resnet"\nweights = "none"\n'


class CollectingLog(Log):
    """A log whose lines are kept in place of printed."""

    def __init__(self) -> None:
        self.terminal = False
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.lines if line.startswith("warning: ")]


@pytest.fixture
def log() -> CollectingLog:
    return CollectingLog()


@pytest.fixture
def load_toml(tmp_path: Path) -> Callable[..., Competition]:
    """Load a competition from TOML text, with overrides; `[[models]]` is added where the text has none."""

    def load(text: str, *overrides: str) -> Competition:
        path = tmp_path / "written.toml"
        path.write_text(text if "[[models]]" in text else text + MODEL, encoding="utf-8")
        return competitions.load(str(path), list(overrides))

    return load


def draw_image(path: Path, seed: int, size: int = 16) -> Path:
    """A small picture of its own: random blocks of colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize((size, size), Image.Resampling.NEAREST).save(path)
    return path


TINY = """\
slug = "tiny"

[source]
path = "{raw}"

[data]
table = "train.csv"
id = "image_id"
images = "train_images/{{label}}/{{image_id}}"
test = "test_images"

[[targets]]
name = "disease"
column = "label"

[[targets]]
name = "variety"

[folds]
n = 3

[[models]]
name = "m"
arch = "test_resnet"
weights = "none"

[submission]
columns = {{ label = "disease" }}
"""


@dataclass
class Tiny:
    """A competition of small pictures in Paddy's layout, and where it lives."""

    raw: Path
    file: Path
    root: Path
    labels: dict[str, tuple[str, str]] = field(default_factory=dict)  # training id -> disease, variety
    test_ids: list[str] = field(default_factory=list)

    def load(self, *overrides: str) -> Competition:
        return competitions.load(str(self.file), list(overrides))

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root, "tiny")


def refused(tiny: Tiny, log: Log, *overrides: str) -> str:
    """What `data` refuses with: in two lines at the most, and with nothing written."""
    with pytest.raises(RequestError) as caught:
        data(tiny.load(*overrides), tiny.workspace, log)
    assert len(str(caught.value).splitlines()) <= 2
    assert not tiny.workspace.manifest.exists()
    return str(caught.value)


def predict(tiny: Tiny, values: Mapping[TargetSpec, np.ndarray]) -> None:
    """Have an ensemble predict these values (6, width) of the test pictures."""
    by_name = {spec.name: own for spec, own in values.items()}
    preds = Predictions(np.array(tiny.test_ids), np.full(len(tiny.test_ids), NO_FOLD), tuple(values), by_name)
    for name in ("test.parquet", "oof.parquet"):
        preds.save(tiny.workspace.ensemble / name)


def sent(tiny: Tiny, log: Log, values: Mapping[TargetSpec, np.ndarray], *overrides: str) -> pd.DataFrame:
    """What is sent of such predictions, as text."""
    comp = tiny.load(*overrides)
    data(comp, tiny.workspace, log)
    predict(tiny, values)
    submit(comp, tiny.workspace, log)
    return pd.read_csv(tiny.workspace.submissions / latest(tiny.workspace), dtype=str, keep_default_na=False)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """Twenty-four training pictures of three diseases and two varieties, six test pictures, a sample."""
    raw, file, root = tmp_path / "tiny-raw", tmp_path / "tiny.toml", tmp_path / "root"
    made = Tiny(raw, file, root)
    for number in range(24):
        name, disease, variety = (
            f"{100 + number}.png",
            ("blast", "hispa", "normal")[number % 3],
            "AB"[number % 2],
        )
        draw_image(raw / "train_images" / disease / name, number)
        made.labels[name] = (disease, variety)
    for number in range(6):
        draw_image(raw / "test_images" / f"{900 + number}.png", 900 + number)
        made.test_ids.append(f"{900 + number}.png")
    rows = [f"{name},{disease},{variety}\n" for name, (disease, variety) in made.labels.items()]
    (raw / "train.csv").write_text("image_id,label,variety\n" + "".join(rows))
    sample = "".join(f"{name},\n" for name in reversed(made.test_ids))  # in an order of its own
    (raw / "sample_submission.csv").write_text("image_id,label\n" + sample)
    file.write_text(TINY.format(raw=raw))
    root.mkdir()
    return made


@pytest.fixture
def checked(tiny: Tiny, log: CollectingLog) -> Tiny:
    """The tiny competition after data and check."""
    data(tiny.load(), tiny.workspace, log)
    check(tiny.load(), tiny.workspace, log)
    log.lines.clear()
    return tiny


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that talking to Kaggle would have made."""
    from pipeline.kaggle import client

    pauses: list[float] = []
    monkeypatch.setattr(client, "_sleep", pauses.append)
    return pauses


@pytest.fixture(scope="session")
def our_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This package as a wheel, built once for all tests."""
    from pipeline.kaggle.wheels import build_wheel

    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def built_once(our_wheel: Path) -> Iterator[None]:
    """Bundles take the wheel that is built already."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pipeline.commands.bundle.build_wheel", lambda folder: Path(shutil.copy(our_wheel, folder)))
        yield


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    """A local Kaggle that the real client in this process talks to, with an account of its own."""
    from kagglesdk import kaggle_env

    for name in [name for name in os.environ if name.startswith("KAGGLE_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    started = KaggleServer().start()
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, started.url)
    yield started
    started.stop()


@pytest.fixture
def kaggle_of(log: CollectingLog, slept: list[float]) -> Callable[[], Kaggle]:
    """A connection with the credentials that the environment holds by then."""
    return lambda: Kaggle(log)


@pytest.fixture
def kaggle(server: KaggleServer, kaggle_of: Callable[[], Kaggle]) -> Kaggle:
    return kaggle_of()
