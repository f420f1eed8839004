"""`pipeline new --from` on drawings of Kaggle's downloads: the file that is written fits, with the right targets.

EXPECTED is the measure: for each competition its targets with their kinds and classes, as the drawing has them.
"""

import pandas as pd
import pytest

from pipeline import competitions
from pipeline.data.labels import specs_of
from tests.command import pipeline
from tests.shapes import SHAPES

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
    "cil-collaborative-filtering-2022": {"rating": ("regression", 0)},
}
# What a download does not show, or no file says: refused with what was seen.
REFUSED = {"statoil-iceberg-classifier-challenge": "found neither images nor a table of ratings"}


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


@pytest.mark.parametrize("slug", REFUSED)
def test_what_cannot_be_seen_is_refused_in_words(slug, tmp_path):
    SHAPES[slug].draw(tmp_path)
    result = pipeline("new", slug, "--from", SHAPES[slug].download(tmp_path), "--root", tmp_path)
    assert result.code == 2
    assert REFUSED[slug] in result.err
    assert not (tmp_path / f"{slug}.toml").exists()


def test_every_drawing_is_measured_and_at_least_four_of_five_fit():
    assert EXPECTED.keys() | REFUSED.keys() == SHAPES.keys()
    assert len(EXPECTED) >= 0.8 * len(SHAPES)
