"""Art, cars, hotels, signals, land seen from above, films."""

from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tests.shapes import graders
from tests.shapes.drawing import TEST, TRAIN, Drawing, cycle, named, one_hot
from tests.shapes.shape import Shape

ARTS = ("448 2429", "616", "448 782 2429", "616 782", "3473")
DRIVING = tuple(f"c{number}" for number in range(10))
HOTELS = (36363, 53586, 18807, 64314, 60181, 55110)
LAND = ("clear primary", "agriculture clear primary water", "cloudy", "haze primary", "clear habitation road")
LAND_TAGS = ("agriculture", "clear", "cloudy", "habitation", "haze", "primary", "road", "water")
VOTED = (3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6)  # answers to each question
VOTES = tuple(f"Class{place}.{answer + 1}" for place, many in enumerate(VOTED, 1) for answer in range(many))
HIDDEN = ("Cover", "JMiPOD", "JUNIWARD", "UERD")


def arts(d: Drawing) -> pd.DataFrame:
    """Numbers of attributes between blanks, thousands of them; images without an ending in the table."""
    ids, looks, truth = d.ids(2 * TRAIN + TEST, 32), cycle(2 * TRAIN, len(ARTS)), cycle(TEST, len(ARTS))
    train, test = ids[: 2 * TRAIN], ids[2 * TRAIN :]
    d.images("train/{}.png", train, looks)
    d.images("test/{}.png", test, truth)
    d.table("labels.csv", {"attribute_id": [448, 616], "attribute_name": ["country::france", "culture::thai"]})
    d.table("train.csv", {"id": train, "attribute_ids": named(looks, ARTS)})
    d.table("sample_submission.csv", {"id": test, "attribute_ids": "0 1 2"})
    return pd.DataFrame({"id": test, "attribute_ids": named(truth, ARTS)})


def drivers(d: Drawing) -> pd.DataFrame:
    """Classes in folders, drivers in a table beside them: no driver may be on both sides of a fold."""
    count = 4 * 10
    looks, truth = cycle(count, 10), cycle(20, 10)
    train = [f"img_{5000 + 13 * number}.jpg" for number in range(count)]
    test = [f"img_{number}.jpg" for number in range(1, 21)]
    for name, look in zip(train, looks, strict=True):
        d.image(f"imgs/train/c{look}/{name}", look)
    d.images("imgs/test/{}", test, truth)
    subjects = [f"p{2 + number // 10:03}" for number in range(count)]
    d.table("driver_imgs_list.csv", {"subject": subjects, "classname": named(looks, DRIVING), "img": train})
    d.table("sample_submission.csv", {"img": test} | dict.fromkeys(DRIVING, 0.1))
    return pd.DataFrame({"img": test} | one_hot(truth, DRIVING))


def cacti(d: Drawing) -> pd.DataFrame:
    """Zips within the zip, each with a folder of its own name."""
    looks, truth = [int(number % 4 > 0) for number in range(TRAIN)], cycle(TEST, 2)
    ids = [f"{name}.jpg" for name in d.ids(TRAIN + TEST, 32)]
    d.images("train/{}", ids[:TRAIN], looks)
    d.images("test/{}", ids[TRAIN:], truth)
    d.pack("train", "train.zip")
    d.pack("test", "test.zip")
    d.table("train.csv", {"id": ids[:TRAIN], "has_cactus": looks})
    d.table("sample_submission.csv", {"id": ids[TRAIN:], "has_cactus": 0.5})
    return pd.DataFrame({"id": ids[TRAIN:], "has_cactus": truth})


def hotels(d: Drawing) -> pd.DataFrame:
    """Folders of hotel chains, which are not asked for; the five likeliest of thousands of hotels in a cell."""
    looks, truth = cycle(2 * TRAIN, len(HOTELS)), cycle(TEST, len(HOTELS))
    ids = [f"{name}.jpg" for name in d.ids(2 * TRAIN + TEST, 16)]
    train, test = ids[: 2 * TRAIN], ids[2 * TRAIN :]
    chains = [look % 3 for look in looks]
    for name, chain, look in zip(train, chains, looks, strict=True):
        d.image(f"train_images/{chain}/{name}", look)
    d.images("test_images/{}", test, truth)
    rows = {"image": train, "chain": chains, "hotel_id": named(looks, HOTELS), "timestamp": "2018-04-09 19:31:51"}
    d.table("train.csv", rows)
    d.table("sample_submission.csv", {"image": test, "hotel_id": "36363 53586 18807 64314 60181"})
    return pd.DataFrame({"image": test, "hotel_id": named(truth, HOTELS)})


def hidden_messages(d: Drawing) -> pd.DataFrame:
    """The same images in four folders: as they were, and with a message in three ways. Any score is taken."""
    train, test = [f"{number:05}.jpg" for number in range(1, 13)], [f"{number:04}.jpg" for number in range(1, TEST + 1)]
    truth = cycle(TEST, 4)
    for number, name in enumerate([*train, *test]):
        cover = d.random.integers(0, 256, (4, 5, 3)).repeat(8, 0).repeat(8, 1)
        for look, folder in enumerate(HIDDEN):
            message = look * d.random.integers(-1, 2, cover.shape)
            picture = Image.fromarray((cover + message).clip(0, 255).astype(np.uint8))
            quality = (95, 90, 75)[number % 3]
            if number < len(train):
                picture.save(d.place(f"{folder}/{name}"), quality=quality)
            elif look == truth[number - len(train)]:
                picture.save(d.place(f"Test/{name}"), quality=quality)
    d.table("sample_submission.csv", {"Id": test, "Label": 0})
    return pd.DataFrame({"Id": test, "Label": [int(look > 0) for look in truth]})


def icebergs(d: Drawing) -> pd.DataFrame:
    """No images: two bands of 75 x 75 decibels in each record of a JSON table, in 7z archives."""
    records: list[dict[str, Any]] = []
    looks = cycle(12 + 6, 2)
    for number, (name, look) in enumerate(zip(d.ids(12 + 6, 8), looks, strict=True)):
        first, second = d.random.normal(-20 - 4 * look, 3, (2, 75 * 75)).round(1).tolist()
        angle: object = "na" if number == 0 else round(35 + number / 10, 4)
        own = {"id": name, "band_1": first, "band_2": second, "inc_angle": angle}
        records.append(own | ({"is_iceberg": look} if number < 12 else {}))
    ids = [record["id"] for record in records[12:]]
    d.json("data/processed/train.json", records[:12])
    d.json("data/processed/test.json", records[12:])
    d.table("sample_submission.csv", {"id": ids, "is_iceberg": 0.5})
    for place in ("data/processed/train.json", "data/processed/test.json", "sample_submission.csv"):
        d.pack_7z(place, f"{place.rpartition('/')[2]}.7z")
    (d.raw / "data" / "processed").rmdir()
    (d.raw / "data").rmdir()
    return pd.DataFrame({"id": ids, "is_iceberg": looks[12:]})


def land(d: Drawing) -> pd.DataFrame:
    """Tags between blanks; the test set lies in two folders, images in tars within 7z archives, tables in zips."""
    looks, truth = cycle(2 * TRAIN, len(LAND)), cycle(TEST, len(LAND))
    train = [f"train_{number}" for number in range(2 * TRAIN)]
    test = [f"test_{number}" for number in range(TEST - 4)] + [f"file_{number}" for number in range(4)]
    folders = {
        "train-jpg": (train, looks),
        "test-jpg": (test[:-4], truth),
        "test-jpg-additional": (test[-4:], truth[-4:]),
    }
    for folder, (names, own) in folders.items():
        d.images(f"{folder}/{{}}.jpg", names, own[: len(names)])
        d.pack_tar(folder, f"{folder}.tar")
        d.pack_7z(f"{folder}.tar", f"{folder}.tar.7z")
    d.table("train_v2.csv.zip", {"image_name": train, "tags": named(looks, LAND)})
    d.table("sample_submission_v2.csv.zip", {"image_name": test, "tags": "primary clear agriculture road water"})
    return pd.DataFrame({"image_name": test, "tags": named(truth, LAND)})


def galaxies(d: Drawing) -> pd.DataFrame:
    """37 columns of shares of votes, whose names hold dots; tables and images in zips; three samples."""
    looks = cycle(TRAIN + TEST, 5)
    shares = [[(look + place) % 5 / 4 for place in range(len(VOTES))] for look in looks]
    noise = d.random.normal(0, 0.05, (TRAIN + TEST, len(VOTES)))
    ids = [100008 + 23 * number for number in range(TRAIN + TEST)]
    rows = pd.DataFrame((shares + noise).clip(0, 1).round(6), columns=list(VOTES))
    rows.insert(0, "GalaxyID", ids)
    for folder, own, names in (("training", looks[:TRAIN], ids[:TRAIN]), ("test", looks[TRAIN:], ids[TRAIN:])):
        d.images(f"images_{folder}_rev1/{{}}.jpg", names, own)
        d.pack(f"images_{folder}_rev1", f"images_{folder}_rev1.zip")
    blank = rows[TRAIN:].assign(**dict.fromkeys(VOTES, 0))
    tables = {"training_solutions_rev1": rows[:TRAIN], "all_zeros_benchmark": blank}
    tables |= {"all_ones_benchmark": blank.replace({name: {0: 1} for name in VOTES})}
    for name, table in (tables | {"central_pixel_benchmark": blank.assign(**dict.fromkeys(VOTES, 0.3))}).items():
        d.table(f"{name}.csv", table)
        d.pack_table(f"{name}.csv", f"{name}.zip")
    return rows[TRAIN:]


def films(d: Drawing) -> pd.DataFrame:
    """A class's competition: ratings from 1 to 5 whose row and column of a matrix are one word."""
    pairs = [(row, column) for row in range(1, 31) for column in range(1, 21)]
    chosen = d.random.permutation(len(pairs))[:360]
    liked, good = d.random.normal(0, 0.7, 31), d.random.normal(0, 0.7, 21)
    cells = [f"r{pairs[place][0]}_c{pairs[place][1]}" for place in chosen]
    noise = d.random.normal(0, 0.5, len(chosen))
    means = [3.5 + liked[pairs[place][0]] + good[pairs[place][1]] for place in chosen]
    ratings = np.clip(np.rint(np.array(means) + noise), 1, 5).astype(int)
    d.table("data_train.csv", {"Id": cells[:300], "Prediction": ratings[:300]})
    d.table("sampleSubmission.csv", {"Id": cells[300:], "Prediction": 3})
    return pd.DataFrame({"Id": cells[300:], "Prediction": ratings[300:]})


def signals(d: Drawing) -> pd.DataFrame:
    """Arrays of six half-precision spectrograms, in folders by the first digit of the id."""
    ids, looks, truth = d.ids(16 + 8), cycle(16, 2), cycle(8, 2)
    train, test = ids[:16], ids[16:]
    for part, names, own in (("train", train, looks), ("test", test, truth)):
        for name, look in zip(names, own, strict=True):
            values = d.random.normal(0, 1, (6, 273, 256)) + 2 * look * np.array([1, 0] * 3)[:, None, None]
            np.save(d.place(f"{part}/{name[0]}/{name}.npy"), values.astype(np.float16))
    d.table("train_labels.csv", {"id": train, "target": looks})
    d.table("sample_submission.csv", {"id": test, "target": 0.5})
    d.table("old_leaky_data/train_labels_old.csv", {"id": train[:2], "target": 0})
    return pd.DataFrame({"id": test, "target": truth})


SHAPES = (
    Shape(
        "imet-2020-fgvc7",
        arts,
        graders.tag_f("id", "attribute_ids", [*"012", "448", "616", "782", "2429", "3473"], 1.0, "micro"),
    ),
    Shape("state-farm-distracted-driver-detection", drivers, graders.class_log_loss("img")),
    Shape("aerial-cactus-identification", cacti, graders.auc("id", "has_cactus")),
    Shape("hotel-id-2021-fgvc8", hotels, graders.map_at_5("image", "hotel_id")),
    Shape("alaska2-image-steganalysis", hidden_messages, graders.weighted_auc("Id", "Label")),
    Shape("seti-breakthrough-listen", signals, graders.auc("id", "target")),
    Shape(
        "statoil-iceberg-classifier-challenge",
        icebergs,
        graders.binary_log_loss("id", "is_iceberg"),
        sample="sample_submission.csv.7z",
    ),
    Shape(
        "planet-understanding-the-amazon-from-space",
        land,
        graders.tag_f("image_name", "tags", LAND_TAGS, 2.0, "rows"),
        sample="sample_submission_v2.csv.zip",
    ),
    Shape(
        "galaxy-zoo-the-galaxy-challenge",
        galaxies,
        graders.rmse("GalaxyID", VOTES, 0, 1),
        sample="all_ones_benchmark.zip",
    ),
    Shape(
        "cil-collaborative-filtering-2022",
        films,
        graders.rmse("Id", "Prediction"),
        sample="sampleSubmission.csv",
    ),
)
