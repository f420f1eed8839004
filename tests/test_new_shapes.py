"""`pipeline new --from` on drawings of Kaggle's downloads: the file that is written fits, with the right targets.

EXPECTED is the measure: for each competition its targets with their kinds and classes, as the drawing has them.
"""

import pandas as pd
import pytest

from pipeline import competitions
from pipeline.data.labels import specs_of
from tests.command import pipeline
from tests.shapes import SHAPES
from tests.shapes.cells import FEATURES
from tests.shapes.things import VOTES

GALAXY = [name.replace(".", "_") for name in VOTES]
BIOMASS = ("Dry_Clover_g", "Dry_Dead_g", "Dry_Green_g", "Dry_Total_g", "GDM_g")
EXPECTED: dict[str, dict[str, tuple[str, int]]] = {
    "cassava-leaf-disease-classification": {"label": ("category", 5)},
    "leaf-classification": {"species": ("category", 4)},
    "plant-pathology-2020-fgvc7": {"label": ("category", 4)},
    "plant-pathology-2021-fgvc8": {"labels": ("multilabel", 5)},
    "plant-seedlings-classification": {"species": ("category", 4)},
    "paddy-disease-classification": {"label": ("category", 4)},
    "invasive-species-monitoring": {"invasive": ("binary", 2)},
    "herbarium-2020-fgvc7": {"category_id": ("category", 4)},
    "herbarium-2021-fgvc8": {"category_id": ("category", 4)},
    "herbarium-2022-fgvc9": {"category_id": ("category", 4)},
    "csiro-biomass": dict.fromkeys(BIOMASS, ("regression", 0)),
    "dog-breed-identification": {"breed": ("category", 4)},
    "dogs-vs-cats-redux-kernels-edition": {"label": ("binary", 2)},
    "petfinder-pawpularity-score": {"Pawpularity": ("regression", 0)},
    "whale-categorization-playground": {"Id": ("category", 6)},
    "iwildcam-2019-fgvc6": {"category_id": ("category", 4)},
    "iwildcam-2020-fgvc7": {"category_id": ("category", 4)},
    "inaturalist-2019-fgvc6": {"category_id": ("category", 4)},
    "aptos2019-blindness-detection": {"diagnosis": ("category", 5)},
    "histopathologic-cancer-detection": {"label": ("binary", 2)},
    "ranzcr-clip-catheter-line-classification": {"labels": ("multilabel", 11)},
    "siim-isic-melanoma-classification": {"target": ("binary", 2)},
    "UBC-OCEAN": {"label": ("category", 5)},
    "human-protein-atlas-image-classification": {"Target": ("multilabel", 6)},
    "imet-2020-fgvc7": {"attribute_ids": ("multilabel", 5)},
    "state-farm-distracted-driver-detection": {"classname": ("category", 10)},
    "aerial-cactus-identification": {"has_cactus": ("binary", 2)},
    "hotel-id-2021-fgvc8": {"hotel_id": ("category", 6)},
    "alaska2-image-steganalysis": {"Label": ("category", 4)},
    "seti-breakthrough-listen": {"target": ("binary", 2)},
    "planet-understanding-the-amazon-from-space": {"tags": ("multilabel", 8)},
    "statoil-iceberg-classifier-challenge": {"is_iceberg": ("binary", 2)},
    "digit-recognizer": {"label": ("category", 10)},
    "Kannada-MNIST": {"label": ("category", 10)},
    "facial-keypoints-detection": dict.fromkeys(FEATURES, ("regression", 0)),
    "cifar-10": {"label": ("category", 6)},
    "humpback-whale-identification": {"Id": ("category", 6)},
    "sorghum-id-fgvc-9": {"cultivar": ("category", 4)},
    "galaxy-zoo-the-galaxy-challenge": dict.fromkeys(GALAXY, ("regression", 0)),
    "diabetic-retinopathy-detection": {"level": ("category", 5)},
    "cil-collaborative-filtering-2022": {"rating": ("regression", 0)},
}


@pytest.mark.parametrize("slug", EXPECTED)
def test_the_written_file_fits_the_download_with_the_right_targets(slug, tmp_path):
    shape, name = SHAPES[slug], slug.lower()
    shape.draw(tmp_path)
    result = pipeline("new", name, "--from", shape.download(tmp_path), "--root", tmp_path)
    assert result.code == 0, result.err
    comp = competitions.load(str(tmp_path / f"{name}.toml"))
    manifest = pd.read_parquet(tmp_path / "data" / name / ".pipeline" / "manifest.parquet")
    found = {spec.name: (spec.kind, len(spec.vocab)) for spec in specs_of(comp.targets, manifest)}
    assert found == EXPECTED[slug]
    sample = (
        pd.read_csv(tmp_path / "raw" / shape.sample, dtype=str) if shape.sample.endswith((".csv", ".zip")) else None
    )
    assert (manifest["split"] == "test").any()
    assert sample is None or len(manifest[manifest["split"] == "test"]) <= len(sample)


def test_what_cannot_be_seen_is_refused_in_words(tmp_path):
    """Tables of neither images, pixels nor ratings."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "train.csv").write_text("id,height,label\n1,3.5,cat\n2,4.5,dog\n")
    result = pipeline("new", "nothing", "--from", tmp_path / "raw", "--root", tmp_path)
    assert result.code == 2
    assert "found neither images nor a table of ratings (tables: train.csv)" in result.err
    assert not (tmp_path / "nothing.toml").exists()


def test_every_drawing_is_measured():
    assert EXPECTED.keys() == SHAPES.keys()
