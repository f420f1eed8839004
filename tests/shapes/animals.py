"""Pets, whales and camera traps."""

import pandas as pd

from tests.shapes import graders
from tests.shapes.drawing import TEST, TRAIN, Drawing, cycle, named, one_hot
from tests.shapes.shape import Shape

BREEDS = ("affenpinscher", "black-and-tan_coonhound", "german_short-haired_pointer", "yorkshire_terrier")
PET_MARKS = ("Subject Focus", "Eyes", "Face", "Near", "Action", "Accessory")
PET_MARKS += ("Group", "Collage", "Human", "Occlusion", "Info", "Blur")
WHALES = ("new_whale", "w_1287fbc", "w_98baff9", "w_7554f44", "w_1eafe46", "w_693c9ee")
TRAPPED = (0, 1, 13, 19)


def dog_breeds(d: Drawing) -> pd.DataFrame:
    """120 columns in the sample; here four."""
    ids, looks, truth = d.ids(TRAIN + TEST, 32), cycle(TRAIN, len(BREEDS)), cycle(TEST, len(BREEDS))
    train, test = ids[:TRAIN], ids[TRAIN:]
    d.images("train/{}.jpg", train, looks)
    d.images("test/{}.jpg", test, truth)
    d.table("labels.csv", {"id": train, "breed": named(looks, BREEDS)})
    d.table("sample_submission.csv", {"id": test} | dict.fromkeys(BREEDS, 1 / len(BREEDS)))
    return pd.DataFrame({"id": test} | one_hot(truth, BREEDS))


def cats_and_dogs(d: Drawing) -> pd.DataFrame:
    """Zips within the zip; the label begins the file's name, and tests are numbered from 1."""
    truth = cycle(TEST, 2)
    for look, name in enumerate(("cat", "dog")):
        d.images(f"train/{name}.{{}}.jpg", range(TRAIN // 2), [look] * (TRAIN // 2))
    d.images("test/{}.jpg", range(1, TEST + 1), truth)
    d.pack("train", "train.zip")
    d.pack("test", "test.zip")
    d.table("sample_submission.csv", {"id": range(1, TEST + 1), "label": 0.5})
    return pd.DataFrame({"id": range(1, TEST + 1), "label": truth})


def pawpularity(d: Drawing) -> pd.DataFrame:
    ids, looks = d.ids(TRAIN + TEST, 32), cycle(TRAIN + TEST, 5)
    marks = {name: d.random.integers(0, 2, TRAIN + TEST) for name in PET_MARKS}
    scores = [int(score) for score in 15 + 17 * pd.Series(looks) + d.random.integers(0, 9, TRAIN + TEST)]
    rows = pd.DataFrame({"Id": ids} | marks | {"Pawpularity": scores})
    train, test = rows[:TRAIN], rows[TRAIN:]
    d.images("train/{}.jpg", train["Id"], looks[:TRAIN])
    d.images("test/{}.jpg", test["Id"], looks[TRAIN:])
    d.table("train.csv", train)
    d.table("test.csv", test.drop(columns="Pawpularity"))
    guesses = d.random.uniform(1, 100, TEST).round(2)
    d.table("sample_submission.csv", {"Id": test["Id"], "Pawpularity": guesses})
    return test[["Id", "Pawpularity"]]


def whales(d: Drawing) -> pd.DataFrame:
    """Up to five of thousands of whales in a cell, likeliest first; many have one image."""
    looks = [0] * 6 + cycle(TRAIN - 7, len(WHALES) - 1) + [len(WHALES) - 1]
    truth = cycle(TEST, len(WHALES) - 1)
    ids = [f"{name}.jpg" for name in d.ids(TRAIN + TEST, 8)]
    train, test = ids[:TRAIN], ids[TRAIN:]
    d.images("train/{}", train, looks)
    d.images("test/{}", test, truth)
    d.table("train.csv", {"Image": train, "Id": named(looks, WHALES)})
    d.table("sample_submission.csv", {"Image": test, "Id": " ".join(WHALES[:5])})
    return pd.DataFrame({"Image": test, "Id": named(truth, WHALES)})


def traps_2019(d: Drawing) -> pd.DataFrame:
    """Flat zips within the zip; the sample writes `Id` where the tables write `id`; sites of the test set are new."""
    looks = cycle(TRAIN, len(TRAPPED)) + cycle(TEST, 3)  # one animal of train is not there
    ids = [f"{name[:8]}-23d2-11e8-a6a3-ec086b02610b" for name in d.ids(TRAIN + TEST, 8)]
    rows = pd.DataFrame(
        {
            "category_id": named(looks, TRAPPED),
            "date_captured": "2011-05-13 23:43:18",
            "file_name": [f"{name}.jpg" for name in ids],
            "frame_num": 1,
            "id": ids,
            "location": [number // 4 % 3 + 30 * (number >= TRAIN) for number in range(TRAIN + TEST)],
            "rights_holder": "Justin Brown",
            "seq_id": ids[::-1],
            "seq_num_frames": 3,
            "width": 1024,
            "height": 747,
        }
    )
    train, test = rows[:TRAIN], rows[TRAIN:]
    for part, table, own in (("train", train, looks[:TRAIN]), ("test", test, looks[TRAIN:])):
        d.images(f"{part}_images/{{}}", table["file_name"], own)
        d.pack_flat(f"{part}_images", f"{part}_images.zip")
    d.table("train.csv", train)
    d.table("test.csv", test.drop(columns="category_id"))
    d.table("sample_submission.csv", {"Id": test["id"], "Predicted": 0})
    return pd.DataFrame({"Id": test["id"], "Predicted": test["category_id"]})


def traps_2020(d: Drawing) -> pd.DataFrame:
    """Tables in COCO's JSON: annotations and images, joined by the image's id."""
    looks = cycle(TRAIN + TEST, len(TRAPPED))
    ids = [f"{name[:8]}-21bc-11ea-a13a-137349068a90" for name in d.ids(TRAIN + TEST, 8)]
    images = [
        {
            "seq_num_frames": 6,
            "location": number // 4 % 3 + 100 * (number >= TRAIN),
            "datetime": "2013-06-05 05:44:19.000",
            "frame_num": 1,
            "seq_id": f"s{number}",
            "width": 1024,
            "height": 768,
            "file_name": f"{name}.jpg",
            "id": name,
        }
        for number, name in enumerate(ids)
    ]
    annotations = [
        {"count": 1, "image_id": name, "id": f"a{name}", "category_id": TRAPPED[look]}
        for name, look in zip(ids[:TRAIN], looks, strict=False)
    ]
    about = {"categories": [{"id": each, "name": f"animal {each}", "count": 5} for each in TRAPPED], "info": {}}
    d.images("train/{}.jpg", ids[:TRAIN], looks[:TRAIN])
    d.images("test/{}.jpg", ids[TRAIN:], looks[TRAIN:])
    d.json("iwildcam2020_train_annotations.json", {"annotations": annotations, "images": images[:TRAIN]} | about)
    d.json("iwildcam2020_test_information.json", {"images": images[TRAIN:]} | about)
    d.json("iwildcam2020_megadetector_results.json", {"images": [], "detection_categories": {"1": "animal"}})
    d.table("sample_submission.csv", {"Id": ids[TRAIN:], "Category": 0})
    return pd.DataFrame({"Id": ids[TRAIN:], "Category": named(looks[TRAIN:], TRAPPED)})


def naturalist(d: Drawing) -> pd.DataFrame:
    """COCO's JSON again; images in tars, below kingdom and class; ids are numbers; one class is asked for."""
    looks, words = cycle(TRAIN + TEST, 4), d.ids(TRAIN + TEST, 32)
    kingdom, codes = ("Plants", "Birds", "Insects", "Fungi"), (400, 202, 17, 1009)
    places = [
        f"train_val2019/{kingdom[look]}/{codes[look]}/{word}.jpg" for word, look in zip(words, looks, strict=True)
    ]
    places[TRAIN:] = [f"test2019/{word}.jpg" for word in words[TRAIN:]]
    for place, look in zip(places, looks, strict=True):
        d.image(place, look)
    ids = [*range(TRAIN), *range(268243, 268243 + TEST)]
    images = [
        {"id": own, "width": 800, "height": 600, "file_name": place, "license": 0, "rights_holder": "someone"}
        for own, place in zip(ids, places, strict=True)
    ]
    annotations = [{"id": own, "image_id": own, "category_id": codes[looks[own]]} for own in range(TRAIN)]
    about = {"info": {"year": 2019}, "licenses": [{"id": 0, "name": "", "url": ""}]}
    categories = [{"id": code, "name": str(code), "kingdom": name} for code, name in zip(codes, kingdom, strict=True)]
    for name, own in (("train", slice(TRAIN - 4)), ("val", slice(TRAIN - 4, TRAIN))):
        table = {"images": images[own], "annotations": annotations[own], "categories": categories}
        d.json(f"{name}2019.json", table | about)
    d.json("test2019.json", {"images": images[TRAIN:]} | about)
    d.pack_tar("train_val2019", "train_val2019.tar.gz")
    d.pack_tar("test2019", "test2019.tar.gz")
    d.table("kaggle_sample_submission.csv", {"id": ids[TRAIN:], "predicted": "71 108 339 341 560"})
    return pd.DataFrame({"id": ids[TRAIN:], "predicted": named(looks[TRAIN:], codes)})


SHAPES = (
    Shape("dog-breed-identification", dog_breeds, graders.class_log_loss("id")),
    Shape("dogs-vs-cats-redux-kernels-edition", cats_and_dogs, graders.binary_log_loss("id", "label")),
    Shape("petfinder-pawpularity-score", pawpularity, graders.rmse("Id", "Pawpularity", 1, 100)),
    Shape("whale-categorization-playground", whales, graders.map_at_5("Image", "Id")),
    Shape("humpback-whale-identification", whales, graders.map_at_5("Image", "Id")),
    Shape("iwildcam-2019-fgvc6", traps_2019, graders.f1("Id", "Predicted", "macro")),
    Shape("iwildcam-2020-fgvc7", traps_2020, graders.accuracy("Id", "Category")),
    Shape(
        "inaturalist-2019-fgvc6",
        naturalist,
        graders.error("id", "predicted"),
        sample="kaggle_sample_submission.csv",
    ),
)
