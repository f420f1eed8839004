"""What the files of an image competition really hold: broken files, odd formats, duplicates, leaks.

Three steps that share nothing but their values: `inspect_images` opens every file once,
`near_duplicate_groups` compares the fingerprints, `audit` says it all in a dict that fits in JSON.
"""

import hashlib
import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import BinaryIO

import imagehash
import numpy as np
import pandas as pd
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Values of a file of which nothing could be learned; also the columns after `path`, in order.
NOTHING = {
    "readable": False, "error": "", "format": "", "mode": "", "width": 0, "height": 0, "orientation": 1,
    "bytes": 0, "sha256": "", "phash": np.uint64(0), "thumb": b"", "chroma": b"",
}  # fmt: skip
# EXIF orientation -> the turn that sets the picture upright (EXIF 2.32, tag 0x0112).
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
SAME_FORMAT = {"MPO": "JPEG"}  # a phone's JPEG with a second picture behind the first

# Near-duplicates, measured on 2,340 shop photos (clothes) and 600 pets: all 2.9 million pairs were scored,
# also those of distant hashes, and all near the limits were looked at. Besides the byte-identical ones, 10
# pairs of clothes and 6 of pets are one photo in two files; these limits find the 16 and no other pair.
# True pairs: distance <= 4, misfit <= 2.8, explained >= 0.966, tint <= 0.8. Nearest false ones: misfit 5.4
# (two blue shirts), explained 0.888 (white on white), tint 11.9 with misfit 3.8 (one photo of shorts in two
# colours: different labels, and in grey up to 1.0000 correlated, which is why colour is compared too).
# Of 1,034 photos saved again as JPEG of quality 30, or at 90 with brightness -10%, size x0.75 or x1.5, all
# were found; 5% and 10% brighter, all but 2 and 3 (pale prints on white, burnt out). No photos were mixed.
DISTANCE = 8  # bits of 64; a 10% brighter copy moves by 10 at most, 8 in 99%
MAX_MISFIT = 4.0  # grey levels, mean over the thumbnail, after gain and offset are fitted
MIN_EXPLAINED = 0.95  # share of the thumbnail's variance; decides where the picture has little contrast
MAX_TINT = 5.0  # levels of Cb and Cr; darkening by 10% moves them by 4.4 at most
MIN_CONTRAST = 2.0  # grey levels, standard deviation; below it a hash is noise (lowest photo: 7.9)
BANDS = 3  # 22, 21 and 21 bits: 100,000 hashes have few chance neighbours in so wide a band


def inspect_images(
    paths: Sequence[Path], workers: int, progress: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Open, decode and fingerprint files: one row per path, in the given order; never raises for a bad file.

    Columns: path (str), readable (bool: the first frame decodes to its end), error (str, '' when readable),
    format and mode (Pillow's names, as stored), width and height (pixels, upright), orientation (EXIF 1..8),
    bytes, sha256 (hex), phash (uint64), thumb (16x16 grey levels of the upright picture), chroma (8x8 Cb,
    then 8x8 Cr). Unreadable: numbers 0 and bytes empty, save what the header told. `progress(done, total)`.

    Threads, because Pillow decodes outside the GIL (two take 2.2 s for 2,340 photos, one 4.0 s, two spawned
    processes 2.6 s); no JPEG draft mode, because it shifts hashes by up to 6 bits for 0.9 s.
    """
    rows = []
    with _strict_pillow(), ThreadPool(max(1, workers)) as pool:
        for row in pool.imap(_inspect, paths, chunksize=8):
            rows.append(row)
            if progress:
                progress(len(rows), len(paths))
    types = {name: type(value) for name, value in NOTHING.items() if isinstance(value, int | np.uint64)}
    return pd.DataFrame(rows, columns=["path", *NOTHING]).astype(types)


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Make Pillow refuse bombs and truncated files; set outside the threads, as both settings are global."""
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _inspect(path: Path) -> dict:
    row = {"path": str(path), **NOTHING}
    try:
        if not path.is_file():  # also keeps the open below from waiting on a pipe
            return row | {"error": "is not a regular file" if path.exists() else "file is missing"}
        with path.open("rb") as file:
            row["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
            row["bytes"] = file.tell()
            file.seek(0)
            picture = _decode(file, row)
    except Exception as error:  # noqa: BLE001 - Pillow's 40 readers raise anything on broken bytes
        return row | {"error": "file is empty" if row["sha256"] and not row["bytes"] else _why(error)}
    small = picture.resize((16, 16), Image.Resampling.BOX)
    chroma = small.convert("YCbCr").resize((8, 8), Image.Resampling.BOX).split()[1:]
    return row | {
        "readable": True,
        "phash": np.uint64(int(str(imagehash.phash(picture)), 16)),
        "thumb": small.convert("L").tobytes(),
        "chroma": b"".join(channel.tobytes() for channel in chroma),
    }


def _decode(file: BinaryIO, row: dict) -> Image.Image:
    """The upright picture in RGB; fills the header's columns of `row` as far as it gets."""
    with Image.open(file) as image:
        row.update(format=image.format or "", mode=image.mode, width=image.width, height=image.height)
        image.load()
        orientation = _orientation(image)
        picture = _to_rgb(image)
    if orientation in UPRIGHT:  # other values than 1 to 8 occur (0 in pets) and mean nothing
        picture = picture.transpose(UPRIGHT[orientation])
        row.update(orientation=int(orientation), width=picture.width, height=picture.height)
    return picture


def _orientation(image: Image.Image) -> object:
    try:  # after load(): a PNG may keep EXIF behind its pixels, and load() turns a TIFF upright itself
        return image.getexif().get(ExifTags.Base.Orientation)
    except SyntaxError:  # garbage for EXIF, in PNG and WebP; the pixels are sound
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode[0] in "IF":  # 16 and 32 bits: Pillow would clip them to 255, so stretch them instead
        levels = np.nan_to_num(np.asarray(image, dtype=np.float32))
        levels = (levels - levels.min()) * (255 / max(float(np.ptp(levels)), 1e-6))
        image = Image.fromarray(levels.astype(np.uint8))
    elif image.has_transparency_data:  # what lies under transparent pixels is not part of the picture
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _why(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels (decompression bomb?)"
    if isinstance(error, UnidentifiedImageError):
        return "is not an image"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error).splitlines() or [""])[0][:120] or type(error).__name__


def near_duplicate_groups(facts: pd.DataFrame, distance: int = DISTANCE) -> list[list[int]]:
    """Row positions of readable images that show one picture: byte-identical or near-duplicates.

    `facts` as from `inspect_images`; `distance` in bits between perceptual hashes (0 to 64; costly above 8).
    Pairs with close hashes are verified on thumbnails, then joined into connected components. Pictures
    without contrast (all black) join only byte-identical ones. Sorted by first member; each of size >= 2.
    """
    rows = np.flatnonzero(facts["readable"].to_numpy(bool))
    if rows.size < 2:
        return []
    _, first, copy_of = np.unique(facts["sha256"].to_numpy(str)[rows], return_index=True, return_inverse=True)
    thumbs, chroma = _unpack(facts["thumb"], rows[first], 256), _unpack(facts["chroma"], rows[first], 128)
    vivid = np.flatnonzero(thumbs.std(axis=1) >= MIN_CONTRAST)
    component = np.arange(first.size)
    for pairs in hamming_pairs(facts["phash"].to_numpy(np.uint64)[rows[first[vivid]]], distance):
        component = _merge(component, vivid[pairs], thumbs, chroma)
    of_row = component[copy_of]
    order = np.argsort(of_row, kind="stable")
    groups = np.split(rows[order], np.flatnonzero(np.diff(of_row[order])) + 1)
    return sorted(group.tolist() for group in groups if group.size > 1)


def hamming_pairs(codes: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """Every pair i < j of 64-bit `codes` (n,) that differ in at most `distance` bits, and no other pair.

    Yields arrays (m, 2) of bounded size; a pair may come up to three times. Multi-index hashing (Norouzi,
    Punjani and Fleet, 2012): of three bands one differs in at most distance // 3 bits, so looking up every
    such change of every band finds each pair. 100,000 hashes at distance 8 take a second, all pairs four.
    """
    codes = np.asarray(codes, dtype=np.uint64)
    edges = np.linspace(64, 0, BANDS + 1).astype(int)
    for high, low in itertools.pairwise(edges.tolist()):
        width = high - low
        keys = ((codes >> np.uint64(low)) & np.uint64((1 << width) - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], np.arange((1 << width) + 1))
        for flips in range(distance // BANDS + 1):
            for bits in itertools.combinations(range(width), flips):
                for pairs in _bucket_pairs(keys ^ sum(1 << bit for bit in bits), order, starts):
                    close = np.bitwise_count(codes[pairs[:, 0]] ^ codes[pairs[:, 1]]) <= distance
                    yield pairs[close]


def _bucket_pairs(wanted: np.ndarray, order: np.ndarray, starts: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs (i, j), i < j, where j lies in bucket wanted[i]; bucket k is order[starts[k]:starts[k + 1]]."""
    sizes = starts[wanted + 1] - starts[wanted]
    hits = np.flatnonzero(sizes)
    piece = np.cumsum(sizes[hits]) >> 20  # about a million pairs at a time: some 30 MB, whatever the hashes
    for part in np.split(hits, np.flatnonzero(np.diff(piece)) + 1):
        i = np.repeat(part, sizes[part])
        within = np.arange(i.size) - np.repeat(np.cumsum(sizes[part]) - sizes[part], sizes[part])
        j = order[starts[wanted[i]] + within]
        yield np.stack([i, j], axis=1)[i < j]


def _merge(component: np.ndarray, pairs: np.ndarray, thumbs: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Components (n,) after joining the `pairs` (m, 2) that show one picture.

    Pairs joined already are not compared again: a thousand frames of one fixed camera are half a million
    pairs, of which the first thousand join all.
    """
    while True:
        pairs = pairs[component[pairs[:, 0]] != component[pairs[:, 1]]]
        if not len(pairs):
            return component
        batch, pairs = pairs[:8192], pairs[8192:]  # 8192 pairs of thumbnails in float32 are 16 MiB
        a, b = component[batch[_same_picture(batch, thumbs, chroma)]].T
        if len(a):
            links = coo_array((np.ones(a.size, bool), (a, b)), shape=(component.size, component.size))
            component = connected_components(links, directed=False)[1][component]


def _unpack(column: pd.Series, rows: np.ndarray, size: int) -> np.ndarray:
    return np.frombuffer(b"".join(column.iloc[rows]), np.uint8).reshape(len(rows), size)


def _same_picture(pairs: np.ndarray, thumbs: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Which of `pairs` (m, 2) show one picture, by thumbnails (n, 256) and chroma (n, 128): bool (m,)."""
    a, b = pairs.T
    tint = np.abs(chroma[a].astype(np.int16) - chroma[b]).mean(axis=1)
    misfit, explained = _fit_light(thumbs[a].astype(np.float32), thumbs[b].astype(np.float32))
    return (tint <= MAX_TINT) & (misfit <= MAX_MISFIT) & (explained >= MIN_EXPLAINED)


def _fit_light(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit the brighter of each pair of thumbnails (m, 256) as clip(gain * darker + offset).

    Returns the mean absolute misfit in grey levels and the share of variance explained, each (m,). The fit
    looks past pixels burnt to white: there a brightened shop photo differs from its source in shape, and
    plain correlation drops to 0.91. Gain and offset keep to what can be called a slight change of light.
    """
    swap = (a.mean(axis=1) > b.mean(axis=1))[:, None]
    dark, bright = np.where(swap, b, a), np.where(swap, a, b)
    used = bright < 245
    used[used.sum(axis=1) < 16] = True  # nearly all burnt out: nothing to look past
    count = used.sum(axis=1, keepdims=True)
    x_mean = (dark * used).sum(axis=1, keepdims=True) / count
    y_mean = (bright * used).sum(axis=1, keepdims=True) / count
    x = (dark - x_mean) * used
    slope = (x * (bright - y_mean)).sum(axis=1, keepdims=True) / np.maximum(
        (x * x).sum(axis=1, keepdims=True), 1
    )
    gain = slope.clip(0.8, 1.25)
    offset = (y_mean - gain * x_mean).clip(-32, 32)
    misfit = bright - (gain * dark + offset).clip(0, 255)
    total = np.maximum(bright.var(axis=1), 1)
    return np.abs(misfit).mean(axis=1), 1 - (misfit**2).mean(axis=1) / total


def audit(
    manifest: pd.DataFrame, facts: pd.DataFrame, groups: list[list[int]], target_names: list[str]
) -> dict:
    """Summarise what was found, for people and for JSON; lists are sorted by id.

    `manifest`: id, split ('train' or 'test'), path and one column per target, row for row with `facts`;
    `groups`: from `near_duplicate_groups`. Raises ValueError when the two tables differ in length.
    """
    if len(manifest) != len(facts):
        raise ValueError(
            f"manifest has {len(manifest)} rows, facts {len(facts)}: they must match row for row"
        )
    table = facts.drop(columns="path").reset_index(drop=True)
    for name in ("id", "split", "path"):
        table[name] = manifest[name].astype(str).to_numpy()
    labels = {name: [_plain(value) for value in manifest[name]] for name in target_names}
    members = [table.loc[group] for group in groups]
    train = (table["split"] == "train").to_numpy()
    readable = table["readable"].to_numpy(bool)
    good = table[readable]
    exact = _exact_groups(good)
    return {
        "counts": {
            "train": int(train.sum()),
            "test": int((table["split"] == "test").sum()),
            "readable": len(good),
            "unreadable": len(table) - len(good),
            "exact_copies": sum(len(ids) - 1 for ids in exact),
        },
        "unreadable": _rows(table[~readable], ["id", "split", "path", "error"]),
        "mislabelled": _rows(table[_is_mislabelled(table)], ["id", "path", "format"]),
        "modes": _rows(good[good["mode"] != "RGB"], ["id", "path", "mode"]),
        "rotated": _rows(good[good["orientation"] != 1], ["id", "path", "orientation"]),
        "sizes": _sizes(good),
        "exact_duplicates": exact,
        "near_duplicates": sorted(sorted(rows["id"]) for rows in members if rows["sha256"].nunique() > 1),
        "conflicts": _conflicts(members, labels),
        "leaks": _leaks(members),
        "classes": {name: _class_counts(itertools.compress(labels[name], train)) for name in target_names},
        "missing_labels": {
            name: sum(label is None for label in itertools.compress(labels[name], train))
            for name in target_names
        },
    }


def _rows(table: pd.DataFrame, columns: list[str]) -> list[dict]:
    return table.sort_values(["id", "path"])[columns].to_dict("records")


def _plain(value: object) -> object:
    """A label as JSON holds it: None for a missing one, a sorted list for several."""
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return sorted(str(item) for item in value)
    if pd.isna(value):
        return None
    value = value.item() if isinstance(value, np.generic) else value
    # Whole numbers arrive as floats when the test rows of their column are NaN.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _class_counts(labels: Iterator[object]) -> dict[str, int]:
    named = (label if isinstance(label, list) else [label] for label in labels if label is not None)
    return dict(sorted(Counter(str(name) for names in named for name in names).items()))


def _is_mislabelled(table: pd.DataFrame) -> np.ndarray:
    """Files whose content is another format than their extension says; unknown extensions say nothing."""
    by_extension = Image.registered_extensions()
    promised = table["path"].map(lambda path: by_extension.get(Path(path).suffix.lower(), ""))
    differs = table["format"].replace(SAME_FORMAT) != promised.replace(SAME_FORMAT)
    return ((table["format"] != "") & (promised != "") & differs).to_numpy(bool)


def _sizes(good: pd.DataFrame) -> dict:
    shapes = Counter(zip(good["width"].tolist(), good["height"].tolist(), strict=True))
    commonest = sorted(shapes.items(), key=lambda item: (-item[1], item[0]))[:5]
    by_area = good.assign(area=good["width"] * good["height"]).sort_values(["area", "id", "path"])
    columns = ["id", "path", "width", "height"]
    return {
        "commonest": [{"width": w, "height": h, "count": count} for (w, h), count in commonest],
        "smallest": next(iter(by_area[columns].head(1).to_dict("records")), None),
        "largest": next(iter(by_area[columns].tail(1).to_dict("records")), None),
    }


def _exact_groups(good: pd.DataFrame) -> list[list[str]]:
    copied = good[good.duplicated("sha256", keep=False)]
    return sorted(sorted(ids) for _, ids in copied.groupby("sha256")["id"])


def _conflicts(members: list[pd.DataFrame], labels: dict[str, list]) -> list[dict]:
    """Groups whose labelled train members disagree; kind 'exact' when two with the same bytes do."""
    found = []
    for rows in members:
        rows = rows[rows["split"] == "train"].sort_values("id")  # noqa: PLW2901
        targets = [name for name, values in labels.items() if _disagree(values[row] for row in rows.index)]
        if not targets:
            continue
        exact = any(
            _disagree(labels[name][row] for row in same.index)
            for _, same in rows.groupby("sha256")
            for name in targets
        )
        answers = {row.id: {name: labels[name][row.Index] for name in targets} for row in rows.itertuples()}
        found.append({"ids": list(rows["id"]), "kind": "exact" if exact else "near", "labels": answers})
    return sorted(found, key=lambda conflict: conflict["ids"])


def _disagree(labels: Iterator[object]) -> bool:
    return len({str(label) for label in labels if label is not None}) > 1


def _leaks(members: list[pd.DataFrame]) -> list[dict[str, list[str]]]:
    """Groups on both sides of the split; listed by side, since one id may name a file in each."""
    sides = (
        {side: sorted(rows.loc[rows["split"] == side, "id"]) for side in ("train", "test")}
        for rows in members
    )
    return sorted((leak for leak in sides if leak["train"] and leak["test"]), key=lambda leak: leak["train"])
