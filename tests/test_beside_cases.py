"""Columns beside the image where rows are cases, parts of images, or do not count alike: rows stay rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import predictions
from pipeline.cases import CASE
from pipeline.commands.infer import infer
from pipeline.competitions import load
from pipeline.data.boxes import Cutout
from pipeline.data.labels import specs_of
from pipeline.kaggle.manifest import Entry
from pipeline.log import Log
from pipeline.rows import training_rows
from pipeline.vision.encoding import Features
from pipeline.vision.fold import samples_of
from pipeline.vision.metadata import read_metadata
from pipeline.vision.weights import WEIGHT
from pipeline.workspace import Workspace
from tests.command import pipeline
from tests.test_cases import in_folders, studies

TABLE = '\n[[models]]\nname = "table"\narch = "table:linear"\n'
BOX = ["x", "y", "w", "h"]


def with_columns(path: Path, said: str) -> None:
    """An age that tells who is sick of each study, and of each row a site, a box and a weight; a table model beside."""
    for side in ("train", "test"):
        file = path.parent / "raw" / f"{side}.csv"
        rows = pd.read_csv(file)
        number = rows["study"].str[1:].astype(int)
        rows = rows.assign(age=30 + number % 7 + 30 * (number % 2), site=[f"site{n % 3}" for n in range(len(rows))])
        rows = rows.assign(x=[n % 5 for n in range(len(rows))], y=2, w=30, h=20, w8=1 + number % 2)
        rows.to_csv(file, index=False)
    text = path.read_text().replace("tta = 1\n", f"tta = 1\nfeatures = true\n{TABLE}")
    path.write_text(text.replace("[[targets]]", f"{said}\n\n[[targets]]", 1))


def walk(path: Path) -> Workspace:
    done = pipeline("run", path, "--root", path.parent)
    assert done.code == 0, done.err
    return Workspace(path.parent, "studies")


def assert_a_session_sends_the_same(path: Path, here: Workspace) -> None:
    comp = load(str(path))
    files = [here.fold(model.name, fold) / "weights.safetensors" for model in comp.models for fold in range(3)]
    files += [here.manifest, here.facts, here.folds, here.features, here.ensemble / "weights.json"]
    places = [file.relative_to(here.root).as_posix() for file in files]
    entries = [Entry(place, "", 0, place) for place in places]
    infer(comp, Workspace(path.parent / "mounted", "studies"), path.parent, entries, path.parent / "sent.csv", Log())
    ours, theirs = (pd.read_csv(file) for file in (next(here.submissions.glob("*.csv")), path.parent / "sent.csv"))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-5)


@pytest.fixture(scope="module")
def walked(tmp_path_factory) -> tuple[Path, Workspace]:
    """Cases of images that are cut out by boxes, with weights: all at once."""
    path = studies(tmp_path_factory.mktemp("beside"), "mean")
    with_columns(path, f'features = ["age", "site"]\nbox = {BOX}\nbox_margin = 0.0\nweight = "w8"'.replace("'", '"'))
    return path, walk(path)


@pytest.mark.parametrize("model", ["resnet", "table"])
def test_rows_are_predicted_with_their_own_columns_then_joined_by_case(walked, model):
    path, here = walked
    table = pd.read_csv(path.parent / "raw" / "train.csv").set_index("image")
    rows = predictions.join([predictions.load(here.fold(model, fold) / "oof.parquet") for fold in range(3)])
    assert sorted(rows.ids) == sorted(table.index)
    joined = predictions.load(here.oof(model))
    mean = pd.Series(rows.values["finding"][:, 1]).groupby(table["study"].loc[rows.ids].to_numpy()).mean()
    assert joined.ids.tolist() == mean.index.tolist()
    assert np.allclose(joined.values["finding"][:, 1], mean, atol=1e-6)


def test_the_table_answers_what_the_age_says(walked):
    path, here = walked
    sick = pd.read_csv(path.parent / "raw" / "train.csv").drop_duplicates("study").set_index("study")["finding"]
    found = predictions.load(here.oof("table"))
    assert ((found.values["finding"][:, 1] > 0.5) == (sick.loc[found.ids] == "yes").to_numpy()).all()
    assert len(pd.read_csv(next(here.submissions.glob("*.csv")))) == 9


def test_a_sample_has_its_cut_its_weight_and_its_features(walked):
    path, here = walked
    comp, rows = load(str(path)), training_rows(here)
    table = pd.read_csv(path.parent / "raw" / "train.csv").set_index("image").loc[rows["id"]]
    features = Features.of(rows)
    samples = samples_of(rows, specs_of(comp.targets, rows), here.raw, features, weighted=True)
    assert [sample.path.cut.split(",")[0] for sample in samples if isinstance(sample.path, Cutout)] == [
        str(x) for x in table["x"]
    ]
    assert [sample.weight for sample in samples] == table["w8"].tolist() == rows[WEIGHT].tolist()
    own = np.stack([sample.beside for sample in samples if sample.beside is not None])
    assert np.allclose(own[:, 0], (table["age"] - table["age"].mean()) / table["age"].std(ddof=0), atol=1e-5)
    described = read_metadata(here.fold("resnet", 0) / "weights.safetensors")
    assert described is not None
    assert described.cut
    assert described.features is not None
    assert described.features.names == ["age", "site"]


def test_a_session_cuts_joins_and_reads_columns_alike(walked):
    assert_a_session_sends_the_same(*walked)


def test_a_row_of_a_case_is_that_of_all_its_images(tmp_path):
    path = in_folders(tmp_path, "train/{study}/*", "test/{study}/*", "{study}/{view}.png")
    raw = tmp_path / "raw"
    pd.DataFrame({"study": [f"s{number}" for number in range(100, 109)]}).to_csv(raw / "test.csv", index=False)
    with_columns(path, 'features = ["age"]')
    path.write_text(path.read_text().replace("epochs = 2", "epochs = 1"))
    here = walk(path)
    kept, manifest = pd.read_parquet(here.features), pd.read_parquet(here.manifest)
    assert kept["id"].tolist() == manifest["id"].tolist()
    number = manifest[CASE].str[1:].astype(int)
    assert kept["feature:age"].tolist() == (30 + number % 7 + 30 * (number % 2)).tolist()
    assert_a_session_sends_the_same(path, here)


def test_cases_without_a_row_of_columns_are_told(tmp_path):
    path = in_folders(tmp_path, "train/{study}/*", "test/{study}/*", "{study}/{view}.png")
    pd.DataFrame({"study": ["s100", "s101"]}).to_csv(tmp_path / "raw" / "test.csv", index=False)
    with_columns(path, 'features = ["age"]')
    done = pipeline("data", path, "--root", tmp_path)
    assert done.code == 2
    assert "data.features: test.csv has no row for " in done.err
    assert "s102, s103, s104, ...; its column 'study' holds s100, s101" in done.err


def test_a_pattern_takes_neither_cases_nor_weights(tmp_path):
    path = studies(tmp_path)
    with_columns(path, 'features = ["*"]\nweight = "w8"')
    done = pipeline("data", path, "--root", tmp_path)
    assert done.code == 0, done.err
    kept = pd.read_parquet(Workspace(tmp_path, "studies").features)
    assert [name for name in kept.columns if name.startswith("feature:")] == [
        f"feature:{name}" for name in ("age", "site", "x", "y", "w", "h")
    ]
