"""Digits and faces whose pixels are numbers in a table, and small photos in 7z archives."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tests.shapes import graders
from tests.shapes.drawing import TEST, TRAIN, Drawing, cycle, named
from tests.shapes.shape import Shape

PIXELS = [f"pixel{number}" for number in range(784)]
THINGS = ("airplane", "automobile", "cat", "dog", "frog", "truck")
SPOTS = ("left_eye_center", "right_eye_center", "left_eye_inner_corner", "left_eye_outer_corner")
SPOTS += ("right_eye_inner_corner", "right_eye_outer_corner", "left_eyebrow_inner_end", "left_eyebrow_outer_end")
SPOTS += ("right_eyebrow_inner_end", "right_eyebrow_outer_end", "nose_tip", "mouth_left_corner", "mouth_right_corner")
SPOTS += ("mouth_center_top_lip", "mouth_center_bottom_lip")
FEATURES = [f"{spot}_{axis}" for spot in SPOTS for axis in "xy"]
ALWAYS = ("left_eye_center", "right_eye_center", "nose_tip", "mouth_center_bottom_lip")  # marked in all faces


def digits(d: Drawing) -> pd.DataFrame:
    """A column a pixel; no column of ids, the sample counts rows from 1."""
    looks, truth = cycle(40, 10), cycle(20, 10)
    d.table("train.csv", pd.concat([pd.DataFrame({"label": looks}), strokes(d, looks)], axis=1))
    d.table("test.csv", strokes(d, truth))
    ids = range(1, len(truth) + 1)
    d.table("sample_submission.csv", {"ImageId": ids, "Label": 0})
    return pd.DataFrame({"ImageId": ids, "Label": truth})


def kannada(d: Drawing) -> pd.DataFrame:
    """A column a pixel; the test set alone has ids, from 0; further labelled digits beside it."""
    looks, truth = cycle(40, 10), cycle(20, 10)
    for name, own in (("train.csv", looks), ("Dig-MNIST.csv", looks[:20])):
        d.table(name, pd.concat([pd.DataFrame({"label": own}), strokes(d, own)], axis=1))
    d.table("test.csv", pd.concat([pd.DataFrame({"id": range(len(truth))}), strokes(d, truth)], axis=1))
    d.table("sample_submission.csv", {"id": range(len(truth)), "label": 0})
    return pd.DataFrame({"id": range(len(truth)), "label": truth})


def strokes(d: Drawing, looks: Sequence[int]) -> pd.DataFrame:
    """28 x 28 pixels a row: a line whose slope says which digit it is."""
    down, right = np.mgrid[-1:1:28j, -1:1:28j]
    rows = []
    for look in looks:
        angle, shift = look * np.pi / 10, d.random.uniform(-0.3, 0.3)
        near = np.abs(down * np.cos(angle) - right * np.sin(angle) - shift) < 0.15
        rows.append((near * d.random.uniform(150, 255, near.shape)).astype(int).ravel())
    return pd.DataFrame(rows, columns=PIXELS)


def faces(d: Drawing) -> pd.DataFrame:
    """96 x 96 grey pixels in a cell; coordinates of thirty kinds, most of them blank in most rows; numbered rows."""
    place = {name: (48 + 30 * np.cos(k), 48 + 30 * np.sin(k)) for k, name in enumerate(SPOTS)}
    pictures, rows = [], []
    for _ in range(TRAIN + TEST):
        across, along = d.random.uniform(-12, 12, 2)
        down, right = np.mgrid[0:96, 0:96]
        bright = 200 * np.exp(-((right - 48 - across) ** 2 + (down - 48 - along) ** 2) / 500)
        pixels = (bright + d.random.normal(30, 8, bright.shape)).clip(0, 255).astype(int)
        pictures.append(" ".join(map(str, pixels.ravel())))
        rows.append([shift + at for name in SPOTS for shift, at in zip((across, along), place[name], strict=True)])
    spots = pd.DataFrame(np.round(rows, 4), columns=FEATURES)
    marked = [[name.startswith(ALWAYS) or number % 3 == 0 for name in FEATURES] for number in range(TRAIN + TEST)]
    known = spots.where(np.array(marked))
    d.table("training.csv", known[:TRAIN].assign(Image=pictures[:TRAIN]))
    d.table("test.csv", {"ImageId": range(1, TEST + 1), "Image": pictures[TRAIN:]})
    d.pack_table("training.csv", "training.zip")
    d.pack_table("test.csv", "test.zip")
    asked = known[TRAIN:].set_index(pd.RangeIndex(1, TEST + 1)).stack().dropna()
    numbers = range(1, len(asked) + 1)
    images, features = asked.index.get_level_values(0), asked.index.get_level_values(1)
    lookup = {"RowId": numbers, "ImageId": images, "FeatureName": features, "Location": ""}
    d.table("IdLookupTable.csv", lookup)
    d.table("SampleSubmission.csv", {"RowId": numbers, "Location": 0})
    return pd.DataFrame({"RowId": numbers, "Location": asked.to_numpy()})


def small_photos(d: Drawing) -> pd.DataFrame:
    """PNG files called by numbers from 1, those of test as those of train, in 7z archives."""
    looks, truth = cycle(TRAIN, len(THINGS)), cycle(TEST, len(THINGS))
    for part, own in (("train", looks), ("test", truth)):
        d.images(f"{part}/{{}}.png", range(1, len(own) + 1), own)
        d.pack_7z(part, f"{part}.7z")
    d.table("trainLabels.csv", {"id": range(1, TRAIN + 1), "label": named(looks, THINGS)})
    d.table("sampleSubmission.csv", {"id": range(1, TEST + 1), "label": "cat"})
    return pd.DataFrame({"id": range(1, TEST + 1), "label": named(truth, THINGS)})


SHAPES = (
    Shape("digit-recognizer", digits, graders.accuracy("ImageId", "Label")),
    Shape("Kannada-MNIST", kannada, graders.accuracy("id", "label"), file="kannada-mnist"),
    Shape(
        "facial-keypoints-detection",
        faces,
        graders.rmse("RowId", "Location"),
        sample="SampleSubmission.csv",
        images=TEST,
    ),
    Shape("cifar-10", small_photos, graders.accuracy("id", "label"), sample="sampleSubmission.csv"),
)
