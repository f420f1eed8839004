"""What the files of an image competition really hold: broken files, odd formats, duplicates, leaks.

Steps that share nothing but their values: `inspect_images` opens every file once, `near_duplicate_groups`
(in duplicates.py) compares the fingerprints, `audit` says it all in a dict that fits in JSON.
"""

import hashlib
import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, BinaryIO

import imagehash
import numpy as np
import pandas as pd
from PIL import Image, ImageFile, UnidentifiedImageError

from pipeline.data.boxes import CUT, EMPTY, box_in, cut_of
from pipeline.data.channels import PICTURE, RGB, UNSAID, Channels, Said
from pipeline.data.levels import Range, beyond, extremes, found_in, levels_of, sort_of, stretched
from pipeline.data.orientation import orientation_of, upright
from pipeline.data.readers import READERS, decode, is_array, own_reader_of, values_of
from pipeline.data.readers.pillow import LARGEST
from pipeline.data.several import digest_of, files_of, first_of, read_content
from pipeline.errors import RequestError

# Values of a file of which nothing could be learned; also the columns after `path`, in order.
NOTHING = {
    "readable": False, "error": "", "format": "", "mode": "", "width": 0, "height": 0, "orientation": 1,
    "bytes": 0, "sha256": "", "phash": np.uint64(0), "thumb": b"", "chroma": b"",
}  # fmt: skip
DEEP = ("low", "high")  # further columns, of images of more than 8 bits
BY_CHANNEL = ("sorts", "lows", "highs")  # and of those among them that are arrays, or several files
CHANNELS = ("channels", "axis")  # where images are not just pictures in RGB
SAME_FORMAT = {"MPO": "JPEG"}  # a phone's JPEG with a second picture behind the first


def inspect_images(
    paths: Sequence[Path],
    workers: int,
    progress: Callable[[int, int], None] | None = None,
    said: Said = UNSAID,
    boxes: np.ndarray | None = None,
) -> pd.DataFrame:
    """Open, decode and fingerprint files: one row per path, in the given order; never raises for a bad file.

    Columns: path (str), readable (bool: the first frame decodes to its end), error (str, '' when readable),
    format and mode (Pillow's names, as stored; for a plug-in's reader its own name, and RGB), width and height
    (pixels, upright), orientation (EXIF 1..8), bytes, sha256 (hex), phash (uint64), thumb (16x16 grey levels of the
    upright picture), chroma (8x8 Cb, then 8x8 Cr). Unreadable: numbers 0 and bytes empty, save what the header told.
    Where some have more than 8 bits, low and high too: their least and greatest value (NaN for the others).
    With `boxes` (paths, 5) also `CUT`: what is cut, of which phash, thumb and chroma are then; '' where unreadable.
    Where some are arrays or several files, or `said` says so: channels, and the axis that they are on in an array; of
    more than 8 bits also sorts, lows and highs, for each channel (`levels.found_in`).
    `progress(done, total)`. Raises RequestError only for a plug-in's reader that makes something else than an image.

    Threads, because Pillow decodes outside the GIL (two take 2.5 s for 2,340 photos, one 4.4 s; two spawned
    processes were a fifth slower); no JPEG draft mode, as it shifts hashes by up to 6 bits to save 0.9 s.
    """
    rows: list[dict] = [{}] * len(paths)
    tasks = [(path, [number]) for number, path in enumerate(paths)] if boxes is None else _by_file(paths)
    done = 0

    def work(task: tuple[Path, list[int]]) -> list[dict]:
        return _inspect(task[0], said, [None if boxes is None else boxes[number] for number in task[1]])

    with _strict_pillow(), ThreadPool(max(1, workers)) as pool:
        for (_, numbers), found in zip(tasks, pool.imap(work, tasks, chunksize=8), strict=True):
            for number, row in zip(numbers, found, strict=True):
                rows[number] = row
            done += len(numbers)
            if progress:
                progress(done, len(paths))
    types = {name: type(value) for name, value in NOTHING.items() if isinstance(value, int | np.integer)}
    more = [name for names in (DEEP, BY_CHANNEL, CHANNELS) for name in names if any(names[0] in row for row in rows)]
    more += [] if boxes is None else [CUT]
    facts = pd.DataFrame(rows, columns=["path", *NOTHING, *more]).astype(types)
    if "channels" in facts:
        facts = facts.fillna({"channels": RGB.count, "axis": RGB.axis}).astype({"channels": int})
    return facts


def _by_file(paths: Sequence[Path]) -> list[tuple[Path, list[int]]]:
    """Each file once, with the numbers of its rows."""
    found: dict[Path, list[int]] = {}
    for number, path in enumerate(paths):
        found.setdefault(path, []).append(number)
    return list(found.items())


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


def _inspect(path: Path, said: Said, boxes: Sequence[np.ndarray | None]) -> list[dict]:
    """One row for each box of a file, which is read once; None is the whole image."""
    row, picture = _open(path, said)
    if picture is None:
        return [{**row, CUT: ""} for _ in boxes]
    found = []
    for box in boxes:
        cut = "" if box is None else cut_of(box, picture.width, picture.height)
        part = picture.crop(box_in(cut)) if cut not in ("", EMPTY) else picture
        found.append({**row, CUT: cut, **_fingerprint(part)})
    return found


def _fingerprint(picture: Image.Image) -> dict:
    small = picture.resize((16, 16), Image.Resampling.BOX)
    chroma = small.convert("YCbCr").resize((8, 8), Image.Resampling.BOX).split()[1:]
    return {
        "readable": True,
        "phash": np.uint64(int(str(imagehash.phash(picture)), 16)),
        "thumb": small.convert("L").tobytes(),
        "chroma": b"".join(channel.tobytes() for channel in chroma),
    }


def _open(path: Path, said: Said) -> tuple[dict, Image.Image | None]:
    """A file's row, and its picture where it can be read."""
    row = {"path": str(path), **NOTHING}
    files = files_of(path)
    try:
        for file in map(Path, files):
            if not file.is_file():  # also keeps the open below from waiting on a pipe
                return row | {"error": "is not a regular file" if file.exists() else "file is missing"}, None
        own = own_reader_of(path)
        if len(files) > 1 or is_array(path) or (own is not None and READERS[own].channels != RGB.count):
            picture = _look_at_channels(path, row, said)
        else:
            if said.count in PICTURE:
                row.update(channels=said.count, axis="")
            with path.open("rb") as file:
                row["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
                row["bytes"] = file.tell()
                file.seek(0)
                picture = _decode(file, row)
    except RequestError:  # no fault of the file
        raise
    except Exception as error:  # noqa: BLE001 - Pillow's 40 readers raise anything on broken bytes
        return row | {"error": "file is empty" if row["sha256"] and not row["bytes"] else _why(error)}, None
    return row, picture


def _look_at_channels(path: Path, row: dict, said: Said) -> Image.Image:
    """An array, or several files, as a picture to compare by: three channels as RGB, others by their mean."""
    content = read_content(path)
    size = len(content) if isinstance(content, bytes) else sum(map(len, content))
    row.update(sha256=digest_of(content), bytes=size)
    read = values_of(content, path, said)
    height, width = read.parts[0].shape[:2]
    count = sum(part.shape[2] for part in read.parts)
    taken = RGB.count if count == 1 and said.count == RGB.count and len(read.parts) == 1 else count
    row.update(format=read.format, width=width, height=height, channels=taken, axis=read.axis, **found_in(read.parts))
    deepest = next((sort for sort in "FI" if sort in row.get("sorts", "")), None)
    row["mode"] = f"{deepest}{count}" if deepest else {1: "L", 3: "RGB"}.get(count, f"{count} channels")
    pixels = stretched(read.parts)
    grey = pixels if count == RGB.count else pixels.mean(axis=2).round().astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _decode(file: BinaryIO, row: dict) -> Image.Image:
    """The upright picture in RGB; fills the header's columns of `row` as far as it gets."""
    own = own_reader_of(row["path"])
    if own is not None:
        picture = Image.fromarray(decode(file.read(), row["path"]))
        row.update(format=own, mode=picture.mode, width=picture.width, height=picture.height)
        return picture
    with Image.open(file) as image:
        row.update(format=image.format or "", mode=image.mode, width=image.width, height=image.height)
        image.load()
        if sort_of(image.mode):
            row.update(zip(DEEP, extremes(np.asarray(image)), strict=True))
        orientation = orientation_of(image)
        picture = upright(_to_rgb(image), orientation)
    row.update(orientation=orientation, width=picture.width, height=picture.height)
    return picture


def _to_rgb(image: Image.Image) -> Image.Image:
    if sort_of(image.mode):  # 16 and 32 bits: stretched, so that doubles of another depth are found too
        levels = np.nan_to_num(np.asarray(image, dtype=np.float32))
        levels = (levels - levels.min()) * (255 / max(float(np.ptp(levels)), 1e-6))
        image = Image.fromarray(levels.astype(np.uint8))
    elif image.has_transparency_data:  # what lies under transparent pixels is not part of the picture
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _why(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        limit = Image.MAX_IMAGE_PIXELS or LARGEST
        return f"has more than {limit:,} pixels (decompression bomb?); scale it down, or read it by a plug-in's reader"
    if isinstance(error, UnidentifiedImageError):
        return "is not an image"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error).splitlines() or [""])[0][:120] or type(error).__name__


def audit(
    manifest: pd.DataFrame,
    facts: pd.DataFrame,
    groups: list[list[int]],
    target_names: list[str],
    channels: Channels = RGB,
    said: Range | None = None,
) -> dict:
    """Summarise what was found, for people and for JSON; lists are sorted by id.

    `manifest`: id, split ('train' or 'test'), path and one column per target, row for row with `facts`;
    `groups`: from `near_duplicate_groups`; `channels`: from `channels_of`; `said`: the range of more than 8
    bits, where it is not to be found. Raises ValueError when the two tables differ in length.
    """
    if len(manifest) != len(facts):
        raise ValueError(f"manifest has {len(manifest)} rows, facts {len(facts)}: they must match row for row")
    table = facts.drop(columns="path").reset_index(drop=True)
    for name in ("id", "split", "path"):
        table[name] = manifest[name].astype(str).to_numpy()
    labels = {name: [_plain(value) for value in manifest[name]] for name in target_names}
    members = [table.loc[group] for group in groups]
    train = (table["split"] == "train").to_numpy()
    readable = table["readable"].to_numpy(bool)
    good = table[readable]
    exact = _exact_groups(good)
    deep = table[readable & table["mode"].map(sort_of).notna()] if "low" in table else table[:0]
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
        **(_ranges(deep, said) if len(deep) else {}),
        **({"channels": channels.settings()} if channels.settings() else {}),
        "modes": _rows(good[good["mode"] != "RGB"], ["id", "path", "mode"]),
        "rotated": _rows(good[good["orientation"] != 1], ["id", "path", "orientation"]),
        "sizes": _sizes(good),
        "exact_duplicates": exact,
        "near_duplicates": sorted(sorted(rows["id"]) for rows in members if rows["sha256"].nunique() > 1),
        "conflicts": _conflicts(members, labels),
        "leaks": _leaks(members),
        "classes": {name: _class_counts(itertools.compress(labels[name], train)) for name in target_names},
        "missing_labels": {
            name: sum(label is None for label in itertools.compress(labels[name], train)) for name in target_names
        },
    }


def _ranges(deep: pd.DataFrame, said: Range | None) -> dict:
    """By which ranges images of more than 8 bits are read, and those with values beyond them."""
    levels = levels_of(deep, (deep["split"] == "train").to_numpy())
    if said is not None:
        levels = {key.partition(":")[0]: said for key in levels}
    return {
        "levels": {sort: list(pair) for sort, pair in levels.items()},
        "beyond_levels": _rows(deep[beyond(deep, levels)], ["id", "split", "path", *DEEP]),
    }


def _rows(table: pd.DataFrame, columns: list[str]) -> list[dict]:
    return table.sort_values(["id", "path"])[columns].to_dict("records")


def _plain(value: Any) -> object:
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
    """Files whose content is another format than their extension says; unknown extensions, and those that a plug-in
    reads, say nothing."""
    by_extension = Image.registered_extensions()

    def promise(path: Any) -> str:
        file = first_of(path)  # whose format is noted, of several
        return "" if own_reader_of(file) else by_extension.get(Path(file).suffix.lower(), "")

    promised = table["path"].map(promise)
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
            _disagree(labels[name][row] for row in same.index) for _, same in rows.groupby("sha256") for name in targets
        )
        ids = list(rows["id"])
        answers = {id: {name: labels[name][row] for name in targets} for id, row in zip(ids, rows.index, strict=True)}
        found.append({"ids": ids, "kind": "exact" if exact else "near", "labels": answers})
    return sorted(found, key=lambda conflict: conflict["ids"])


def _disagree(labels: Iterator[object]) -> bool:
    return len({str(label) for label in labels if label is not None}) > 1


def _leaks(members: list[pd.DataFrame]) -> list[dict[str, list[str]]]:
    """Groups on both sides of the split; listed by side, since one id may name a file in each."""
    sides = ({side: sorted(rows.loc[rows["split"] == side, "id"]) for side in ("train", "test")} for rows in members)
    return sorted((leak for leak in sides if leak["train"] and leak["test"]), key=lambda leak: leak["train"])
