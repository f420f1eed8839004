"""The drawn competition: reproducible, in Paddy's layout, with the promised defects and no others."""

import csv
import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.random import PCG64, Generator
from PIL import Image, ImageOps

from pipeline.data.demo import (
    DISEASE_WEIGHTS,
    ENCODERS,
    ORIENTATION,
    STRAY_FILE,
    TEST_COUNT,
    TEST_DEFECTS,
    TRAIN_COPIES,
    TRAIN_COUNT,
    TRAIN_DEFECTS,
    VARIETY_WEIGHTS,
    draw_competition,
    plan_test,
    plan_train,
)
from pipeline.data.leaves import VARIETIES, draw_leaf
from pipeline.data.lesions import DISEASES

SEED, TRAIN, TEST = 5, 90, 50


class Drawn(NamedTuple):
    folder: Path
    solution: Path


def draw(root: Path, seed: int) -> Drawn:
    drawn = Drawn(root / "competition", root / "solution.csv")
    draw_competition(*drawn, seed=seed, train=TRAIN, test=TEST)
    return drawn


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return draw(tmp_path_factory.mktemp("drawn"), SEED)


def digests(drawn: Drawn) -> dict[str, str]:
    files = {str(p.relative_to(drawn.folder)): p for p in drawn.folder.rglob("*") if p.is_file()}
    files["solution"] = drawn.solution
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def train_paths(drawn: Drawn) -> dict[str, Path]:
    return {path.name: path for path in sorted((drawn.folder / "train_images").glob("*/*.jpg"))}


def test_paths_of(drawn: Drawn) -> dict[str, Path]:
    return {path.name: path for path in sorted((drawn.folder / "test_images").iterdir())}


test_paths_of.__test__ = False


def find_defect(path: Path) -> str:
    """Return what is wrong with a file, judged by its content alone."""
    with Image.open(path) as image:
        if image.format == "PNG":
            return {"RGB": "png", "RGBA": "rgba"}[image.mode]
        assert image.format == "JPEG"
        try:
            image.load()
        except OSError:
            return "truncated"
        if image.getexif().get(ORIENTATION) == 6:
            return "rotated"
        return {"RGB": "", "L": "grey"}[image.mode]


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def decode(path: Path, size: tuple[int, int]) -> np.ndarray:
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
        return np.asarray(upright.resize(size, Image.Resampling.BILINEAR), dtype=np.float64)


def chi_square(pairs: list[tuple[str, str]]) -> tuple[float, int]:
    """Return the chi-square statistic of a table of counts and its degrees of freedom."""
    count, rows, columns = Counter(pairs), Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    expected = {(a, b): rows[a] * columns[b] / len(pairs) for a in rows for b in columns}
    statistic = sum((count[cell] - value) ** 2 / value for cell, value in expected.items())
    return statistic, (len(rows) - 1) * (len(columns) - 1)


def test_same_seed_draws_the_same_bytes(drawn: Drawn, tmp_path: Path) -> None:
    assert digests(draw(tmp_path, SEED)) == digests(drawn)


def test_other_seed_draws_other_pictures_answers_and_numbers(drawn: Drawn, tmp_path: Path) -> None:
    other = draw(tmp_path, SEED + 1)
    theirs, ours = digests(other), digests(drawn)
    assert not {theirs[name] for name in theirs if name.endswith(".jpg")} & set(ours.values())
    for table in ("train.csv", "solution"):
        assert theirs[table] != ours[table]


def test_other_seed_draws_other_scenes(drawn: Drawn, tmp_path: Path) -> None:
    """The n-th picture of another seed has a stream of its own, seen in the sizes that it deals."""
    sizes = []
    for seed, competition in ((SEED, drawn), (SEED + 1, draw(tmp_path, SEED + 1))):
        paths = [test_paths_of(competition)[p.image_id] for p in plan_test(seed, TEST) if not p.defect]
        sizes.append([size_of(path) for path in paths])
    assert sum(a == b for a, b in zip(*sizes, strict=True)) < 0.6 * len(sizes[0])


def test_pixels_are_those_of_the_machine_that_wrote_this_test() -> None:
    digest = hashlib.sha256()
    for place, (disease, variety) in enumerate(zip(DISEASES, VARIETIES, strict=True)):
        digest.update(draw_leaf(Generator(PCG64([0, place])), disease, variety, 70, (48, 64)).tobytes())
    assert digest.hexdigest()[:16] == "740346b5a9c0ac23"


def test_layout_is_that_of_paddy(drawn: Drawn) -> None:
    rows = read(drawn.folder / "train.csv")
    assert list(rows[0]) == ["image_id", "label", "variety", "age"]
    listed = [f"train_images/{row['label']}/{row['image_id']}" for row in rows]
    listed += [f"test_images/{row['image_id']}" for row in read(drawn.solution)]
    found = {str(p.relative_to(drawn.folder)) for p in drawn.folder.rglob("*") if p.is_file()}
    assert found == {*listed, "train.csv", "sample_submission.csv", STRAY_FILE}
    assert len(rows) == TRAIN == len({row["image_id"] for row in rows})
    assert all(45 <= int(row["age"]) <= 82 for row in rows)


def test_answers_match_the_sample_and_lie_apart(drawn: Drawn) -> None:
    answers, sample = read(drawn.solution), read(drawn.folder / "sample_submission.csv")
    assert list(answers[0]) == ["image_id", "label", "variety", "Usage"]
    assert [row["image_id"] for row in sample] == [row["image_id"] for row in answers]
    assert {row["label"] for row in sample} == {""}
    assert len(sample) == TEST
    assert Counter(row["Usage"] for row in answers) == {"Public": TEST // 4, "Private": TEST - TEST // 4}
    assert not drawn.solution.is_relative_to(drawn.folder)


def test_answers_among_the_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="answers"):
        draw_competition(tmp_path, tmp_path / "solution.csv", seed=1, train=TRAIN, test=TEST)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("train", "test"), [(39, 50), (90, 39), (0, 50)])
def test_too_few_pictures_are_refused(tmp_path: Path, train: int, test: int) -> None:
    with pytest.raises(ValueError, match="40 or more"):
        draw_competition(tmp_path / "in", tmp_path / "solution.csv", seed=1, train=train, test=test)


@pytest.mark.parametrize("seed", range(5))
def test_smallest_competition_holds_every_class_and_defect(seed: int) -> None:
    train, test = plan_train(seed, 40), plan_test(seed, 40)
    for pictures in (train, test):
        assert {p.label for p in pictures} == set(DISEASES)
        assert {p.variety for p in pictures} == set(VARIETIES)
    for pictures, defects in ((train, TRAIN_DEFECTS), (test, TEST_DEFECTS)):
        assert Counter(p.defect for p in pictures if p.defect) == defects
    assert tuple(p.change for p in train if p.change) == TRAIN_COPIES


def test_classes_are_uneven_but_none_is_rare() -> None:
    pictures = plan_train(SEED, TRAIN_COUNT)
    assert len(pictures) == TRAIN_COUNT
    for names in (Counter(p.label for p in pictures), Counter(p.variety for p in pictures)):
        assert min(names.values()) >= 12
        assert 3 < max(names.values()) / min(names.values()) < 5


def test_every_disease_and_variety_can_be_drawn_and_encoded() -> None:
    assert list(DISEASE_WEIGHTS) == list(DISEASES)
    assert list(VARIETY_WEIGHTS) == list(VARIETIES)
    assert {*TRAIN_DEFECTS, *TEST_DEFECTS} <= set(ENCODERS)


@pytest.mark.parametrize("seed", range(3))
def test_disease_and_variety_are_independent(seed: int) -> None:
    for pictures in (plan_train(seed, TRAIN_COUNT), plan_test(seed, TEST_COUNT)):
        for first, second in (("label", "variety"), ("label", "age"), ("variety", "age")):
            pairs = [(str(getattr(p, first)), str(getattr(p, second))) for p in pictures]
            statistic, freedom = chi_square(pairs)
            # Mean and variance of chi-square are its freedom and twice that: within four deviations.
            assert abs(statistic - freedom) < 4 * (2 * freedom) ** 0.5, (first, second)


def test_an_id_says_nothing_about_the_class() -> None:
    for pictures in (plan_train(SEED, TRAIN_COUNT), plan_test(SEED, TEST_COUNT)):
        ordered = sorted(pictures, key=lambda p: p.image_id)
        thirds = [(p.label, str(3 * place // len(ordered))) for place, p in enumerate(ordered)]
        statistic, freedom = chi_square(thirds)
        assert statistic < freedom + 4 * (2 * freedom) ** 0.5


def test_an_id_does_not_give_a_copy_away() -> None:
    pictures = plan_train(SEED, TRAIN_COUNT)
    ordered = sorted(pictures, key=lambda p: p.image_id)
    assert [p.image_id for p in ordered] == [f"{100_001 + place}.jpg" for place in range(TRAIN_COUNT)]
    places = [place for place, p in enumerate(ordered) if p.copy_of]
    assert places[-1] - places[0] > TRAIN_COUNT // 10


def test_train_defects_are_those_promised(drawn: Drawn) -> None:
    copies = {p.image_id for p in plan_train(SEED, TRAIN) if p.copy_of}
    found = Counter(find_defect(path) for name, path in train_paths(drawn).items() if name not in copies)
    assert found.pop("") == TRAIN - len(TRAIN_COPIES) - sum(TRAIN_DEFECTS.values())
    assert found == TRAIN_DEFECTS


def test_test_defects_are_those_promised(drawn: Drawn) -> None:
    found = Counter(find_defect(path) for path in test_paths_of(drawn).values())
    assert found.pop("") == TEST - sum(TEST_DEFECTS.values())
    assert found == TEST_DEFECTS


def test_defects_lie_where_the_plan_says(drawn: Drawn) -> None:
    for pictures, paths in (
        (plan_train(SEED, TRAIN), train_paths(drawn)),
        (plan_test(SEED, TEST), test_paths_of(drawn)),
    ):
        planned = {p.image_id: p.defect for p in pictures}
        assert {name: find_defect(path) for name, path in paths.items()} == planned


def test_rotated_files_lie_on_their_side_until_their_tag_is_read() -> None:
    upright = Image.fromarray(draw_leaf(Generator(PCG64(1)), "tungro", "Zonal", 60, (96, 128)))
    data = ENCODERS["rotated"](upright, 95)
    with Image.open(io.BytesIO(data)) as stored:
        assert stored.size == (128, 96)
        turned = np.asarray(ImageOps.exif_transpose(stored), dtype=np.float64)
    assert turned.shape == (128, 96, 3)
    assert np.abs(turned - np.asarray(upright)).mean() < 6
    assert np.abs(turned[::-1, ::-1] - np.asarray(upright)).mean() > 12  # the other way round it differs


def test_copies_look_like_their_source_and_one_is_exact(drawn: Drawn) -> None:
    paths = train_paths(drawn)
    copies = [p for p in plan_train(SEED, TRAIN) if p.copy_of]
    assert tuple(p.change for p in copies) == TRAIN_COPIES
    for copy in copies:
        ours, source = paths[copy.image_id], paths[copy.copy_of]
        assert ours.parent == source.parent
        assert (ours.read_bytes() == source.read_bytes()) == (copy.change == "exact")
        with Image.open(source) as image, Image.open(ours) as other:
            assert (other.size == image.size) == (copy.change != "enlarged")
            difference = np.abs(decode(ours, image.size) - decode(source, image.size)).mean()
        assert difference < 16


def test_no_two_other_pictures_are_alike(drawn: Drawn) -> None:
    paths = {**train_paths(drawn), **test_paths_of(drawn)}
    bytes_of = Counter(path.read_bytes() for path in paths.values())
    assert sorted(bytes_of.values())[-2:] == [1, 2]


def test_the_stray_file_is_no_picture(drawn: Drawn) -> None:
    stray = drawn.folder / STRAY_FILE
    assert stray.suffix == ".mat"
    assert stray.parent.parent == drawn.folder / "train_images"
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(stray)


@pytest.mark.parametrize("disease", [name for name in DISEASES if name != "normal"])
def test_a_disease_marks_the_leaf_and_nothing_else(disease: str) -> None:
    """The healthy picture of the same stream shows the same scene: only part of the leaf may differ."""
    for place in range(6):
        size = (96, 128)
        sick, healthy = (
            draw_leaf(Generator(PCG64([3, place])), name, "ADT45", 60, size).astype(int) for name in (disease, "normal")
        )
        marked = (np.abs(sick - healthy).max(axis=2) > 8).mean()
        assert 0.002 < marked < 0.35


@pytest.mark.parametrize("variety", [name for name in VARIETIES if name != "ADT45"])
def test_a_variety_changes_the_leaf(variety: str) -> None:
    ours, other = (
        draw_leaf(Generator(PCG64([3, 1])), "normal", name, 60, (96, 128)).astype(int) for name in (variety, "ADT45")
    )
    assert (np.abs(ours - other).max(axis=2) > 8).mean() > 0.03


def test_sizes_and_orientations_are_mixed(drawn: Drawn) -> None:
    sizes = {size_of(path) for path in train_paths(drawn).values()}
    assert any(width > height for width, height in sizes)
    assert any(width < height for width, height in sizes)
    assert any(width == height for width, height in sizes)
    assert max(max(size) for size in sizes) >= 160
