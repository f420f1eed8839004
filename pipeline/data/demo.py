"""Draw a whole image competition in the layout of Kaggle's Paddy Doctor, with defects as real data has.

The same seed gives the same bytes on every machine that has the same Pillow. Every picture has a random
stream of its own, so neither the order of drawing nor the number of pictures before it matters.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from numpy.random import PCG64, Generator
from PIL import Image

from pipeline.data.leaves import draw_leaf

TRAIN_COUNT = 900
TEST_COUNT = 1000

# How often each class occurs, relative to the others: uneven as in Paddy, but less so.
DISEASE_WEIGHTS = {
    "normal": 16,
    "blast": 15,
    "hispa": 14,
    "dead_heart": 12,
    "tungro": 10,
    "brown_spot": 9,
    "downy_mildew": 7,
    "bacterial_leaf_blight": 6,
    "bacterial_leaf_streak": 5,
    "bacterial_panicle_blight": 4,
}
VARIETY_WEIGHTS = {
    "ADT45": 16,
    "KarnatakaPonni": 14,
    "Ponni": 12,
    "AtchayaPonni": 11,
    "Zonal": 10,
    "AndraPonni": 9,
    "Onthanel": 8,
    "IR20": 7,
    "RR": 5,
    "Surya": 4,
}
AGES = (45, 50, 55, 57, 60, 62, 65, 66, 67, 68, 70, 72, 73, 75, 77, 80, 82)  # days, as in Paddy
SIZES = ((96, 128), (96, 128), (128, 96), (128, 96), (120, 160), (160, 120), (112, 112))  # width, height
PUBLIC_ONE_IN = 4  # one test picture in so many is scored on the public leaderboard

# What is wrong with how many pictures. A name here is a key of ENCODERS.
TRAIN_DEFECTS = {"png": 2, "grey": 3, "rgba": 2, "rotated": 4, "truncated": 1}
TEST_DEFECTS = {"png": 2, "grey": 2, "rotated": 2, "truncated": 1}
# Pictures of train that are there twice, by what was done to the copy. A name is a key of COPIERS.
TRAIN_COPIES = ("exact", "recompressed", "brightened", "enlarged")
STRAY_FILE = "train_images/blast/annotations.mat"  # as lies among the pictures of Oxford's pets

ORIENTATION = 0x0112  # the EXIF tag
TRAIN, TEST, PLAN, USAGE = 0, 1, 2, 3  # keep the random streams apart
SMALLEST = 40  # pictures in a split: fewer would leave a class or a defect without a member


class Picture(NamedTuple):
    """One row of the competition, and how its file is made."""

    index: int  # of its random stream
    image_id: str
    label: str
    variety: str
    age: int  # days
    defect: str = ""  # a key of ENCODERS; "" is an ordinary JPEG
    copy_of: str = ""  # the image_id that this is a copy of
    change: str = ""  # what was done to the copy, a key of COPIERS


def draw_competition(folder: Path, solution: Path, seed: int, train: int = TRAIN_COUNT, test: int = TEST_COUNT) -> None:
    """Write a competition of `train` and `test` pictures into `folder`, and its answers to `solution`.

    Nothing here is atomic: the caller hands in a temporary folder and renames it when this returns.

    Raises:
        ValueError: a split is too small to hold every class and defect, or the answers would lie
            among the competition's own files.
    """
    if solution.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the answers ({solution}) may not lie inside the competition's folder ({folder})")
    train_pictures, test_pictures = plan_train(seed, train), plan_test(seed, test)
    for label in DISEASE_WEIGHTS:
        (folder / "train_images" / label).mkdir(parents=True, exist_ok=True)
    (folder / "test_images").mkdir(parents=True, exist_ok=True)
    train_files = [(p, folder / "train_images" / p.label / p.image_id) for p in train_pictures]
    _write_pictures(seed, TRAIN, train_files)
    _write_pictures(seed, TEST, [(p, folder / "test_images" / p.image_id) for p in test_pictures])
    (folder / STRAY_FILE).write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM")
    _write_tables(folder, train_pictures, test_pictures)
    _write_solution(solution, seed, test_pictures)


# The plan: which pictures there are


def plan_train(seed: int, count: int) -> list[Picture]:
    """Return the training pictures, defects and copies included, in the order in which they are drawn.

    Raises:
        ValueError: `count` is too small to hold every class and defect.
    """
    rng = _generator(seed, PLAN, TRAIN)
    ids = _number(rng, 100_001, count)
    pictures = _plan_pictures(rng, ids[: count - len(TRAIN_COPIES)])
    chosen = [int(row) for row in rng.permutation(len(pictures))]
    sources, others = chosen[: len(TRAIN_COPIES)], chosen[len(TRAIN_COPIES) :]
    _damage(pictures, others, TRAIN_DEFECTS)
    for image_id, row, change in zip(ids[-len(TRAIN_COPIES) :], sources, TRAIN_COPIES, strict=True):
        source = pictures[row]
        pictures.append(source._replace(image_id=image_id, copy_of=source.image_id, change=change))
    return pictures


def plan_test(seed: int, count: int) -> list[Picture]:
    """Return the test pictures, defects included, in the order in which they are drawn.

    Raises:
        ValueError: `count` is too small to hold every class and defect.
    """
    rng = _generator(seed, PLAN, TEST)
    pictures = _plan_pictures(rng, _number(rng, 200_001, count))
    _damage(pictures, [int(row) for row in rng.permutation(count)], TEST_DEFECTS)
    return pictures


def _number(rng: Generator, first: int, count: int) -> list[str]:
    """Return `count` image ids in random order, so that an id says nothing about the picture."""
    if count < SMALLEST:
        raise ValueError(f"cannot draw {count} pictures: train and test need {SMALLEST} or more each")
    return [f"{first + int(place)}.jpg" for place in rng.permutation(count)]


def _plan_pictures(rng: Generator, ids: Sequence[str]) -> list[Picture]:
    """Return one picture for each id; disease, variety and age are shuffled apart, so independent."""
    diseases = _deal(rng, DISEASE_WEIGHTS, len(ids))
    varieties = _deal(rng, VARIETY_WEIGHTS, len(ids))
    ages = [AGES[int(place)] for place in rng.integers(0, len(AGES), len(ids))]
    rows = zip(ids, diseases, varieties, ages, strict=True)
    return [Picture(index, *row) for index, row in enumerate(rows)]


def _deal(rng: Generator, weights: dict[str, int], count: int) -> list[str]:
    """Return `count` names in random order, each as often as its weight says, to within one."""
    total, names, passed = sum(weights.values()), [], 0
    for name, weight in weights.items():
        start, passed = passed, passed + weight
        names += [name] * (passed * count // total - start * count // total)
    return [names[int(place)] for place in rng.permutation(count)]


def _damage(pictures: list[Picture], rows: Iterable[int], defects: dict[str, int]) -> None:
    """Give the first of `rows` a defect each, in place."""
    names = [name for name, number in defects.items() for _ in range(number)]
    for row, name in zip(rows, names, strict=False):
        pictures[row] = pictures[row]._replace(defect=name)


def _generator(seed: int, *place: int) -> Generator:
    return Generator(PCG64([seed, *place]))


# The pictures


def _write_pictures(seed: int, split: int, files: Sequence[tuple[Picture, Path]]) -> None:
    """Draw each picture into its file; copies come last, when what they copy is there."""
    paths = {picture.image_id: path for picture, path in files}
    for picture, path in files:
        if picture.copy_of:
            path.write_bytes(COPIERS[picture.change](paths[picture.copy_of].read_bytes()))
        else:
            rng = _generator(seed, split, picture.index)
            size = SIZES[int(rng.integers(0, len(SIZES)))]
            pixels = draw_leaf(rng, picture.label, picture.variety, picture.age, size)
            quality = int(rng.integers(80, 96))
            path.write_bytes(ENCODERS[picture.defect](Image.fromarray(pixels), quality))


def _encode_jpeg(image: Image.Image, quality: int) -> bytes:
    return _save(image, "JPEG", quality=quality)


def _encode_png(image: Image.Image, quality: int) -> bytes:
    # Not compressed: how zlib-ng compresses depends on the processor.
    return _save(image, "PNG", compress_level=0)


def _encode_rgba(image: Image.Image, quality: int) -> bytes:
    return _encode_png(image.convert("RGBA"), quality)


def _encode_grey(image: Image.Image, quality: int) -> bytes:
    return _encode_jpeg(image.convert("L"), quality)


def _encode_rotated(image: Image.Image, quality: int) -> bytes:
    """Return pixels that lie on their side and a tag that says so, as phones write them."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # turn a quarter clockwise to look at it
    return _save(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=quality, exif=exif)


def _encode_truncated(image: Image.Image, quality: int) -> bytes:
    data = _encode_jpeg(image, quality)
    return data[: len(data) * 6 // 10]


def _copy_exact(data: bytes) -> bytes:
    return data


def _copy_recompressed(data: bytes) -> bytes:
    return _encode_jpeg(_open(data), 60)


def _copy_brightened(data: bytes) -> bytes:
    return _encode_jpeg(_open(data).point([min(255, level * 107 // 100 + 3) for level in range(256)] * 3), 90)


def _copy_enlarged(data: bytes) -> bytes:
    image = _open(data)
    size = (image.width * 5 // 4, image.height * 5 // 4)
    return _encode_jpeg(image.resize(size, Image.Resampling.BILINEAR), 90)


ENCODERS: dict[str, Callable[[Image.Image, int], bytes]] = {
    "": _encode_jpeg,
    "png": _encode_png,
    "grey": _encode_grey,
    "rgba": _encode_rgba,
    "rotated": _encode_rotated,
    "truncated": _encode_truncated,
}
COPIERS: dict[str, Callable[[bytes], bytes]] = {
    "exact": _copy_exact,
    "recompressed": _copy_recompressed,
    "brightened": _copy_brightened,
    "enlarged": _copy_enlarged,
}


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# The tables


def _write_tables(folder: Path, train: Sequence[Picture], test: Sequence[Picture]) -> None:
    order = list(DISEASE_WEIGHTS)
    rows = sorted((order.index(p.label), p.image_id, p.label, p.variety, str(p.age)) for p in train)
    _write_csv(folder / "train.csv", ["image_id", "label", "variety", "age"], [row[1:] for row in rows])
    blanks = [(image_id, "") for image_id in sorted(p.image_id for p in test)]
    _write_csv(folder / "sample_submission.csv", ["image_id", "label"], blanks)


def _write_solution(solution: Path, seed: int, test: Sequence[Picture]) -> None:
    places = _generator(seed, PLAN, USAGE).permutation(len(test))
    usages = ["Public" if place < len(test) // PUBLIC_ONE_IN else "Private" for place in places]
    rows = sorted((p.image_id, p.label, p.variety, usage) for p, usage in zip(test, usages, strict=True))
    _write_csv(solution, ["image_id", "label", "variety", "Usage"], rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
