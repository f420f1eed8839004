"""Leaves, seedlings, fields and herbaria."""

from typing import Any

import pandas as pd

from tests.shapes import graders
from tests.shapes.drawing import TEST, TRAIN, Drawing, cycle, named, one_hot
from tests.shapes.shape import Shape

LEAVES = ("Acer_Capillipes", "Acer_Circinatum", "Quercus_Rubra", "Tilia_Oliveri")
APPLES = ("healthy", "multiple_diseases", "rust", "scab")
APPLE_TAGS = ("healthy", "scab", "frog_eye_leaf_spot complex", "rust", "scab frog_eye_leaf_spot", "complex")
APPLE_NAMES = ("complex", "frog_eye_leaf_spot", "healthy", "rust", "scab")
SEEDLINGS = ("Black-grass", "Common Chickweed", "Loose Silky-bent", "Sugar beet")
CULTIVARS = ("PI_257599", "PI_154987", "PI_92270", "PI_329546")
BIOMASS = {"Dry_Clover_g": 0.1, "Dry_Dead_g": 0.1, "Dry_Green_g": 0.1, "Dry_Total_g": 0.5, "GDM_g": 0.2}
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
    measured.iloc[:, ::8] += pd.Series(looks).to_numpy()[:, None]
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


def invasive(d: Drawing) -> pd.DataFrame:
    """Images in 7z archives, tables in zips; ids are numbers."""
    looks, truth = cycle(TRAIN, 2), cycle(TEST, 2)
    d.images("train/{}.jpg", range(1, TRAIN + 1), looks)
    d.images("test/{}.jpg", range(1, TEST + 1), truth)  # the numbers of train again
    d.pack_7z("train", "train.7z")
    d.pack_7z("test", "test.7z")
    d.table("train_labels.csv.zip", {"name": range(1, TRAIN + 1), "invasive": looks})
    d.table("sample_submission.csv.zip", {"name": range(1, TEST + 1), "invasive": 0.5})
    return pd.DataFrame({"name": range(1, TEST + 1), "invasive": truth})


def herbarium_2020(d: Drawing) -> pd.DataFrame:
    """COCO's JSON in Latin-1, everything but the sample in a folder."""
    return _herbarium(d, "nybg2020/", "latin-1")


def herbarium_2021(d: Drawing) -> pd.DataFrame:
    return _herbarium(d, "", "utf-8")


def _herbarium(d: Drawing, folder: str, encoding: str) -> pd.DataFrame:
    """Images in folders by category; ids of the test set are numbers from 0, as some of train's are."""
    codes = [15672 + 11 * look for look in cycle(TRAIN, 4)]
    truth = [15672 + 11 * look for look in cycle(TEST, 4)]
    ids = [354106 + 3 * number for number in range(TRAIN)]
    places = [f"images/{code // 100:03}/{code % 100:02}/{own}.jpg" for own, code in zip(ids, codes, strict=True)]
    asked = [f"images/000/{number}.jpg" for number in range(TEST)]
    for part, names, looks in (("train", places, codes), ("test", asked, truth)):
        for name, look in zip(names, looks, strict=True):
            d.image(f"{folder}{part}/{name}", look)
    about = {"info": {"year": 2020, "contributor": "Société"}, "licenses": [{"id": 1, "name": "", "url": ""}]}
    size = {"width": 681, "height": 1000, "license": 1}
    images = [{"id": own, "file_name": name} | size for own, name in zip(ids, places, strict=True)]
    annotations = [
        {"id": own, "image_id": own, "category_id": code, "region_id": 1} for own, code in zip(ids, codes, strict=True)
    ]
    categories = [{"id": code, "name": "Ilex", "family": "F", "genus": "G"} for code in sorted(set(codes))]
    train = {
        "annotations": annotations,
        "categories": categories,
        "images": images,
        "regions": [{"id": 1, "name": "Perú"}],
    }
    d.json(f"{folder}train/metadata.json", train | about, encoding)
    tested = [{"id": number, "file_name": name} | size for number, name in enumerate(asked)]
    d.json(f"{folder}test/metadata.json", {"images": tested} | about, encoding)
    d.table("sample_submission.csv", {"Id": range(TEST), "Predicted": 0})
    return pd.DataFrame({"Id": range(TEST), "Predicted": truth})


def herbarium_2022(d: Drawing) -> pd.DataFrame:
    """Train's table is COCO's JSON with keys of its own, that of the test set a list of images."""
    codes, truth = cycle(TRAIN, 4), cycle(TEST, 4)
    ids = [f"{code:05}__{number // 4 + 1:03}" for number, code in enumerate(codes)]
    places = [f"000/{code:02}/{own}.jpg" for own, code in zip(ids, codes, strict=True)]
    asked = [f"000/test-{number:06}.jpg" for number in range(TEST)]
    d.images("train_images/{}", places, codes)
    d.images("test_images/{}", asked, truth)
    train = {
        "annotations": [
            {"genus_id": code, "institution_id": 5, "category_id": code, "image_id": own}
            for own, code in zip(ids, codes, strict=True)
        ],
        "images": [{"image_id": own, "file_name": name, "license": 0} for own, name in zip(ids, places, strict=True)],
        "categories": [{"category_id": code, "scientificName": "Ilex", "family": "F"} for code in range(4)],
        "genera": [{"genus_id": code, "genus": "Ilex"} for code in range(4)],
        "distances": [{"genus_id_x": 0, "genus_id_y": 1, "distance": 64.4}],
    }
    d.json("train_metadata.json", train)
    d.json(
        "test_metadata.json",
        [{"image_id": str(number), "file_name": name, "license": 0} for number, name in enumerate(asked)],
    )
    d.table("sample_submission.csv", {"Id": range(TEST), "Predicted": 42})
    return pd.DataFrame({"Id": range(TEST), "Predicted": truth})


def pasture(d: Drawing) -> pd.DataFrame:
    """Five numbers of one image in five rows, in the tables and the submission; what else there is, train alone has."""
    rows: list[dict[str, Any]] = []
    for number, word in enumerate(d.ids(TRAIN + TEST, 10)):
        green, dead, clover = (round(float(amount), 4) for amount in d.random.gamma(2, 10 + 5 * (number % 3), 3))
        grams = (clover, dead, green, clover + dead + green, clover + green)
        part = "train" if number < TRAIN else "test"
        d.image(f"{part}/ID{word}.jpg", number % 3)
        about = {"Sampling_Date": f"2015/{number % 9 + 1}/4", "State": ("NSW", "Tas", "Vic")[number % 3]}
        about |= {"Species": "Ryegrass_Clover", "Pre_GSHH_NDVI": 0.62, "Height_Ave_cm": 4.6667}
        for name, amount in zip(BIOMASS, grams, strict=True):
            own = {"sample_id": f"ID{word}__{name}", "image_path": f"{part}/ID{word}.jpg"}
            rows.append(own | about | {"target_name": name, "target": round(amount, 4)})
    table = pd.DataFrame(rows)
    train, test = table[: 5 * TRAIN], table[5 * TRAIN :]
    d.table("train.csv", train)
    d.table("test.csv", test[["sample_id", "image_path", "target_name"]])
    d.table("sample_submission.csv", test[["sample_id"]].assign(target=0.0))
    return test[["sample_id", "target"]]


def sorghum(d: Drawing) -> pd.DataFrame:
    """Other names of columns in the sample; a row of the training table is a hidden file, without a label."""
    looks, truth = cycle(TRAIN, len(CULTIVARS)), cycle(TEST, len(CULTIVARS))
    train = [f"2017-06-{1 + number // 10:02}__12-24-20-{930 + number}.png" for number in range(TRAIN)]
    test = [f"{1000707967 + 9173 * number}.png" for number in range(TEST)]
    d.images("train_images/{}", train, looks)
    d.images("test/{}", test, truth)
    d.table("train_cultivar_mapping.csv", {"image": [*train, ".DS_Store"], "cultivar": [*named(looks, CULTIVARS), ""]})
    d.table("sample_submission.csv", {"filename": test, "cultivar": CULTIVARS[0]})
    return pd.DataFrame({"filename": test, "cultivar": named(truth, CULTIVARS)})


SHAPES = (
    Shape("cassava-leaf-disease-classification", cassava, graders.accuracy("image_id", "label")),
    Shape("leaf-classification", leaf, graders.class_log_loss("id"), sample="sample_submission.csv.zip"),
    Shape("plant-pathology-2020-fgvc7", apples_2020, graders.auc("image_id", *APPLES)),
    Shape("plant-pathology-2021-fgvc8", apples_2021, graders.tag_f("image", "labels", APPLE_NAMES, 1.0, "micro")),
    Shape("plant-seedlings-classification", seedlings, graders.f1("file", "species", "micro")),
    Shape("paddy-disease-classification", paddy, graders.accuracy("image_id", "label"), file="paddy"),
    Shape("invasive-species-monitoring", invasive, graders.auc("name", "invasive"), sample="sample_submission.csv.zip"),
    Shape("herbarium-2020-fgvc7", herbarium_2020, graders.f1("Id", "Predicted", "macro")),
    Shape("herbarium-2021-fgvc8", herbarium_2021, graders.f1("Id", "Predicted", "macro")),
    Shape("herbarium-2022-fgvc9", herbarium_2022, graders.f1("Id", "Predicted", "macro")),
    Shape("csiro-biomass", pasture, graders.weighted_r2("sample_id", "target", BIOMASS), rows=5),
    Shape("sorghum-id-fgvc-9", sorghum, graders.accuracy("filename", "cultivar")),
)
