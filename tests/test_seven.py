"""7z archives: read by every usual method, refused in words by others, damaged or unsafe ones as all archives."""

import base64
import os
import random
import shutil
import stat
import struct
from zlib import crc32

import pytest

from pipeline.data.archive import extract, unpack
from pipeline.data.seven import MAGIC
from pipeline.errors import WorkFailed
from tests.seven import METHODS, write_seven

NOISE = random.Random(1).randbytes(1_500_000)
FILES = {
    "train": None,
    "train/a.jpg": NOISE[:700_001],
    "train/b.jpg": b"b" * 300_000,
    "train/empty.txt": b"",
    "train/\u00e9\u732b.jpg": NOISE[700_001:],
    "labels.csv": b"id,label\n" * 40_000,
}


def files_in(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("solid", [True, False])
def test_every_usual_method_is_read(tmp_path, method, solid):
    write_seven(tmp_path / "a.7z", FILES, method, solid, packed_header=solid)
    seen = []
    extract(tmp_path / "a.7z", tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert files_in(tmp_path / "out") == {name: content for name, content in FILES.items() if content is not None}
    assert os.stat(tmp_path / "out/train/a.jpg").st_mtime == 1_600_000_000
    assert seen[-1] == (2_160_000, 2_160_000)


def test_archives_without_content_and_of_one_file(tmp_path):
    write_seven(tmp_path / "none.7z", {}, packed_header=False)
    extract(tmp_path / "none.7z", tmp_path / "none")
    write_seven(tmp_path / "empty.7z", {"a/b": None, "c": b""})
    extract(tmp_path / "empty.7z", tmp_path / "empty")
    write_seven(tmp_path / "one.7z", {"c": b"x"})
    extract(tmp_path / "one.7z", tmp_path / "one")
    assert files_in(tmp_path / "none") == {}
    assert (tmp_path / "empty/a/b").is_dir()
    assert files_in(tmp_path / "empty") == {"c": b""}
    assert files_in(tmp_path / "one") == {"c": b"x"}


# By py7zr 1.1.4: with its own default, which is BCJ (x86) and LZMA2, and with Delta.
BY_PY7ZR = {
    "BCJ": (
        "N3q8ryccAASFvmuj1wAAAAAAAAAVAAAAAAAAAE8u9/XgAMwAVV0AdAE98AyMThLKHs2Sg8RLKP6dsZtwPqH13qomsZJsBeBch9hC"
        "BGmkOAEZyOKXDJfofHlsytjBLie6J2PESEhrsfZXGh/1YvYEgFVktt/a3Kb/1JVlKADgAIwAcl0AAIEzB64P02kuPUC7lGQcfuti"
        "Y/a5l5Iq4aXTBwAF19C2/9QN2cR9R5cxpDTSYAAHS6DsoS8PjvmWDCrGktt44jYVXL85mG5EycPRBHlBL4zr+4C9TOam4lU+riVz"
        "Omx+oCeGAYlunrZONzq8GYrf7wAAABcGXQEJegAHCwEAASEhARgMgI0AAA=="
    ),
    "Delta": (
        "N3q8ryccAASoti0QjwAAAAAAAAAVAAAAAAAAAMqGInvgAMwAEl0Ac//98YwdDllPkx3naX2eTpggAOAAiABtXQAAgTMHrg/PpC64"
        "D9RqXn3l09t1q6Uzd8sbZjn4I29gP8IuyO5Yr3RPvBFblXldg3GvyaR6ct2djhh1Mz/pCPaSEhE7cGkkbD9HRbvUuNpw4fYcibEe"
        "iwWa9fX+uChoReLvvbpooKByRhLAAAAAABcGGgEJdQAHCwEAASEhARgMgIkAAA=="
    ),
}


@pytest.mark.parametrize("filter_name", BY_PY7ZR)
def test_filters_before_lzma2_are_read(tmp_path, filter_name):
    (tmp_path / "a.7z").write_bytes(base64.b64decode(BY_PY7ZR[filter_name]))
    extract(tmp_path / "a.7z", tmp_path / "out")
    assert files_in(tmp_path / "out") == {
        "train/a.bin": b"\xe8\x00\x10\x00\x00" * 40 + b"tail",
        "train/b.txt": b"b",
    }


@pytest.mark.parametrize(
    ("code", "word"),
    [(b"\x03\x04\x01", "PPMd"), (b"\x06\xf1\x07\x01", "encryption"), (b"\x7f", "method 7f")],
)
def test_other_methods_are_refused_by_name(tmp_path, code, word):
    write_seven(tmp_path / "a.7z", {"a": b"x" * 99}, "copy", code=code, packed_header=False)
    with pytest.raises(WorkFailed, match=f"a.7z: it is compressed by {word}, which is not read here.*\n.*with 7-Zip"):
        unpack(tmp_path / "a.7z", tmp_path / "out")
    assert os.listdir(tmp_path) == ["a.7z"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("../out.txt", "leads out"), ("/etc/x", "absolute path"), ("a\nb", "control character"), ("", "has no name")],
)
def test_unsafe_names_are_refused(tmp_path, name, words):
    write_seven(tmp_path / "a.7z", {"first": b"x", name: b"y"})
    with pytest.raises(WorkFailed, match=words):
        unpack(tmp_path / "a.7z", tmp_path / "deep/out")
    assert not (tmp_path / "deep").exists() or not os.listdir(tmp_path / "deep")


def test_a_link_is_refused(tmp_path):
    write_seven(tmp_path / "a.7z", {"link": b"/etc/passwd"}, modes={"link": stat.S_IFLNK | 0o777})
    with pytest.raises(WorkFailed, match="is a link"):
        unpack(tmp_path / "a.7z", tmp_path / "out")
    write_seven(tmp_path / "b.7z", {"file": b"x"}, modes={"file": stat.S_IFREG | 0o644})
    unpack(tmp_path / "b.7z", tmp_path / "out")


def test_a_bomb_and_what_is_too_large_are_refused(tmp_path, monkeypatch):
    write_seven(tmp_path / "a.7z", {"zeros": bytes(30_000_000)})
    with pytest.raises(WorkFailed, match="the limit is"):
        unpack(tmp_path / "a.7z", tmp_path / "out", limit_bytes=1_000_000)
    monkeypatch.setattr("pipeline.data.members.RATIO_FROM_BYTES", 10**6)
    with pytest.raises(WorkFailed, match="looks like a bomb"):
        unpack(tmp_path / "a.7z", tmp_path / "out")


@pytest.mark.parametrize("method", METHODS)
def test_damage_is_told_and_nothing_is_left(tmp_path, method):
    """Every archive with a byte changed, or cut short, is read as it was or refused; never half."""
    files = {"a.txt": b"some words, " * 300, "b/c.bin": NOISE[:3000], "d": b""}
    write_seven(tmp_path / "a.7z", files, method)
    whole, rng, refused = (tmp_path / "a.7z").read_bytes(), random.Random(2), 0
    for _ in range(120):
        place = rng.randrange(len(MAGIC), len(whole))
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.randrange(8)
        (tmp_path / "b.7z").write_bytes(changed if rng.random() < 0.7 else whole[:place])
        refused += not _unpacks(tmp_path, files)
    assert refused > 100


def _unpacks(folder, files=None) -> bool:
    """Whether b.7z is unpacked, which leaves nothing where it is refused."""
    try:
        unpack(folder / "b.7z", folder / "out")
    except WorkFailed:
        assert sorted(os.listdir(folder)) == ["a.7z", "b.7z"]
        return False
    assert files is None or files_in(folder / "out") == files
    shutil.rmtree(folder / "out")
    return True


def test_a_header_that_lies_is_refused(tmp_path):
    """With the right checksums, any bytes in the place of the header."""
    rng, head = random.Random(3), [0x01, 0x04, 0x06, 0x00, 0x01, 0x09, 0x05, 0x07, 0x0B, 0x0C, 0x17, 0xFF, 0x80, 0x21]
    write_seven(tmp_path / "a.7z", {"a.txt": b"some words", "b": b"x"}, packed_header=False)
    good = (tmp_path / "a.7z").read_bytes()
    (offset,) = struct.unpack("<Q", good[12:20])
    for _ in range(600):
        header = bytearray(good[32 + offset :])
        if rng.random() < 0.5:
            header[rng.randrange(len(header))] = rng.choice([rng.randrange(256), 0xFF, 0])
        else:
            header = bytearray(rng.choice(head) for _ in range(rng.randrange(1, 40)))
        start = struct.pack("<QQI", offset, len(header), crc32(bytes(header)))
        signature = MAGIC + b"\0\x04" + struct.pack("<I", crc32(start))
        (tmp_path / "b.7z").write_bytes(signature + start + good[32 : 32 + offset] + bytes(header))
        _unpacks(tmp_path)
