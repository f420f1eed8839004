"""The audit of image files: what is unreadable, odd, doubled or leaked, on small generated pictures."""

import json
import os
import random
import tarfile
import warnings
import zipfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageChops, ImageEnhance, ImageFile, ImageOps

from pipeline.data import duplicates
from pipeline.data.audit import NOTHING, audit, inspect_images
from pipeline.data.duplicates import DISTANCE, alike, hamming_pairs, near_duplicate_groups

REAL = Path(__file__).parents[2] / "shared" / "data"
COLUMNS = [
    *("path", "readable", "error", "format", "mode", "width", "height", "orientation"),
    *("bytes", "sha256", "phash", "thumb", "chroma"),
]


def photo(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """Smooth random colours with some fine grain: enough like a photo for hashes and JPEG."""
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(20, 220, (6, 8, 3), dtype=np.uint8)).resize(size, Image.BICUBIC)
    grain = rng.integers(0, 12, (size[1], size[0], 3), dtype=np.uint8)
    return ImageChops.add(blobs, Image.fromarray(grain))


def save(image: Image.Image, path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def groups_of(paths: list[Path]) -> list[list[int]]:
    return near_duplicate_groups(inspect_images(paths, workers=2))


def bits_between(a: int, b: int) -> int:
    return (int(a) ^ int(b)).bit_count()


# inspect_images


def test_a_sound_file_gives_every_fact(tmp_path):
    path = save(photo(1), tmp_path / "a.jpg")
    facts = inspect_images([path], workers=1)
    assert list(facts.columns) == COLUMNS
    row = facts.iloc[0]
    assert (row.path, row.readable, row.error) == (str(path), True, "")
    assert (row.format, row["mode"], row.width, row.height, row.orientation) == ("JPEG", "RGB", 120, 90, 1)
    assert row.bytes == path.stat().st_size
    assert len(row.sha256) == 64
    assert facts["phash"].dtype == np.uint64
    assert (len(row.thumb), len(row.chroma)) == (256, 128)
    small = np.asarray(photo(1).convert("L").resize((16, 16), Image.BOX), int).ravel()
    assert np.abs(np.frombuffer(row.thumb, np.uint8) - small).mean() < 3


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """name -> (path, a word of the expected error)."""
    jpeg, png = save(photo(1), folder / "ok.jpg"), save(photo(1), folder / "ok.png")
    contents = {
        "half": (jpeg.read_bytes()[: jpeg.stat().st_size // 2], "truncated"),
        "no_end": (jpeg.read_bytes()[:-2], "truncated"),
        "half_png": (png.read_bytes()[: png.stat().st_size // 2], "truncated"),
        "empty": (b"", "empty"),
        "text": (b"<html>403 Forbidden</html>", "not an image"),
        "header_only": (jpeg.read_bytes()[:2], ""),
    }
    for name, (data, _) in contents.items():
        (folder / f"{name}.jpg").write_bytes(data)
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")  # opening it would wait for ever
    (folder / "dangling.jpg").symlink_to(folder / "nowhere")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    words = {name: word for name, (_, word) in contents.items()}
    words |= {"folder": "not a regular file", "pipe": "not a regular file", "dangling": "missing"}
    words |= {"absent": "missing", "loop": "missing", "n" * 300: "too long"}
    return {name: (folder / f"{name}.jpg", word) for name, word in words.items()}


def test_broken_files_are_unreadable_with_a_reason(tmp_path):
    cases = broken_files(tmp_path)
    facts = inspect_images([path for path, _ in cases.values()], workers=2)
    for (name, (_, word)), row in zip(cases.items(), facts.itertuples(), strict=True):
        assert not row.readable, name
        assert row.error, name
        assert word in row.error, (name, row.error)
        assert "\n" not in row.error, name
        assert (row.phash, row.thumb, row.chroma) == (0, b"", b""), name
    by_name = dict(zip(cases, facts.itertuples(), strict=True))
    assert by_name["half"].format == "JPEG"  # what the header told is kept
    assert by_name["half_png"].format == "PNG"
    assert by_name["absent"].sha256 == ""


def test_truncation_is_found_even_where_pillow_was_told_to_forgive_it(tmp_path, monkeypatch):
    path = broken_files(tmp_path)["half"][0]
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert not inspect_images([path], workers=1)["readable"].any()
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize("limit", [10_000, 1_000])  # Pillow warns above the limit, refuses above twice it
def test_decompression_bombs_are_unreadable(tmp_path, monkeypatch, limit):
    path = save(photo(1), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    before = list(warnings.filters)
    row = inspect_images([path], workers=1).iloc[0]
    assert not row.readable
    assert "decompression bomb" in row.error
    assert warnings.filters == before


@pytest.mark.parametrize("orientation", range(9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = save(photo(2), tmp_path / "turned.png", exif=exif)
    with Image.open(turned) as image:
        upright = save(ImageOps.exif_transpose(image), tmp_path / "upright.png")
    facts = inspect_images([turned, upright], workers=1)
    for column in ("width", "height", "phash", "thumb", "chroma"):
        assert facts[column].nunique() == 1, column
    assert facts["orientation"].tolist() == [max(orientation, 1), 1]  # 0 occurs and means nothing


def test_garbage_for_exif_does_not_condemn_the_picture(tmp_path):
    path = save(photo(2), tmp_path / "a.png", exif=b"Exif\0\0garbage!garbage!")
    row = inspect_images([path], workers=1).iloc[0]
    assert row.readable
    assert row.orientation == 1


def test_every_mode_is_read_and_named(tmp_path):
    files = {mode: save(photo(3).convert(mode), tmp_path / f"{mode}.png") for mode in ("L", "LA", "P", "1")}
    files["RGBA"] = save(photo(3).convert("RGBA"), tmp_path / "RGBA.png")
    files["CMYK"] = save(photo(3).convert("CMYK"), tmp_path / "CMYK.jpg")
    deep = np.asarray(photo(3).convert("L"), np.uint16) * 16  # 12 bits in 16, as X-rays come
    files["I;16"] = save(Image.fromarray(deep), tmp_path / "deep.png")
    files["F"] = save(Image.fromarray(deep.astype(np.float32)), tmp_path / "float.tiff")
    facts = inspect_images(list(files.values()), workers=2)
    assert facts["readable"].all(), facts["error"].tolist()
    assert facts["mode"].tolist() == list(files)
    grey = facts["phash"][0]
    for mode, phash in zip(files, facts["phash"], strict=True):
        assert bits_between(grey, phash) <= 6, mode  # all show the same picture


def test_pixels_under_full_transparency_do_not_count(tmp_path):
    shape = Image.new("L", (120, 90), 0)
    shape.paste(255, (30, 20, 80, 60))
    paths = []
    for name, hidden in (("a", "black"), ("b", "green")):
        image = Image.new("RGB", shape.size, hidden)
        image.paste(photo(4), mask=shape)
        image.putalpha(shape)
        paths.append(save(image, tmp_path / f"{name}.png"))
    facts = inspect_images(paths, workers=1)
    assert facts["sha256"].nunique() == 2
    assert facts["thumb"].nunique() == 1


def test_the_number_of_workers_changes_nothing(tmp_path):
    paths = [save(photo(seed), tmp_path / f"{seed}.jpg") for seed in range(40)]
    paths += [path for path, _ in broken_files(tmp_path).values()]
    random.Random(0).shuffle(paths)
    one, five = inspect_images(paths, workers=1), inspect_images(paths, workers=5)
    pd.testing.assert_frame_equal(one, five)
    assert one["path"].tolist() == [str(path) for path in paths]


def test_progress_counts_every_file_once(tmp_path):
    calls = []
    paths = [save(photo(seed), tmp_path / f"{seed}.jpg") for seed in range(10)]
    inspect_images(paths, workers=3, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 10) for done in range(1, 11)]


def test_no_files_at_all():
    facts = inspect_images([], workers=2)
    assert list(facts.columns) == COLUMNS
    assert len(facts) == 0
    assert near_duplicate_groups(facts) == []


# near_duplicate_groups


def all_pairs(codes: list[int], distance: int) -> list[tuple[int, int]]:
    found = np.concatenate([np.empty((0, 2), int), *hamming_pairs(np.array(codes, np.uint64), distance)])
    return sorted(set(map(tuple, found.tolist())))


@pytest.mark.parametrize("distance", [0, 1, 2, 5, 6, 8, 9])
def test_hamming_pairs_equal_brute_force(distance):
    rng = random.Random(distance)
    codes = [rng.getrandbits(64) for _ in range(40)] + [0, 2**64 - 1]
    for parent in codes[:20]:  # children on both sides of the limit, their flips spread over the bands at random
        for flips in (0, distance, distance, distance, distance + 1, distance + 1):
            codes.append(parent ^ sum(1 << bit for bit in rng.sample(range(64), flips)))
    rng.shuffle(codes)
    apart = {(i, j): bits_between(codes[i], codes[j]) for i, j in combinations(range(len(codes)), 2)}
    expected = [pair for pair, bits in apart.items() if bits <= distance]
    assert sum(bits == distance for bits in apart.values()) >= 40  # the limit itself is put to the test
    assert all_pairs(codes, distance) == expected


def test_hamming_pairs_at_the_worst_spread_over_the_bands():
    spread = sum(1 << bit for bit in (63, 62, 61, 41, 40, 39, 1, 0))  # 3 + 3 + 2 bits of the three bands
    assert all_pairs([0, spread], 8) == [(0, 1)]
    assert all_pairs([0, spread], 7) == []
    assert all_pairs([], 8) == []


def test_hamming_pairs_come_in_pieces_when_all_hashes_are_alike():
    pieces = list(hamming_pairs(np.full(1500, 7, np.uint64), 2))
    assert max(len(piece) for piece in pieces) < 1_100_000
    first_band = np.concatenate(pieces)[: 1500 * 1499 // 2]
    assert len(np.unique(first_band @ (1500, 1))) == 1500 * 1499 // 2


def copies_of(image: Image.Image, folder: Path) -> list[Path]:
    width, height = image.size
    made = {f"q{quality}": (image, quality) for quality in (30, 60, 95)}
    made |= {f"light{by}": (ImageEnhance.Brightness(image).enhance(by), 90) for by in (0.9, 0.95, 1.05, 1.1)}
    made |= {f"x{by}": (image.resize((int(width * by), int(height * by))), 90) for by in (0.75, 1.25, 1.5)}
    smaller = ImageEnhance.Brightness(image).enhance(1.1).resize((int(width * 0.75), int(height * 0.75)))
    made["all"] = (smaller, 60)
    return [save(copy, folder / f"{name}.jpg", quality=quality) for name, (copy, quality) in made.items()]


def test_copies_are_found_and_other_pictures_are_not(tmp_path):
    families = []
    for seed in range(6):
        image = photo(seed, (240, 180))
        original = save(image, tmp_path / str(seed) / "original.png")
        families.append([original, *copies_of(image, tmp_path / str(seed))])
    loners = [save(photo(seed, (240, 180)), tmp_path / f"{seed}.jpg") for seed in range(100, 160)]
    paths = [*loners, *(path for family in families for path in family)]
    size = len(families[0])
    expected = [list(range(start, start + size)) for start in range(len(loners), len(paths), size)]
    assert groups_of(paths) == expected


def test_groups_do_not_depend_on_row_order(tmp_path):
    paths = [path for seed in (1, 2) for path in copies_of(photo(seed), tmp_path / str(seed))]
    paths += [save(photo(seed), tmp_path / f"{seed}.jpg") for seed in range(10, 20)]
    facts = inspect_images(paths, workers=2)
    order = np.random.default_rng(0).permutation(len(facts))
    found = near_duplicate_groups(facts.iloc[order])
    assert found == sorted(sorted(group) for group in found)
    assert all(type(member) is int for group in found for member in group)
    back = sorted(sorted(order[group].tolist()) for group in found)
    assert back == near_duplicate_groups(facts)
    assert len(back) == 2


def lookalikes(folder: Path, first: Image.Image, second: Image.Image) -> pd.DataFrame:
    """Facts of two pictures whose hashes alone would call them one."""
    paths = [save(first, folder / "a.png"), save(second, folder / "b.png")]
    facts = inspect_images(paths, workers=1)
    assert bits_between(*facts["phash"]) <= DISTANCE
    return facts


def test_the_same_photo_in_another_colour_is_another_picture(tmp_path):
    light, blue, red = photo(5).convert("YCbCr").split()
    swapped = Image.merge("YCbCr", (light, red, blue)).convert("RGB")
    facts = lookalikes(tmp_path, photo(5), swapped)
    assert near_duplicate_groups(facts) == []
    facts["chroma"] = facts["chroma"][0]
    assert near_duplicate_groups(facts) == [[0, 1]]  # colour was all that told them apart


def silhouette(inside: Image.Image) -> Image.Image:
    """A dark thing on a white page, like a shop photo."""
    page = Image.new("RGB", (120, 120), "white")
    page.paste(inside.resize((60, 80)), (30, 20))
    return page


def test_two_things_of_one_outline_are_not_chained(tmp_path):
    plain = Image.new("RGB", (60, 80), (40, 40, 40))
    stripes = Image.fromarray(np.tile(np.repeat([0, 80], 15).astype(np.uint8), (80, 2))).convert("RGB")
    assert near_duplicate_groups(lookalikes(tmp_path, silhouette(plain), silhouette(stripes))) == []


def test_flat_pictures_join_only_their_identical_bytes(tmp_path):
    paths = [
        save(Image.new("RGB", (40, 30), "black"), tmp_path / "a.png"),
        save(Image.new("RGB", (50, 50), "black"), tmp_path / "b.png"),
        save(Image.new("RGB", (40, 30), "black"), tmp_path / "c.jpg"),
        save(Image.new("RGB", (40, 30), "white"), tmp_path / "d.png"),
        save(Image.new("RGB", (40, 30), (1, 1, 1)), tmp_path / "e.png"),
        save(Image.new("RGB", (40, 30), "black"), tmp_path / "f.png"),
    ]
    assert paths[0].read_bytes() == paths[5].read_bytes()
    assert groups_of(paths) == [[0, 5]]


LEVELS = np.random.default_rng(0).integers(30, 250, 256).astype(float)
NOISE = np.random.default_rng(1).normal(0, 1, 256)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (LEVELS, LEVELS * 0.9 - 5, True),
        (LEVELS, LEVELS + 20, True),
        (LEVELS, LEVELS * 1.2, True),  # a quarter is burnt to white
        (LEVELS, LEVELS * 0.7, False),  # more than a slight change of light
        (LEVELS - 30, LEVELS + 30, False),
        (LEVELS, LEVELS + NOISE * 2, True),
        (LEVELS, LEVELS + NOISE * 8, False),
        (100 + NOISE * 3, 100 + NOISE[::-1] * 3, False),  # close in grey levels, but of another shape
    ],
)
def test_what_counts_as_the_same_thumbnail(first, second, same):
    thumbs = [levels.clip(0, 255).astype(np.uint8).tobytes() for levels in (first, second)]
    for pair in (thumbs, thumbs[::-1]):
        facts = facts_like(2, thumb=pair, chroma=[bytes(128)] * 2)
        assert near_duplicate_groups(facts) == ([[0, 1]] if same else [])


def test_groups_are_joined_through_a_member_between():
    facts = facts_like(4, phash=[np.uint64(0b111 << 7 * row) for row in (0, 0, 0, 3)])
    facts["thumb"] = [bytes(range(256))] * 4
    facts["chroma"] = [bytes([level]) * 128 for level in (128, 136, 132, 132)]
    assert near_duplicate_groups(facts) == [[0, 1, 2, 3]]
    assert near_duplicate_groups(facts, distance=5) == [[0, 1, 2]]  # the fourth hash is 6 bits away
    assert near_duplicate_groups(facts.iloc[:2]) == []  # too far apart without the third


def chain(links: int, step: int, **columns) -> pd.DataFrame:
    """Pictures of which each differs from the next in colour by `step` levels; MAX_TINT is 5."""
    chroma = [bytes([20 + step * row]) * 128 for row in range(links)]
    return facts_like(links, phash=np.uint64(7), thumb=[bytes(range(256))] * links, chroma=chroma, **columns)


def test_a_chain_larger_than_a_fold_is_taken_apart_and_told():
    facts, everywhere = chain(40, 4), np.ones(40, bool)
    assert near_duplicate_groups(facts) == [list(range(40))]
    assert alike(facts, everywhere, 40) == ([list(range(40))], [])  # not larger: as it always was
    assert alike(facts, everywhere, 39) == ([], [40])
    assert alike(facts, np.arange(40) < 10, 10) == ([list(range(40))], [])  # of the rows that count
    assert alike(facts, np.arange(40) < 11, 10) == ([], [11])


def test_what_is_most_alike_in_a_chain_stays_together():
    facts = pd.concat([chain(40, 4), chain(40, 4)], ignore_index=True)
    facts["sha256"] = [str(row % 40) if row < 45 else str(row) for row in range(80)]  # 5 copies, 35 of the same looks
    facts["chroma"] = [facts["chroma"][row] if row < 75 else bytes([21 + 4 * (row - 40)]) * 128 for row in range(80)]
    groups, chains = alike(facts, np.ones(80, bool), 16)
    assert chains == [80]
    short = sorted([*range(35, 40), *range(75, 80)])  # steps of 1 and 3 levels: a part that is short enough
    assert groups == [*([row, row + 40] for row in range(35)), short]
    assert alike(facts, np.ones(80, bool), 9).groups == [[row, row + 40] for row in range(40)]


def test_one_picture_many_times_is_no_chain_however_large():
    facts = chain(40, 0)
    assert alike(facts, np.ones(40, bool), 8) == ([list(range(40))], [])
    copies = facts_like(40, sha256="one", thumb=[bytes(256)] * 40, chroma=[bytes(128)] * 40)
    assert alike(copies, np.ones(40, bool), 8) == ([list(range(40))], [])


def test_only_the_chain_is_taken_apart():
    pair = facts_like(2, sha256=["x", "y"], phash=np.uint64(2**63 - 1), thumb=[bytes(range(256))] * 2)
    pair["chroma"] = [bytes([240]) * 128, bytes([244]) * 128]
    facts = pd.concat([pair, chain(40, 4)], ignore_index=True)
    assert alike(facts, np.ones(42, bool), 8) == ([[0, 1]], [40])


def test_many_frames_of_one_camera_are_joined_at_the_cost_of_a_few_comparisons(monkeypatch):
    compared = []
    compare = duplicates._same_picture
    monkeypatch.setattr(
        duplicates,
        "_same_picture",
        lambda pairs, *args: (compared.append(len(pairs)), compare(pairs, *args))[1],
    )
    facts = facts_like(500, phash=np.uint64(7), thumb=[bytes(range(256))] * 500, chroma=[bytes(128)] * 500)
    assert near_duplicate_groups(facts) == [list(range(500))]
    assert sum(compared) < 10_000  # of 124,750 pairs


def test_identical_broken_files_are_not_duplicates(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(b"not an image")
    whole = save(photo(1), tmp_path / "c.jpg")
    assert groups_of([tmp_path / "a.jpg", tmp_path / "b.jpg", whole]) == []


# audit

SHOP = [  # id, split, what the file holds, label, colour
    ("09.jpg", "train", "other", "shoes", np.nan),
    ("01.jpg", "train", "copied", "dress", "red"),
    ("02.jpg", "train", "copied", "shoes", "red"),
    ("03.jpg", "train", "shared", "pants", "blue"),
    ("04.jpg", "train", "shared, smaller", "pants", "green"),
    ("05.jpg", "train", "agreed", "shirt", "blue"),
    ("06.jpg", "train", "agreed", None, "blue"),
    ("50.jpg", "test", "agreed", None, None),
    ("51.jpg", "test", "broken", None, None),
    ("52.JPE", "test", "grey", None, None),
    ("53.jpg", "test", "png", None, None),
    ("54.jpg", "test", "turned", None, None),
]


def write_shop(root: Path) -> pd.DataFrame:
    seeds = {"other": 1, "copied": 2, "shared": 3, "shared, smaller": 3, "agreed": 4, "grey": 5, "turned": 7}
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, split, what, *_ in SHOP:
        path = root / split / name
        image = photo(seeds.get(what, 6))
        if what == "shared, smaller":
            image = image.resize((90, 67))
        image = image.convert("L") if what == "grey" else image
        options = {"exif": exif} if what == "turned" else {}
        save(image, path, format="PNG" if what == "png" else "JPEG", **options)
        if what == "broken":
            path.write_bytes(path.read_bytes()[:500])
    rows = [(name, split, f"{split}/{name}", *labels) for name, split, _, *labels in SHOP]
    return pd.DataFrame(rows, columns=["id", "split", "path", "label", "colour"])


def audit_shop(root: Path, manifest: pd.DataFrame) -> dict:
    facts = inspect_images([root / path for path in manifest["path"]], workers=2)
    return audit(manifest, facts, near_duplicate_groups(facts), ["label", "colour"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    root = tmp_path_factory.mktemp("shop")
    manifest = write_shop(root)
    return root, manifest, audit_shop(root, manifest)


def test_audit_lists_what_is_odd(shop):
    found = shop[2]
    assert found["counts"] == {"train": 7, "test": 5, "readable": 11, "unreadable": 1, "exact_copies": 3}
    (broken,) = found["unreadable"]
    assert (broken["id"], broken["split"], broken["path"]) == ("51.jpg", "test", "test/51.jpg")
    assert "truncated" in broken["error"].lower()
    assert found["mislabelled"] == [{"id": "53.jpg", "path": "test/53.jpg", "format": "PNG"}]
    assert found["modes"] == [{"id": "52.JPE", "path": "test/52.JPE", "mode": "L"}]
    assert found["rotated"] == [{"id": "54.jpg", "path": "test/54.jpg", "orientation": 6}]


def test_audit_sums_up_sizes(shop):
    sizes = shop[2]["sizes"]
    assert sizes["commonest"][0] == {"width": 120, "height": 90, "count": 9}
    assert sizes["commonest"][1:] == [
        {"width": 90, "height": 67, "count": 1},
        {"width": 90, "height": 120, "count": 1},  # the turned one, as shown
    ]
    assert sizes["smallest"] == {"id": "04.jpg", "path": "train/04.jpg", "width": 90, "height": 67}
    assert sizes["largest"]["width"] * sizes["largest"]["height"] == 120 * 90


def test_audit_tells_exact_from_near_and_finds_conflicts_and_leaks(shop):
    found = shop[2]
    assert found["exact_duplicates"] == [["01.jpg", "02.jpg"], ["05.jpg", "06.jpg", "50.jpg"]]
    assert found["near_duplicates"] == [["03.jpg", "04.jpg"]]
    assert found["conflicts"] == [
        {
            "ids": ["01.jpg", "02.jpg"],
            "kind": "exact",
            "labels": {"01.jpg": {"label": "dress"}, "02.jpg": {"label": "shoes"}},
        },
        {
            "ids": ["03.jpg", "04.jpg"],
            "kind": "near",
            "labels": {"03.jpg": {"colour": "blue"}, "04.jpg": {"colour": "green"}},
        },
    ]  # 05 and 06 are no conflict: one of them has no label
    assert found["leaks"] == [{"train": ["05.jpg", "06.jpg"], "test": ["50.jpg"]}]


def test_audit_counts_classes_and_missing_labels_in_train_only(shop):
    found = shop[2]
    assert found["classes"]["label"] == {"dress": 1, "pants": 2, "shirt": 1, "shoes": 2}
    assert found["classes"]["colour"] == {"blue": 3, "green": 1, "red": 2}
    assert found["missing_labels"] == {"label": 1, "colour": 1}


def test_audit_is_json_and_does_not_depend_on_row_order(shop):
    root, manifest, found = shop
    shuffled = manifest.sample(frac=1, random_state=3)
    again = audit_shop(root, shuffled)
    assert json.dumps(again, allow_nan=False) == json.dumps(found, allow_nan=False)


def facts_like(count: int, **columns) -> pd.DataFrame:
    """Facts of sound, different photos without files behind them."""
    frame = {name: [value] * count for name, value in NOTHING.items()}
    frame |= {"path": [""] * count, "readable": [True] * count, "format": ["JPEG"] * count}
    frame |= {"mode": ["RGB"] * count, "sha256": [str(row) for row in range(count)]}
    return pd.DataFrame(frame | columns)


def small_audit(paths: list[str], labels: list, groups: list[list[int]], split="train", **columns) -> dict:
    ids = [f"{row}" for row in range(len(paths))]
    manifest = pd.DataFrame({"id": ids, "split": split, "path": paths, "y": labels})
    return audit(manifest, facts_like(len(paths), **columns), groups, ["y"])


def test_extensions_are_matched_to_formats_by_meaning():
    content = {
        "a.jpeg": "JPEG", "b.JPE": "JPEG", "c.jpg": "MPO", "d.tiff": "TIFF", "e.tif": "TIFF", "f.dat": "PNG",
        "g": "PNG", "h.png": "JPEG", "i.tif": "PNG", "j.JPG": "WEBP", "k.jpg": "",
    }  # fmt: skip
    found = small_audit(list(content), [1] * len(content), [], format=list(content.values()))
    assert [row["path"] for row in found["mislabelled"]] == ["h.png", "i.tif", "j.JPG"]


def test_lists_are_sorted_by_id():
    manifest = pd.DataFrame({"id": ["3", "1", "2"], "split": "train", "path": ["a.png", "c.png", "b.png"]})
    found = audit(manifest, facts_like(3, mode="L", orientation=3), [[0, 2]], [])
    for name in ("mislabelled", "modes", "rotated"):
        assert [row["id"] for row in found[name]] == ["1", "2", "3"], name
    assert found["near_duplicates"] == [["2", "3"]]
    lost = audit(manifest, facts_like(3, readable=False), [], [])["unreadable"]
    assert [row["id"] for row in lost] == ["1", "2", "3"]


def test_labels_may_be_numbers_or_lists():
    labels = [1.0, 0.0, np.nan, 1.0]
    found = small_audit(["a.jpg"] * 4, labels, [[0, 2, 3]])
    assert found["classes"] == {"y": {"0": 1, "1": 2}}
    assert found["conflicts"] == []
    assert small_audit(["a.jpg"] * 4, labels, [[0, 1]])["conflicts"][0]["labels"] == {
        "0": {"y": 1},
        "1": {"y": 0},
    }
    lists = [["cat", "dog"], ["dog", "cat"], ["dog"], None]
    found = small_audit(["a.jpg"] * 4, lists, [[0, 1]])
    assert found["classes"] == {"y": {"cat": 2, "dog": 3}}
    assert found["missing_labels"] == {"y": 1}
    assert found["conflicts"] == []  # order within a list says nothing
    assert len(small_audit(["a.jpg"] * 4, lists, [[0, 2]])["conflicts"]) == 1


def test_an_exact_conflict_inside_a_near_group_is_called_exact():
    sha = ["same", "same", "close"]
    exact = small_audit(["a.jpg"] * 3, ["cat", "dog", "cat"], [[0, 1, 2]], sha256=sha)
    near = small_audit(["a.jpg"] * 3, ["cat", "cat", "dog"], [[0, 1, 2]], sha256=sha)
    assert [exact["conflicts"][0]["kind"], near["conflicts"][0]["kind"]] == ["exact", "near"]
    assert exact["exact_duplicates"] == [["0", "1"]]
    assert exact["near_duplicates"] == [["0", "1", "2"]]


def test_labels_of_test_rows_are_no_conflict():
    found = small_audit(["a.jpg"] * 2, ["cat", "dog"], [[0, 1]], split=["train", "test"])
    assert found["conflicts"] == []
    assert found["leaks"] == [{"train": ["0"], "test": ["1"]}]


def test_audit_of_nothing_and_of_tables_that_do_not_match():
    assert small_audit([], [], [])["sizes"] == {"commonest": [], "smallest": None, "largest": None}
    manifest = pd.DataFrame({"id": ["1"], "split": "train", "path": "a.jpg"})
    with pytest.raises(ValueError, match="1 rows, facts 2"):
        audit(manifest, facts_like(2), [], [])


# real data


def real_archive(name: str) -> Path:
    if not (REAL / name).exists():
        pytest.skip(f"{REAL / name} is not there")
    return REAL / name


@pytest.mark.realdata
def test_clothes_hold_23_byte_identical_files_one_conflict_and_ten_near_pairs(tmp_path):
    with zipfile.ZipFile(real_archive("clothes-colour-type.zip")) as archive:
        archive.extractall(tmp_path)
    train = pd.read_csv(tmp_path / "train.csv").rename(columns={"image_id": "id"})
    train = train.assign(split="train", path="train_images/" + train["label"] + "/" + train["id"])
    test = pd.DataFrame({"id": sorted(path.name for path in (tmp_path / "test_images").iterdir())})
    test = test.assign(split="test", path="test_images/" + test["id"])
    manifest = pd.concat([train, test], ignore_index=True)
    facts = inspect_images([tmp_path / path for path in manifest["path"]], workers=2)
    found = audit(manifest, facts, near_duplicate_groups(facts), ["label", "colour"])
    assert (len(facts), found["counts"]["unreadable"]) == (2340, 0)
    # 23 files have a twin: ten pairs and one triple, which is 12 files more than there are pictures.
    assert sum(len(ids) for ids in found["exact_duplicates"]) == 23
    assert sorted(len(ids) for ids in found["exact_duplicates"]) == [2] * 10 + [3]
    assert found["counts"]["exact_copies"] == 12
    (conflict,) = found["conflicts"]
    assert conflict["kind"] == "exact"
    assert conflict["labels"] == {"100068.jpg": {"label": "dress"}, "101727.jpg": {"label": "shoes"}}
    assert found["near_duplicates"] == [  # each looked at: one photo in two files
        [f"{number}.jpg" for number in pair]
        for pair in (
            (100027, 100181), (100187, 200453), (100295, 101085), (100412, 101171), (100417, 100765),
            (100435, 100488), (101306, 101428), (101512, 101641), (101554, 200437), (101566, 200489),
        )
    ]  # fmt: skip
    assert len(found["leaks"]) == 3


@pytest.mark.realdata
def test_pets_hold_two_mislabelled_files_and_six_near_pairs(tmp_path):
    with tarfile.open(real_archive("oxford-pets-mini.tgz")) as archive:
        archive.extractall(tmp_path, filter="data")
    paths = sorted(tmp_path.rglob("*.jpg"))
    manifest = pd.DataFrame({"id": [path.stem for path in paths], "split": "train"})
    manifest["path"] = [path.name for path in paths]
    facts = inspect_images(paths, workers=2)
    found = audit(manifest, facts, near_duplicate_groups(facts), [])
    assert len(paths) == 600
    assert [(row["id"], row["format"]) for row in found["mislabelled"]] == [
        ("Abyssinian_34", "GIF"),
        ("Abyssinian_5", "PNG"),
    ]
    pairs = [[int(name.split("_")[1]) for name in ids] for ids in found["near_duplicates"]]
    assert pairs == [[11, 177], [122, 172], [151, 99], [24, 56], [40, 63], [5, 87]]
    assert found["rotated"] == []  # three files say orientation 0, which means nothing
