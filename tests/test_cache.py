"""The presize cache: built once, taken up after a kill, and never serving a pixel that is not the image's."""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import WorkFailed
from pipeline.vision import build
from pipeline.vision import cache as cache_module
from pipeline.vision.build import Source, build_cache, raw_bytes
from pipeline.vision.cache import Cache, DamagedCache
from pipeline.vision.config import Resize
from pipeline.vision.presize import frame_of, presize, read_pixels
from pipeline.workspace import ABOUT, INDEX, PIXELS
from tests.command import pipeline
from tests.drawn import write_competition
from tests.test_presize import SIZES, photo

CROP = Resize(size=[40, 40])


def nothing(done: int, total: int) -> None:
    pass


def source_of(raw: Path, name: str, size: tuple[int, int]) -> Source:
    return Source(name, hashlib.sha256((raw / name).read_bytes()).hexdigest(), *size)


def draw(folder: Path, count: int = 12) -> list[Source]:
    from PIL import Image

    (folder / "sub").mkdir(parents=True, exist_ok=True)
    sources = []
    for number in range(count):
        width, height = SIZES[number % len(SIZES)]
        path = folder / "sub" / f"{number:03}.png"
        Image.fromarray(photo(width, height, number)).save(path)
        sources.append(source_of(folder, f"sub/{number:03}.png", (width, height)))
    return sources


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


@pytest.fixture
def sources(raw: Path) -> list[Source]:
    return draw(raw)


def make(tmp_path: Path, raw: Path, sources: list[Source], resize: Resize = CROP, form: str = "raw") -> Path:
    folder = tmp_path / "presize" / "key"
    build_cache(folder, raw, sources, resize, form, 2, nothing)
    return folder


def central(cache: Cache, path: Path) -> np.ndarray:
    out = np.zeros((*cache.resize.size, 3), np.uint8)
    cache.read(cache.row(path), None, out)
    return out


def expected(path: Path, resize: Resize = CROP) -> np.ndarray:
    pixels = read_pixels(path.read_bytes(), path)
    frame = frame_of(pixels.shape[1], pixels.shape[0], resize)
    top, left = frame.down.centre, frame.across.centre
    return presize(pixels, resize)[top : top + resize.size[0], left : left + resize.size[1]]


@pytest.mark.parametrize("method", ["crop", "pad", "squish"])
def test_a_cache_holds_the_windows_of_its_images(tmp_path, raw, sources, method):
    resize = Resize(size=[48, 40], method=method)
    cache = Cache(make(tmp_path, raw, sources, resize), raw)
    assert len(cache) == len(sources)
    assert cache.bytes == raw_bytes(sources, resize)
    scratch = np.empty(cache.longest(), np.uint8)
    for source in sources:
        path = raw / source.path
        assert np.array_equal(central(cache, path), expected(path, resize))
        out = np.zeros((48, 40, 3), np.uint8)
        cache.read(cache.row(path), None, out, scratch)
        assert np.array_equal(out, expected(path, resize)), "through a read instead of the mapping"
    assert cache.row(raw / "sub" / "absent.png") == -1
    assert cache.row(tmp_path / "sub" / "000.png") == -1


def test_random_windows_come_out_of_the_same_frame(tmp_path, raw, sources):
    cache = Cache(make(tmp_path, raw, sources), raw)
    path = raw / sources[0].path
    kept = presize(read_pixels(path.read_bytes(), path), CROP)
    assert kept.shape[1] > 40
    for at in ((0.0, 0.0), (0.5, 0.2), (0.999, 0.999)):
        out = np.zeros((40, 40, 3), np.uint8)
        cache.read(cache.row(path), at, out)
        left = min(int(at[0] * (kept.shape[1] - 40 + 1)), kept.shape[1] - 40)
        assert np.array_equal(out, kept[:40, left : left + 40])


def test_jpegs_take_less_room_and_look_the_same(tmp_path, raw, sources):
    big = Resize(size=[160, 160])
    small = Cache(make(tmp_path, raw, sources, big, "jpeg"), raw)
    assert small.bytes < 0.5 * raw_bytes(sources, big)
    for source in sources:
        difference = np.abs(central(small, raw / source.path).astype(int) - expected(raw / source.path, big))
        assert difference.mean() < 3


def swap_rows(folder: Path) -> None:
    """Two images of the same size change places in the file of pixels."""
    data = bytearray((folder / PIXELS).read_bytes())
    half = len(data) // 2
    data[:half], data[half : 2 * half] = data[half : 2 * half], data[:half]
    (folder / PIXELS).write_bytes(data)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["first", "middle", "last", "swap"])
def test_flipped_and_swapped_pixels_are_never_served(tmp_path, raw, damage):
    pair = [source for source in draw(raw, 7) if source.path in ("sub/000.png", "sub/006.png")]
    folder = make(tmp_path, raw, pair)
    size = (folder / PIXELS).stat().st_size
    if damage == "swap":
        swap_rows(folder)
    else:
        flip(folder / PIXELS, {"first": 0, "middle": size // 2, "last": size - 1}[damage])
    said: list[str] = []
    cache = Cache(folder, raw, said.append)
    for _ in range(2):  # what was mended stays so
        for source in pair:
            assert np.array_equal(central(cache, raw / source.path), expected(raw / source.path))
    assert len(said) == (2 if damage == "swap" else 1)
    assert all("damaged" in line and "presize --force" in line for line in said)


def test_many_damaged_images_are_refused_not_kept_in_memory(tmp_path, raw, sources, monkeypatch):
    monkeypatch.setattr(cache_module, "MENDED", 3)
    folder = make(tmp_path, raw, sources)
    (folder / PIXELS).write_bytes(bytes((folder / PIXELS).stat().st_size))
    cache = Cache(folder, raw, [].append)
    for source in sources[:3]:
        central(cache, raw / source.path)
    with pytest.raises(DamagedCache, match="at 3 images before; run `pipeline presize --force`"):
        central(cache, raw / sources[3].path)


@pytest.mark.parametrize(
    "change",
    [{"form": "rav"}, {"form": None}, {"resize": {"size": [0, 0]}}, {"resize": 5}, {"version": "3"}, {"bytes": None}],
)
def test_a_changed_manifest_means_no_cache(tmp_path, raw, sources, change):
    folder = make(tmp_path, raw, sources)
    about = json.loads((folder / ABOUT).read_text())
    (folder / ABOUT).write_text(json.dumps(about | change))
    with pytest.raises(DamagedCache, match="run `pipeline presize`"):
        Cache(folder, raw)


@pytest.mark.parametrize("name", [PIXELS, INDEX, ABOUT])
def test_a_file_cut_short_or_gone_means_no_cache(tmp_path, raw, sources, name):
    folder = make(tmp_path, raw, sources)
    os.truncate(folder / name, (folder / name).stat().st_size // 2)
    with pytest.raises(DamagedCache, match="run `pipeline presize`"):
        Cache(folder, raw)
    (folder / name).unlink()
    with pytest.raises(DamagedCache, match="run `pipeline presize`"):
        Cache(folder, raw)


def test_a_changed_index_is_refused(tmp_path, raw, sources):
    folder = make(tmp_path, raw, sources)
    flip(folder / INDEX, 100)
    with pytest.raises(DamagedCache, match="index"):
        Cache(folder, raw)


def test_pixels_cut_short_while_they_are_read_are_refused_not_a_crash(tmp_path, raw, sources):
    from pipeline.vision.gather import PixelSource

    folder = make(tmp_path, raw, sources)
    reader = PixelSource(CROP, Cache(folder, raw))
    os.truncate(folder / PIXELS, 100)
    with pytest.raises(DamagedCache, match="cut short"):
        reader.start([raw / sources[-1].path], [None]).result()


def test_a_changed_image_is_refused_and_a_touched_one_is_not(tmp_path, raw, sources):
    folder = make(tmp_path, raw, sources)
    changed, touched = raw / sources[0].path, raw / sources[1].path
    before = expected(touched)
    shutil.copyfile(raw / sources[2].path, changed)
    os.utime(touched, (1, 1))
    cache = Cache(folder, raw)
    with pytest.raises(WorkFailed, match=r"000\.png was changed after the audit; run `pipeline check --force`"):
        central(cache, changed)
    assert np.array_equal(central(cache, touched), before)


def test_two_swapped_images_are_refused(tmp_path, raw, sources):
    folder = make(tmp_path, raw, sources)
    one, other = raw / sources[0].path, raw / sources[6].path
    spare = raw / "spare"
    for source, target in ((one, spare), (other, one), (spare, other)):
        os.rename(source, target)
    cache = Cache(folder, raw)
    for path in (one, other):
        with pytest.raises(WorkFailed, match="was changed after the audit"):
            central(cache, path)


def test_two_swapped_images_of_one_size_and_time_are_refused(tmp_path, raw):
    from PIL import Image

    raw.mkdir()
    pair, pictures = [], [photo(60, 45, seed) for seed in (1, 2)]
    for name, pixels in zip(("a.bmp", "b.bmp"), pictures, strict=True):
        Image.fromarray(pixels).save(raw / name)
        os.utime(raw / name, ns=(10**18, 10**18))
        pair.append(source_of(raw, name, (60, 45)))
    folder = make(tmp_path, raw, pair)
    for source, target in (("a.bmp", "spare"), ("b.bmp", "a.bmp"), ("spare", "b.bmp")):
        os.rename(raw / source, raw / target)
    with pytest.raises(WorkFailed, match="was changed after the audit"):
        central(Cache(folder, raw), raw / "a.bmp")


def test_an_image_that_is_gone_is_named(tmp_path, raw, sources):
    folder = make(tmp_path, raw, sources)
    (raw / sources[0].path).unlink()
    with pytest.raises(WorkFailed, match=r"000\.png is gone"):
        central(Cache(folder, raw), raw / sources[0].path)


def test_an_image_changed_since_the_audit_is_not_built_in(tmp_path, raw, sources):
    shutil.copyfile(raw / sources[2].path, raw / sources[5].path)
    with pytest.raises(WorkFailed, match=r"005\.png was changed after the audit"):
        make(tmp_path, raw, sources)
    assert not (tmp_path / "presize" / "key").exists()


def test_an_image_that_went_since_the_audit_is_named(tmp_path, raw, sources):
    (raw / sources[5].path).unlink()
    with pytest.raises(WorkFailed, match=r"005\.png .*No such file.*run `pipeline data --force`"):
        make(tmp_path, raw, sources)


def test_an_image_whose_size_is_not_the_audits_is_refused(tmp_path, raw, sources):
    sources[5] = replace(sources[5], width=sources[5].width + 1)
    with pytest.raises(WorkFailed, match=r"005\.png has not the size that the audit found"):
        make(tmp_path, raw, sources)


def test_a_picture_too_long_for_a_jpeg_is_named(tmp_path, raw, sources, monkeypatch):
    monkeypatch.setattr(build, "JPEG_SIDE", 60)
    with pytest.raises(WorkFailed, match=r"\d+ by \d+ pixels once presized.*--cache-gb"):
        make(tmp_path, raw, sources, form="jpeg")
    make(tmp_path, raw, sources)


def test_garbage_for_exif_does_not_stop_the_build(tmp_path, raw):
    from PIL import Image

    raw.mkdir()
    Image.fromarray(photo(60, 45)).save(raw / "a.png", exif=b"Exif\0\0garbage!garbage!")
    cache = Cache(make(tmp_path, raw, [source_of(raw, "a.png", (60, 45))]), raw)
    assert np.array_equal(central(cache, raw / "a.png"), expected(raw / "a.png"))


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def _build_in_child(folder: Path, raw: Path, sources: list[Source], form: str) -> None:
    build_cache(folder, raw, sources, CROP, form, 2, nothing)


@pytest.mark.parametrize("form", ["raw", "jpeg"])
def test_a_build_that_is_killed_goes_on_to_the_same_bytes(tmp_path, raw, form):
    sources = draw(raw, 60)
    whole = contents(make(tmp_path, raw, sources, form=form))
    folder, kills = tmp_path / "killed" / "key", 0
    generator = random.Random(3)
    context = multiprocessing.get_context("fork")
    for _ in range(40):
        child = context.Process(target=_build_in_child, args=(folder, raw, sources, form))
        child.start()
        time.sleep(generator.uniform(0.0, 0.05))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        if folder.exists():
            break
        kills += 1
    assert kills >= 2
    build_cache(folder, raw, sources, CROP, form, 2, nothing)
    assert contents(folder) == whole
    assert [entry.name for entry in folder.parent.iterdir() if entry.is_dir()] == ["key"]


def test_a_build_that_is_killed_at_its_very_end_is_finished(tmp_path, raw, sources, monkeypatch):
    whole = contents(make(tmp_path, raw, sources))
    folder = tmp_path / "other" / "key"
    with monkeypatch.context() as patched:
        patched.setattr(build, "swap_folder", lambda new, place: (os.rename(new, place), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            build_cache(folder, raw, sources, CROP, "raw", 1, nothing)
    assert set(contents(folder)) - set(whole) == {"rows.jsonl"}
    assert build_cache(folder, raw, sources, CROP, "raw", 1, nothing) is False
    assert contents(folder) == whole


def build_half(folder: Path, raw: Path, sources: list[Source]) -> None:
    """A raw cache whose build was interrupted at its ninth image."""
    real = build._make

    def stop_half_way(raw, source, resize, form):
        if source is sources[8]:
            raise KeyboardInterrupt
        return real(raw, source, resize, form)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "_make", stop_half_way)
        with pytest.raises(KeyboardInterrupt):
            build_cache(folder, raw, sources, CROP, "raw", 1, nothing)


def test_what_an_interrupted_build_wrote_is_checked_before_it_is_used(tmp_path, raw, sources, monkeypatch):
    whole = contents(make(tmp_path, raw, sources))
    folder = tmp_path / "other" / "key"
    build_half(folder, raw, sources)
    partial = folder.parent / ".key.raw.partial"
    rows = [json.loads(line) for line in (partial / "rows.jsonl").read_text().splitlines()]
    assert len(rows) >= 3
    flip(partial / PIXELS, rows[2]["offset"] + 5)
    with open(partial / "rows.jsonl", "a") as journal:
        journal.write('{"path": "torn')
    made, real = [], build._make
    monkeypatch.setattr(
        build, "_make", lambda raw, source, *rest: (made.append(source.path), real(raw, source, *rest))[1]
    )
    build_cache(folder, raw, sources, CROP, "raw", 1, nothing)
    assert made[0] == sources[2].path, "the flipped row and what follows it are made again, no others"
    assert contents(folder) == whole


@pytest.mark.parametrize("key", ["height", "centre_y", "centre_x", "sha256"])
def test_a_row_of_an_interrupted_build_that_was_changed_is_made_again(tmp_path, raw, sources, key):
    whole = contents(make(tmp_path, raw, sources))
    folder = tmp_path / "changed" / "key"
    build_half(folder, raw, sources)
    journal = folder.parent / ".key.raw.partial" / "rows.jsonl"
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    rows[1][key] += 1 if key != "sha256" else "0"
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows))
    build_cache(folder, raw, sources, CROP, "raw", 1, nothing)
    assert contents(folder) == whole


def test_a_system_without_linuxs_own_calls_builds_and_reads_the_same(tmp_path, raw, sources, monkeypatch):
    whole = make(tmp_path, raw, sources)
    for name in ("posix_fallocate", "preadv", "RWF_NOWAIT"):
        monkeypatch.delattr(os, name, raising=False)
    folder = tmp_path / "other" / "key"
    build_cache(folder, raw, sources, CROP, "raw", 2, nothing)
    assert contents(folder) == contents(whole)
    cache, scratch, height, width = Cache(folder, raw), np.empty(1 << 20, np.uint8), *CROP.size
    by_read, by_map = (np.empty((height, width, 3), np.uint8) for _ in range(2))
    for row in range(len(cache)):
        assert cache.in_memory(row)
        cache.read(row, None, by_read, scratch)
        cache.read(row, None, by_map)
        assert np.array_equal(by_read, by_map)


def test_a_build_begun_in_one_form_is_not_mixed_into_another(tmp_path, raw, sources):
    folder = tmp_path / "other" / "key"
    build_half(folder, raw, sources)
    build_cache(folder, raw, sources, CROP, "jpeg", 1, nothing)
    assert contents(folder) == contents(make(tmp_path, raw, sources, form="jpeg"))
    assert [entry.name for entry in folder.parent.iterdir() if entry.is_dir()] == ["key"]


def test_two_processes_that_build_at_once_make_one_cache(tmp_path, raw):
    sources = draw(raw, 60)
    whole = contents(make(tmp_path, raw, sources))
    folder = tmp_path / "shared" / "key"
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_build_in_child, args=(folder, raw, sources, "raw")) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert contents(folder) == whole


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 256 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small tmpfs")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("form", ["raw", "jpeg"])
def test_a_full_disk_is_refused_and_goes_on_when_there_is_room(tmp_path, raw, small_disk, form):
    sources = draw(raw, 60)
    big = Resize(size=[96, 96])
    with pytest.raises(WorkFailed, match="no room left on the disk"):
        build_cache(small_disk / "key", raw, sources, big, form, 2, nothing)
    assert not (small_disk / "key").exists()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    build_cache(small_disk / "key", raw, sources, big, form, 2, nothing)
    assert contents(small_disk / "key") == contents(make(tmp_path, raw, sources, big, form))


def test_a_large_build_keeps_little_in_memory(tmp_path, raw):
    """What waits to be written is a few images, however slow the writing."""
    sources = draw(raw, 40)
    begun = []

    def work(source):
        begun.append(source)

    results = build._stream(work, [(source,) for source in sources], 2)
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 4 * 2 + 1


# The stage, through the command line.


@pytest.fixture
def comp(tmp_path: Path) -> Path:
    return write_competition(tmp_path)


def keys(root: Path) -> list[str]:
    folder = root / "data" / "tiny" / ".pipeline" / "presize"
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())


def forms(root: Path) -> set[str]:
    folder = root / "data" / "tiny" / ".pipeline" / "presize"
    return {json.loads((folder / key / ABOUT).read_text())["form"] for key in keys(root)}


def prepared(comp: Path) -> Path:
    for stage in ("data", "check", "folds", "presize"):
        result = pipeline(stage, comp, "--root", comp.parent)
        assert result.code == 0, result.err
    return comp.parent


def test_models_of_the_same_presize_share_a_cache(comp):
    root = prepared(comp)
    assert len(keys(root)) == 2, "one squished, one cropped"
    shared = pipeline("presize", comp, "--root", root, "--set", 'models.1.resize.method="squish"')
    assert shared.code == 0
    assert "1 presize cache(s) that no model reads" in shared.err
    assert len(keys(root)) == 2
    pruned = pipeline("presize", comp, "--root", root, "--set", 'models.1.resize.method="squish"', "--prune")
    assert "deleted" in pruned.err
    assert len(keys(root)) == 1


def test_a_second_presize_does_nothing(comp):
    root = prepared(comp)
    again = pipeline("presize", comp, "--root", root, "--json")
    assert again.json == {"competition": "tiny", "stage": "presize", "did": False}


def test_a_small_budget_keeps_jpegs_and_says_so(comp):
    root = prepared(comp)
    result = pipeline("presize", comp, "--root", root, "--cache-gb", "0")
    assert result.code == 0
    assert "JPEGs are kept instead" in result.err
    assert forms(root) == {"jpeg"}
    assert "JPEGs" not in pipeline("presize", comp, "--root", root).err, "what is there is kept"
    back = pipeline("presize", comp, "--root", root, "--cache-gb", "1")
    assert back.code == 0
    assert forms(root) == {"raw"}


@pytest.fixture
def tight_disk(comp, monkeypatch):
    """A disk of which the raw pixels of both presizes take 0.45: as many bytes are free as they leave."""
    presized = comp.parent / "data" / "tiny" / ".pipeline" / "presize"
    raw = 60 * (40 * 40 + 40 * 49) * 3

    def usage(place: Path) -> tuple[int, int, int]:
        used = sum(file.stat().st_blocks * 512 for file in presized.rglob("*") if file.is_file())
        return Usage(int(raw / 0.45), used, int(raw / 0.45) - used)

    monkeypatch.setattr(shutil, "disk_usage", usage)


Usage = namedtuple("Usage", ["total", "used", "free"])


def test_a_killed_build_goes_on_in_the_same_form(comp, tight_disk, monkeypatch):
    """What a build reserved is its own when the room is counted again."""
    for stage in ("data", "check", "folds"):
        assert pipeline(stage, comp, "--root", comp.parent).code == 0
    real, made = build._make, []

    def stop(raw, source, *rest):
        made.append(source)
        if len(made) == 90:  # in the second cache
            raise KeyboardInterrupt
        return real(raw, source, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(build, "_make", stop)
        assert pipeline("presize", comp, "--root", comp.parent).code == 1
    again = pipeline("presize", comp, "--root", comp.parent)
    assert again.code == 0, again.err
    assert forms(comp.parent) == {"raw"}
    assert pipeline("presize", comp, "--root", comp.parent, "--force").code == 0
    assert forms(comp.parent) == {"raw"}


def test_a_manifest_of_another_size_is_built_again(comp):
    root = prepared(comp)
    about = root / "data" / "tiny" / ".pipeline" / "presize" / keys(root)[0] / ABOUT
    before = about.read_text()
    about.write_text(before.replace("40", "41"))
    assert pipeline("presize", comp, "--root", root, "--json").json["did"] is True
    assert about.read_text() == before


def test_a_negative_budget_is_refused(comp):
    root = prepared(comp)
    result = pipeline("presize", comp, "--root", root, "--cache-gb", "-1")
    assert result.code == 2
    assert "--cache-gb -1" in result.err


def test_verify_names_what_changed(comp):
    root = prepared(comp)
    assert "images verified" in pipeline("presize", comp, "--root", root, "--verify").err
    folder = root / "data" / "tiny" / ".pipeline" / "presize" / keys(root)[0]
    flip(folder / PIXELS, 50)
    result = pipeline("presize", comp, "--root", root, "--verify")
    assert result.code == 1
    assert "1 of 60 images" in result.err


def test_a_damaged_cache_is_stale_and_built_again(comp):
    root = prepared(comp)
    folder = root / "data" / "tiny" / ".pipeline" / "presize" / keys(root)[0]
    os.truncate(folder / PIXELS, 50)
    assert pipeline("status", comp, "--root", root, "--json").json["stages"]["presize"] == "stale"
    assert pipeline("presize", comp, "--root", root, "--json").json["did"] is True
    assert pipeline("status", comp, "--root", root, "--json").json["stages"]["presize"] == "done"


def test_a_changed_image_makes_a_new_cache_after_the_audit(comp):
    root = prepared(comp)
    before = keys(root)
    images = sorted((comp.parent / "raw").rglob("*.png"))  # data/tiny links to it
    shutil.copyfile(images[5], images[0])
    for stage, *options in (("data",), ("check",), ("folds", "--force"), ("presize",)):
        assert pipeline(stage, comp, "--root", root, *options).code == 0
    assert len(set(keys(root)) - set(before)) == 2
