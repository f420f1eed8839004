"""Retinas, tissue, X-rays, skin and cells."""

import numpy as np
import pandas as pd

from tests.shapes import graders
from tests.shapes.drawing import TEST, TRAIN, Drawing, cycle, named
from tests.shapes.shape import Shape

LINES = ("ETT - Abnormal", "ETT - Borderline", "ETT - Normal", "NGT - Abnormal", "NGT - Borderline")
LINES += ("NGT - Incompletely Imaged", "NGT - Normal", "CVC - Abnormal", "CVC - Borderline", "CVC - Normal")
LINES += ("Swan Ganz Catheter Present",)
SITES = ("head/neck", "lower extremity", "palms/soles", "torso")
CANCERS = ("CC", "EC", "HGSC", "LGSC", "MC")
PROTEINS = ("0", "16 0", "25", "7 1 2 0", "16")
COLOURS = ("red", "green", "blue", "yellow")


def retinas(d: Drawing) -> pd.DataFrame:
    """Grades from 0 to 4, the mildest most often."""
    ids, looks, truth = d.ids(TRAIN + TEST), cycle(TRAIN, 5), cycle(TEST, 5)
    train, test = ids[:TRAIN], ids[TRAIN:]
    d.images("train_images/{}.png", train, looks)
    d.images("test_images/{}.png", test, truth)
    d.table("train.csv", {"id_code": train, "diagnosis": looks})
    d.table("test.csv", {"id_code": test})
    d.table("sample_submission.csv", {"id_code": test, "diagnosis": 0})
    return pd.DataFrame({"id_code": test, "diagnosis": truth})


def eyes(d: Drawing) -> pd.DataFrame:
    """Both eyes of each patient; images in zips that are cut into parts, tables in zips of their own."""
    looks, truth = [grade for grade in cycle(TRAIN, 5) for _ in "lr"], [grade for grade in cycle(TEST, 5) for _ in "lr"]
    train, test = (
        [f"{first + 3 * number}_{side}" for number in range(count) for side in ("left", "right")]
        for first, count in ((10, TRAIN), (1, TEST))
    )
    for part, names, own in (("train", train, looks), ("test", test, truth), ("sample", train[:2], looks[:2])):
        d.images(f"{part}/{{}}.jpeg", names, own)
        d.pack(part, f"{part}.zip")
    d.cut("train.zip", 3)
    d.cut("test.zip", 2)
    d.table("trainLabels.csv.zip", {"image": train, "level": looks})
    d.table("sampleSubmission.csv.zip", {"image": test, "level": 0})
    return pd.DataFrame({"image": test, "level": truth})


def tissue(d: Drawing) -> pd.DataFrame:
    """TIFF files; the table has other names than usual."""
    ids, looks, truth = d.ids(TRAIN + TEST, 40), cycle(TRAIN, 2), cycle(TEST, 2)
    train, test = ids[:TRAIN], ids[TRAIN:]
    d.images("train/{}.tif", train, looks)
    d.images("test/{}.tif", test, truth)
    d.table("train_labels.csv", {"id": train, "label": looks})
    d.table("sample_submission.csv", {"id": test, "label": 0})
    return pd.DataFrame({"id": test, "label": truth})


def catheters(d: Drawing) -> pd.DataFrame:
    """Eleven columns of 0 and 1 whose names hold blanks and dashes; several images of one patient."""
    ids = [f"1.2.826.0.1.3680043.8.498.{10**30 + 7919 * number}" for number in range(TRAIN + TEST)]
    marks = np.array([[(number >> (place % 4)) % 2 for place in range(11)] for number in range(TRAIN + TEST)])
    rows = pd.DataFrame(marks, columns=list(LINES))
    rows.insert(0, "StudyInstanceUID", ids)
    train, test = rows[:TRAIN], rows[TRAIN:]
    looks = [number % 16 for number in range(TRAIN + TEST)]
    d.images("train/{}.jpg", ids[:TRAIN], looks[:TRAIN], mode="L")
    d.images("test/{}.jpg", ids[TRAIN:], looks[TRAIN:], mode="L")
    d.table("train.csv", train.assign(PatientID=d.ids(TRAIN // 3, 9) * 3))
    annotations = {"StudyInstanceUID": ids[:2], "label": "CVC - Normal", "data": "[[1487, 1279], [1477, 1168]]"}
    d.table("train_annotations.csv", annotations)
    d.table("sample_submission.csv", test[["StudyInstanceUID"]].assign(**dict.fromkeys(LINES, 0)))
    d.bytes("train_tfrecords/00-1881.tfrec", "test_tfrecords/00-388.tfrec")
    return test


def moles(d: Drawing) -> pd.DataFrame:
    """JPEG beside DICOM; a few malignant; several images of one patient; blanks in columns beside the image."""
    looks = [int(number % 4 == 3) for number in range(TRAIN + TEST)]
    ids = [f"ISIC_{15719 + 37 * number:07}" for number in range(TRAIN + TEST)]
    patients = [f"IP_{3000000 + number // 2:07}" for number in range(TRAIN + TEST)]
    rows = pd.DataFrame(
        {
            "image_name": ids,
            "patient_id": patients,
            "sex": [("male", "female", "")[number % 3] for number in range(TRAIN + TEST)],
            "age_approx": [float(5 * (number % 9) + 30) for number in range(TRAIN + TEST)],
            "anatom_site_general_challenge": named(cycle(TRAIN + TEST, 4), SITES),
            "diagnosis": ["melanoma" if look else "unknown" for look in looks],
            "benign_malignant": named(looks, ("benign", "malignant")),
            "target": looks,
        }
    )
    rows.loc[0, "age_approx"] = np.nan
    train, test = rows[:TRAIN], rows[TRAIN:]
    for part, names, own in (("train", ids[:TRAIN], looks[:TRAIN]), ("test", ids[TRAIN:], looks[TRAIN:])):
        d.images(f"jpeg/{part}/{{}}.jpg", names, own)
        d.bytes(*(f"{part}/{name}.dcm" for name in names), f"tfrecords/{part}00-2071.tfrec")
    d.table("train.csv", train)
    d.table("test.csv", test.iloc[:, :5])
    d.table("sample_submission.csv", {"image_name": test["image_name"], "target": 0})
    return test[["image_name", "target"]]


def ovaries(d: Drawing) -> pd.DataFrame:
    """Whole slides with thumbnails, microarrays without; one class has to be told in the test set alone."""
    looks, truth = cycle(TRAIN, 5), cycle(TEST, 5)
    train, test = [4 + 300 * number for number in range(TRAIN)], [41 + 300 * number for number in range(TEST)]
    arrays = [number % 8 == 0 for number in range(TRAIN)]
    d.images("train_images/{}.png", train, looks)
    d.images("test_images/{}.png", test, truth)
    slides = [place for place, array in enumerate(arrays) if not array]
    d.images(
        "train_thumbnails/{}_thumbnail.png", [train[place] for place in slides], [looks[place] for place in slides]
    )
    d.images("test_thumbnails/{}_thumbnail.png", test, truth)
    size = {"image_width": 23785, "image_height": 20008}
    d.table("train.csv", {"image_id": train, "label": named(looks, CANCERS)} | size | {"is_tma": arrays})
    d.table("test.csv", {"image_id": test} | size)
    d.table("sample_submission.csv", {"image_id": test, "label": "HGSC"})
    return pd.DataFrame({"image_id": test, "label": named(truth, CANCERS)})


def proteins(d: Drawing) -> pd.DataFrame:
    """Four grey files an image; numbers of classes between blanks."""
    looks, truth = cycle(TRAIN, 5), cycle(TEST, 5)
    ids = [f"{name[:8]}-bbc3-11e8-b2bc-ac1f6b6435d0" for name in d.ids(TRAIN + TEST, 8)]
    train, test = ids[:TRAIN], ids[TRAIN:]
    for place, colour in enumerate(COLOURS):
        d.images(f"train/{{}}_{colour}.png", train, [look * (place + 1) for look in looks], mode="L")
        d.images(f"test/{{}}_{colour}.png", test, [look * (place + 1) for look in truth], mode="L")
    d.table("train.csv", {"Id": train, "Target": named(looks, PROTEINS)})
    d.table("sample_submission.csv", {"Id": test, "Predicted": 0})
    return pd.DataFrame({"Id": test, "Predicted": named(truth, PROTEINS)})


SHAPES = (
    Shape("aptos2019-blindness-detection", retinas, graders.quadratic_kappa("id_code", "diagnosis", 5)),
    Shape(
        "diabetic-retinopathy-detection",
        eyes,
        graders.quadratic_kappa("image", "level", 5),
        sample="sampleSubmission.csv.zip",
    ),
    Shape("histopathologic-cancer-detection", tissue, graders.auc("id", "label")),
    Shape("ranzcr-clip-catheter-line-classification", catheters, graders.auc("StudyInstanceUID", *LINES)),
    Shape("siim-isic-melanoma-classification", moles, graders.auc("image_name", "target")),
    Shape("UBC-OCEAN", ovaries, graders.balanced_accuracy("image_id", "label"), file="ubc-ocean"),
    Shape(
        "human-protein-atlas-image-classification",
        proteins,
        graders.tag_macro_f1("Id", "Predicted", sorted({tag for cell in PROTEINS for tag in cell.split()})),
    ),
)
