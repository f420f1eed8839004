"""Art, cars, hotels, signals, land seen from above, films."""

import numpy as np
import pandas as pd
from PIL import Image

from tests.shapes import graders
from tests.shapes.drawing import TEST, TRAIN, Drawing, cycle, named, one_hot
from tests.shapes.shape import Shape

ARTS = ("448 2429", "616", "448 782 2429", "616 782", "3473")
DRIVING = tuple(f"c{number}" for number in range(10))
HOTELS = (36363, 53586, 18807, 64314, 60181, 55110)
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
    for number, name in enumerate(train):
        cover = d.random.integers(0, 256, (4, 5, 3)).repeat(8, 0).repeat(8, 1)
        for look, folder in enumerate(HIDDEN):
            message = look * d.random.integers(-1, 2, cover.shape)
            picture = Image.fromarray((cover + message).clip(0, 255).astype(np.uint8))
            picture.save(d.place(f"{folder}/{name}"), quality=(95, 90, 75)[number % 3])
    truth = cycle(TEST, 4)
    d.images("Test/{}", test, truth)
    d.table("sample_submission.csv", {"Id": test, "Label": 0})
    return pd.DataFrame({"Id": test, "Label": [int(look > 0) for look in truth]})


def icebergs(d: Drawing) -> list[dict[str, object]]:
    """Two bands of 75 x 75 decibels in each record of a JSON table."""
    records: list[dict[str, object]] = []
    for number, name in enumerate(d.ids(TRAIN + TEST, 8)):
        bands = d.random.normal(-20 - 4 * (number % 2), 3, (2, 75 * 75)).round(3).tolist()
        angle: object = "na" if number == 0 else round(35 + number / 10, 4)
        records.append({"id": name, "band_1": bands[0], "band_2": bands[1], "inc_angle": angle})
    return records


def signals(d: Drawing) -> pd.DataFrame:
    """Arrays of six half-precision spectrograms, in folders by the first digit of the id."""
    ids, looks, truth = d.ids(TRAIN + TEST), cycle(TRAIN, 2), cycle(TEST, 2)
    train, test = ids[:TRAIN], ids[TRAIN:]
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
)
