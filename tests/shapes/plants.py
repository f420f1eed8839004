"""Leaves, seedlings, fields and herbaria."""

import pandas as pd

from tests.shapes import graders
from tests.shapes.drawing import TEST, TRAIN, Drawing, cycle, named, one_hot
from tests.shapes.shape import Shape

LEAVES = ("Acer_Capillipes", "Acer_Circinatum", "Quercus_Rubra", "Tilia_Oliveri")
APPLES = ("healthy", "multiple_diseases", "rust", "scab")
APPLE_TAGS = ("healthy", "scab", "frog_eye_leaf_spot complex", "rust", "scab frog_eye_leaf_spot", "complex")
APPLE_NAMES = ("complex", "frog_eye_leaf_spot", "healthy", "rust", "scab")
SEEDLINGS = ("Black-grass", "Common Chickweed", "Loose Silky-bent", "Sugar beet")
PADDY = ("bacterial_leaf_blight", "blast", "hispa", "normal")


def cassava(d: Drawing) -> pd.DataFrame:
    train = [f"{1000015157 + 97 * number}.jpg" for number in range(TRAIN)]
    test = [f"{2216849948 + 31 * number}.jpg" for number in range(TEST)]
    labels, truth = cycle(TRAIN, 5), cycle(TEST, 5)
    d.images("train_images/{}", train, labels)
    d.images("test_images/{}", test, truth)
    d.table("train.csv", {"image_id": train, "label": labels})
    d.table("sample_submission.csv", {"image_id": test, "label": 4})
    d.json("label_num_to_disease_map.json", {"0": "Cassava Bacterial Blight (CBB)", "4": "Healthy"})
    d.bytes("train_tfrecords/ld_train00-1338.tfrec", "test_tfrecords/ld_test00-1.tfrec")
    return pd.DataFrame({"image_id": test, "label": truth})


def leaf(d: Drawing) -> pd.DataFrame:
    """Black leaves on white, 192 measurements each; tables, sample and images are zips within the zip."""
    ids = [int(number) + 1 for number in d.random.permutation(TRAIN + TEST)]
    looks = cycle(TRAIN + TEST, len(LEAVES))
    d.images("images/{}.jpg", ids, looks, mode="L")
    d.pack("images", "images.zip")
    parts = [f"{part}{number}" for part in ("margin", "shape", "texture") for number in range(1, 65)]
    measured = pd.DataFrame(d.random.random((TRAIN + TEST, 192)).round(6), columns=parts)
    measured.insert(0, "id", ids)
    train, test = measured[:TRAIN].copy(), measured[TRAIN:]
    train.insert(1, "species", named(looks[:TRAIN], LEAVES))
    d.table("train.csv.zip", train)
    d.table("test.csv.zip", test)
    d.table("sample_submission.csv.zip", {"id": ids[TRAIN:]} | dict.fromkeys(LEAVES, 1 / len(LEAVES)))
    return pd.DataFrame({"id": ids[TRAIN:]} | one_hot(looks[TRAIN:], LEAVES))


def apples_2020(d: Drawing) -> pd.DataFrame:
    """All images in one folder; a column of 0 and 1 for each class."""
    looks, truth = cycle(TRAIN, 4), cycle(TEST, 4)
    train, test = (
        [f"{part}_{number}" for number in range(count)] for part, count in (("Train", TRAIN), ("Test", TEST))
    )
    d.images("images/{}.jpg", [*train, *test], [*looks, *truth])
    d.table("train.csv", {"image_id": train} | one_hot(looks, APPLES))
    d.table("test.csv", {"image_id": test})
    d.table("sample_submission.csv", {"image_id": test} | dict.fromkeys(APPLES, 0.25))
    return pd.DataFrame({"image_id": test} | one_hot(truth, APPLES))


def apples_2021(d: Drawing) -> pd.DataFrame:
    """Several labels in a cell, between blanks."""
    looks, truth = cycle(2 * TRAIN, len(APPLE_TAGS)), cycle(TEST, len(APPLE_TAGS))
    ids = [f"{name}.jpg" for name in d.ids(2 * TRAIN + TEST, 16)]
    train, test = ids[: 2 * TRAIN], ids[2 * TRAIN :]
    d.images("train_images/{}", train, looks)
    d.images("test_images/{}", test, truth)
    d.table("train.csv", {"image": train, "labels": named(looks, APPLE_TAGS)})
    d.table("sample_submission.csv", {"image": test, "labels": "healthy"})
    return pd.DataFrame({"image": test, "labels": named(truth, APPLE_TAGS)})


def seedlings(d: Drawing) -> pd.DataFrame:
    """No table: the folder is the label."""
    ids = [f"{name}.png" for name in d.ids(TRAIN + TEST, 9)]
    looks, truth = cycle(TRAIN, len(SEEDLINGS)), cycle(TEST, len(SEEDLINGS))
    for name, look in zip(ids[:TRAIN], looks, strict=True):
        d.image(f"train/{SEEDLINGS[look]}/{name}", look)
    d.images("test/{}", ids[TRAIN:], truth)
    d.table("sample_submission.csv", {"file": ids[TRAIN:], "species": "Sugar beet"})
    return pd.DataFrame({"file": ids[TRAIN:], "species": named(truth, SEEDLINGS)})


def paddy(d: Drawing) -> pd.DataFrame:
    """The sample's labels are empty."""
    looks, truth = cycle(TRAIN, len(PADDY)), cycle(TEST, len(PADDY))
    train = [f"{100330 + number}.jpg" for number in range(TRAIN)]
    test = [f"{200001 + number}.jpg" for number in range(TEST)]
    for name, look in zip(train, looks, strict=True):
        d.image(f"train_images/{PADDY[look]}/{name}", look)
    d.images("test_images/{}", test, truth)
    varieties = [("ADT45", "KarnatakaPonni")[number // 4 % 2] for number in range(TRAIN)]
    labels = named(looks, PADDY)
    d.table("train.csv", {"image_id": train, "label": labels, "variety": varieties, "age": 45})
    d.table("sample_submission.csv", {"image_id": test, "label": ""})
    return pd.DataFrame({"image_id": test, "label": named(truth, PADDY)})


SHAPES = (
    Shape("cassava-leaf-disease-classification", cassava, graders.accuracy("image_id", "label")),
    Shape("leaf-classification", leaf, graders.class_log_loss("id"), sample="sample_submission.csv.zip"),
    Shape("plant-pathology-2020-fgvc7", apples_2020, graders.auc("image_id", *APPLES)),
    Shape("plant-pathology-2021-fgvc8", apples_2021, graders.tag_f("image", "labels", APPLE_NAMES, 1.0, "micro")),
    Shape("plant-seedlings-classification", seedlings, graders.f1("file", "species", "micro")),
    Shape("paddy-disease-classification", paddy, graders.accuracy("image_id", "label"), file="paddy"),
)
