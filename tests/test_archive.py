"""Archives: every refusal leaves no trace, every format round-trips, a killed run leaves no half."""

import errno
import gzip
import io
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
import zlib
from functools import partial
from pathlib import Path

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from pipeline.data import archive as archive_module
from pipeline.data import members as members_module
from pipeline.data.archive import extract, unpack
from pipeline.errors import WorkFailed

FORMATS = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]
TREE = {
    "train.csv": b"id,label\n1,cat\n",
    "img/a.jpg": random.Random(1).randbytes(5000),
    "img/deep/b.jpg": b"",
    "c d": b"x",
}
LINK, HARD, FOLDER = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
QUICK = settings(max_examples=100, deadline=None)


def tar_entry(name, content=b"", kind=tarfile.REGTYPE, target="", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def write_tar(path, entries, mode="w"):
    with tarfile.open(path, mode) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return path


def write_zip(path, entries, method=zipfile.ZIP_DEFLATED):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as zipped:
        warnings.simplefilter("ignore")  # duplicate names are the point of some tests
        for name, content in entries:
            zipped.writestr(name, content)
    return path


def write_archive(folder, form, tree):
    """Write {name: content}; a name that ends in a slash is an empty folder."""
    path = Path(folder) / f"data.{form}"
    if form == "zip":
        return write_zip(path, tree.items())
    entries = [tar_entry(n, c, FOLDER if n.endswith("/") else tarfile.REGTYPE) for n, c in tree.items()]
    return write_tar(path, entries, "w" + form.removeprefix("tar").replace(".", ":"))


def read_tree(folder):
    """Return {name: content} of everything below, empty folders as 'name/'; links are not followed."""
    found = {}
    for here, folders, files in os.walk(folder):
        inside = os.path.relpath(here, folder)
        for name in files:
            found[os.path.normpath(os.path.join(inside, name))] = Path(here, name).read_bytes()
        if not folders and not files and inside != ".":
            found[inside + "/"] = b""
    return found


def snapshot(folder):
    return {str(path): path.lstat().st_mtime_ns for path in Path(folder).rglob("*")}


def assert_refused(archive, match, **options):
    """The archive is refused in at most two lines that name it, and no path beside it appears or changes."""
    before = snapshot(archive.parent)
    with pytest.raises(WorkFailed, match=match) as caught:
        unpack(archive, archive.parent / "new" / "out", **options)
    assert snapshot(archive.parent) == before
    message = str(caught.value)
    assert str(archive) in message
    assert message.count("\n") <= 1
    return message


# --- formats ---


@pytest.mark.parametrize("form", FORMATS)
def test_round_trip_of_each_format(tmp_path, form):
    archive = write_archive(tmp_path, form, TREE | {"empty/": b""})
    assert unpack(archive, tmp_path / "new" / "out") is None
    assert read_tree(tmp_path / "new" / "out") == TREE | {"empty/": b""}
    assert os.listdir(tmp_path / "new") == ["out"]


@pytest.mark.parametrize("form", FORMATS)
def test_the_format_is_found_by_content(tmp_path, form):
    misnamed = write_archive(tmp_path, form, TREE).rename(tmp_path / "archive.bin")
    unpack(misnamed, tmp_path / "out")
    assert read_tree(tmp_path / "out") == TREE


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_methods(tmp_path, method):
    tree = TREE | {"long": os.urandom(50_000) + bytes(3_000_000)}
    unpack(write_zip(tmp_path / "a.zip", tree.items(), method), tmp_path / "out")
    assert read_tree(tmp_path / "out") == tree


@pytest.mark.parametrize("name", ["PK.txt", "BZh9"])
def test_a_tar_whose_first_name_looks_like_another_format(tmp_path, name):
    unpack(write_archive(tmp_path, "tar", {name: b"1"}), tmp_path / "out")
    assert read_tree(tmp_path / "out") == {name: b"1"}


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", [("x", b"1")]).read_bytes()
    unpack(write_archive(tmp_path, "tar", {"inner.zip": inner}), tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"inner.zip": inner}


def test_a_zip_behind_a_program_and_old_tars(tmp_path):
    zipped = write_zip(tmp_path / "a.zip", TREE.items())
    zipped.write_bytes(b"#!/bin/sh\nexit\n" + zipped.read_bytes())
    unpack(zipped, tmp_path / "one")
    header = bytearray(tar_entry("old.txt", b"12")[0].tobuf(tarfile.USTAR_FORMAT))
    header[257:] = bytes(len(header) - 257)  # as before 1988: no "ustar"
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    (tmp_path / "old.tar").write_bytes(header + b"12".ljust(512, b"\0") + bytes(1024))
    unpack(tmp_path / "old.tar", tmp_path / "two")
    assert read_tree(tmp_path / "one") == TREE
    assert read_tree(tmp_path / "two") == {"old.txt": b"12"}


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><title>Log in</title>", b"id,label\n" * 200])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    assert_refused(tmp_path / "a.zip", "neither a zip nor a tar")


def test_a_compressed_table_is_not_an_archive(tmp_path):
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress(b"id,label\n" * 200))
    assert_refused(tmp_path / "train.csv.gz", "holds no tar")


def test_a_missing_archive_is_named(tmp_path):
    assert_refused(tmp_path / "none.zip", "cannot read .*No such file")


# --- what comes out ---


def test_modes_lose_setuid_and_times_are_kept(tmp_path):
    entries = [
        tar_entry("run", b"1", mode=0o6777, mtime=1_500_000_000),
        tar_entry("d", kind=FOLDER, mode=0o7000),
    ]
    entries += [tar_entry("odd", b"", mtime=-5), tar_entry("inf", b"", mtime=float(2**40))]
    old = os.umask(0o022)
    try:
        unpack(write_tar(tmp_path / "a.tar", entries), tmp_path / "out")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out/run").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "out/d").stat().st_mode) == 0o755
    assert (tmp_path / "out/run").stat().st_mtime == 1_500_000_000
    assert (tmp_path / "out/odd").stat().st_mtime > 1_700_000_000  # out of range: the time of writing


def test_zip_times_are_kept_and_impossible_ones_are_not(tmp_path):
    dated = [
        (zipfile.ZipInfo("a", (2001, 2, 3, 4, 5, 6)), b"1"),
        (zipfile.ZipInfo("b", (1980, 0, 0, 0, 0, 0)), b"2"),
    ]
    unpack(write_zip(tmp_path / "a.zip", dated), tmp_path / "out")
    assert time.localtime((tmp_path / "out/a").stat().st_mtime)[:6] == (2001, 2, 3, 4, 5, 6)
    assert (tmp_path / "out/b").stat().st_mtime > 1_700_000_000


def test_links_inside_are_kept_and_lead_to_the_file(tmp_path):
    entries = [
        tar_entry("./", kind=FOLDER),
        tar_entry("./d/e/real.txt", b"hello"),
        tar_entry("d/up", kind=LINK, target="e/../e"),
        tar_entry("chain", kind=LINK, target="./d/up/real.txt"),
        tar_entry("d/e/back", kind=LINK, target="../../chain"),
        tar_entry("dangling", kind=LINK, target="later"),
        tar_entry("hard", kind=HARD, target="./d/e/real.txt"),
        tar_entry("harder", kind=HARD, target="hard"),
    ]
    unpack(write_tar(tmp_path / "a.tar", entries), tmp_path / "out")
    for name in ("chain", "d/e/back", "hard", "harder"):
        assert (tmp_path / "out" / name).read_bytes() == b"hello", name
    assert os.readlink(tmp_path / "out/d/up") == "e/../e"
    assert (tmp_path / "out/harder").stat().st_nlink == 3


@pytest.mark.parametrize("form", FORMATS)
def test_progress_grows_to_the_total(tmp_path, form):
    tree = {"big": os.urandom(3_500_000)} | {f"{i}": b"ab" for i in range(200)}
    seen = []
    unpack(write_archive(tmp_path, form, tree), tmp_path / "out", progress=lambda *at: seen.append(at))
    assert len(seen) >= 5
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {3_500_400}
    assert seen[-1] == (3_500_400, 3_500_400)


def test_thousands_of_small_files(tmp_path):
    tree = {f"train/{i % 10}/{i}.txt": b"%d" % i for i in range(5000)}
    archive = write_zip(tmp_path / "a.zip", tree.items(), zipfile.ZIP_STORED)
    unpack(archive, tmp_path / "out")
    assert read_tree(tmp_path / "out") == tree


# --- names ---

BAD_NAMES = [
    ("/etc/passwd", "absolute"),
    ("//host/share", "absolute"),
    ("\\\\host\\share\\x", "absolute"),
    ("\\x", "absolute"),
    ("C:\\x", "absolute"),
    ("c:/x", "absolute"),
    ("../x", r"leads out .* with '\.\.'"),
    ("a/../../x", r"'\.\.'"),
    ("a/..", r"'\.\.'"),
    ("a/../b", r"'\.\.'"),
    ("a\\..\\..\\x", r"'\.\.'"),
    ("a/..\\x", r"'\.\.'"),
    ("a\nb", "control"),
    ("a\x1b[31m", "control"),
    ("a\x85b", "control"),
    ("a/\x7f", "control"),
    (".", "no name"),
    ("./.", "no name"),
    ("n" * 256, "255 bytes"),
    ("é" * 128, "255 bytes"),
    ("d/" * 100 + "x", "100 folders deep"),
]


@pytest.mark.parametrize(("name", "match"), BAD_NAMES)
@pytest.mark.parametrize("form", FORMATS[:3])
def test_bad_names_are_refused(tmp_path, form, name, match):
    message = assert_refused(write_archive(tmp_path, form, {"good": b"1", name: b"2"}), match)
    assert name.isprintable() or name not in message
    assert "good" not in message


def test_names_at_the_limit_are_allowed(tmp_path):
    tree = {"n" * 255: b"1", "d/" * 99 + "x": b"2", "a..b/...": b"3", "x/c:y": b"4", "a\\b": b"5", " ": b"6"}
    unpack(write_archive(tmp_path, "tar", tree), tmp_path / "out")
    assert read_tree(tmp_path / "out") == tree


def test_a_name_that_the_file_system_cannot_encode_is_refused(tmp_path, monkeypatch):
    archive = write_archive(tmp_path, "zip", {"日本": b"1"})
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("latin-1"))
    assert_refused(archive, "cannot write")


def test_an_empty_name_is_refused(tmp_path):
    assert_refused(write_tar(tmp_path / "a.tar", [tar_entry("")]), "member '' has no name")


@pytest.mark.parametrize(("form", "name", "old"), [("zip", "abc", b"abc"), ("tar", "abcé", b"path=abc")])
def test_a_nul_in_a_name_is_refused(tmp_path, form, name, old):
    archive = write_archive(tmp_path, form, {name: b"1"})
    data = archive.read_bytes()
    assert old in data  # for tar the pax header, where a NUL does not end the name
    archive.write_bytes(data.replace(old, old.replace(b"b", b"\0")))
    assert_refused(archive, "NUL")


@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", "./a"), ("a/b", "a"), ("a", "a/b"), ("a", "a/"), ("a/", "a"), ("a//b", "a/b")]
)
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_members_that_collide_are_refused(tmp_path, form, names):
    path = tmp_path / f"a.{form}"
    if form == "zip":
        write_zip(path, [(name, b"") for name in names])
    else:
        kinds = [FOLDER if name.endswith("/") else tarfile.REGTYPE for name in names]
        write_tar(path, [tar_entry(name, kind=kind) for name, kind in zip(names, kinds, strict=True)])
    assert_refused(path, "same path|below the file")


def test_a_folder_may_be_named_twice_and_late(tmp_path):
    entries = [("a/b", b"1"), ("a/", b""), ("a/", b"")]
    unpack(write_zip(tmp_path / "a.zip", entries), tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"a/b": b"1"}


# --- links and special members ---

BAD_LINKS = {
    "up": [("l", LINK, "..")],
    "up and on": [("d/l", LINK, "../../x")],
    "absolute": [("l", LINK, "/etc/passwd")],
    "drive": [("l", LINK, "C:\\x")],
    "backslashes": [("l", LINK, "a\\..\\..\\x")],
    "control": [("l", LINK, "a\nb")],
    "empty": [("l", LINK, "")],
    "down and up": [("d/x", None, ""), ("l", LINK, "d/../../x")],
    "through a link": [("a/b/c", None, ""), ("j", LINK, "a/b/.."), ("k", LINK, "j/../.."), ("z", None, "")],
    "through a later link": [("x/y/l", LINK, "m/../../../s"), ("x/y/m", LINK, "../..")],
    "circle": [("a", LINK, "b"), ("b", LINK, "a")],
    "itself": [("a", LINK, "a/x")],
    "hard, up": [("h", HARD, "../sentinel")],
    "hard, absolute": [("h", HARD, "/etc/passwd")],
    "hard, missing": [("h", HARD, "nothing")],
    "hard, itself": [("h", HARD, "h")],
    "hard, later": [("h", HARD, "f"), ("f", None, "")],
    "hard, folder": [("d", FOLDER, ""), ("h", HARD, "d")],
    "hard, moves a link": [("d/e/l", LINK, "../../x"), ("h", HARD, "d/e/l")],
    "hard, through a link": [("d/f", None, ""), ("l", LINK, "d"), ("h", HARD, "l/f")],
    "write through": [("d", FOLDER, ""), ("l", LINK, "d"), ("l/x", None, "")],
    "write through, deep": [("d/e", FOLDER, ""), ("l", LINK, "d"), ("l/e/x", None, "")],
    "folder through": [("d", FOLDER, ""), ("l", LINK, "d"), ("l/x", FOLDER, "")],
    "replace a link": [("l", LINK, "f"), ("l", None, "")],
    "replace by a link": [("l/x", None, ""), ("l", LINK, "d")],
    "replace a link by a folder": [("d", FOLDER, ""), ("l", LINK, "d"), ("l", FOLDER, "")],
    "the folder itself": [(".", LINK, "d")],
}


@pytest.mark.parametrize("case", BAD_LINKS)
def test_bad_links_are_refused(tmp_path, case):
    (tmp_path / "sentinel").write_text("untouched")
    entries = [tar_entry(name, kind=kind or tarfile.REGTYPE, target=to) for name, kind, to in BAD_LINKS[case]]
    match = "is a (hard )?link|would be written through|same path|absolute|leads out|no name"
    assert_refused(write_tar(tmp_path / "a.tar", [tar_entry("good", b"1"), *entries]), match)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"V", b"Z"])
def test_special_tar_members_are_refused(tmp_path, kind):
    archive = write_tar(tmp_path / "a.tar", [tar_entry("good", b"1"), tar_entry("odd", kind=kind)])
    assert_refused(archive, "'odd' has the unknown type" if kind.isalpha() else "'odd' is a device file")


@pytest.mark.parametrize("count", [40, 41])
def test_a_chain_of_links_is_followed_as_far_as_the_kernel_does(tmp_path, count):
    entries = [
        tar_entry("0", b"end"),
        *(tar_entry(f"{i + 1}", kind=LINK, target=f"{i}") for i in range(count)),
    ]
    archive = write_tar(tmp_path / "a.tar", entries)
    if count > 40:
        assert_refused(archive, "'41' is a link that runs in a circle or through more than 40 others")
    else:
        unpack(archive, tmp_path / "out")
        assert (tmp_path / "out/40").read_bytes() == b"end"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_special_zip_members_are_refused(tmp_path, kind):
    info = zipfile.ZipInfo("odd")
    info.external_attr = (kind | 0o777) << 16
    archive = write_zip(tmp_path / "a.zip", [("good", b"1"), (info, b"good")])
    assert_refused(archive, "'odd' is a link, a device")


ENCRYPTED, METHOD, CRC, SIZE = ((8, "<H"), (10, "<H"), (16, "<L"), (24, "<L"))


def patch_zip(path, name, field, value):
    """Overwrite one field of a member in both of its headers; the local one has it two bytes earlier."""
    data = bytearray(path.read_bytes())
    at, layout = field
    struct.pack_into(layout, data, data.rindex(name) - 46 + at, value)
    struct.pack_into(layout, data, data.index(name) - 30 + at - 2, value)
    path.write_bytes(data)


@pytest.mark.parametrize("flag", [0x1, 0x41])
def test_encrypted_zip_members_are_refused(tmp_path, flag):
    archive = write_zip(tmp_path / "a.zip", [("secret", b"1")])
    patch_zip(archive, b"secret", ENCRYPTED, flag)
    assert_refused(archive, "'secret' is encrypted.*\n.*password")


def test_unknown_zip_methods_are_refused(tmp_path):
    archive = write_zip(tmp_path / "a.zip", [("packed", b"1")])
    patch_zip(archive, b"packed", METHOD, 9)
    assert_refused(archive, "method 9.*\n.*7-Zip")


def test_a_zip_folder_with_contents_is_refused(tmp_path):
    assert_refused(write_zip(tmp_path / "a.zip", [("d/", b"lost")]), "folder with contents")


# --- sizes ---


@pytest.mark.parametrize("form", FORMATS)
def test_the_limit_is_exact(tmp_path, form):
    archive = write_archive(tmp_path, form, {"a": bytes(600), "b": bytes(400)})
    assert_refused(archive, "limit is", limit_bytes=999)
    unpack(archive, tmp_path / "out", limit_bytes=1000)
    assert len(read_tree(tmp_path / "out")) == 2


@pytest.mark.parametrize("form", FORMATS)
def test_the_free_disk_less_a_reserve_is_the_default_limit(tmp_path, form, monkeypatch):
    archive = write_archive(tmp_path, form, {"a": os.urandom(96_000_000 // 100)})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    assert_refused(archive, r"grow to 0\.00 GB .*has 0\.00 GB free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_020_000))
    unpack(archive, tmp_path / "out")


def test_needed_and_free_gb_are_named_for_a_tar_that_only_declares_its_size(tmp_path):
    info, _ = tar_entry("huge")
    info.size = 10**16
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)))
    message = assert_refused(tmp_path / "a.tar.gz", "bomb", limit_bytes=10**17)
    assert "10000000.00 GB" in message


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "tar"])
def test_a_high_ratio_is_refused_only_for_a_large_total(tmp_path, form, monkeypatch):
    archive = write_archive(tmp_path, form, {"zeros": bytes(2_000_000)})
    unpack(archive, tmp_path / "small")
    monkeypatch.setattr(members_module, "RATIO_FROM_BYTES", 1_999_999)
    assert_refused(archive, "200 times its size")
    monkeypatch.setattr(members_module, "RATIO_FROM_BYTES", 2_000_000)
    unpack(archive, tmp_path / "not above")


@pytest.mark.parametrize("form", FORMATS[:2])
def test_too_many_members_are_refused(tmp_path, form, monkeypatch):
    archive = write_archive(tmp_path, form, TREE)
    monkeypatch.setattr(members_module, "MAX_MEMBERS", 3)
    assert_refused(archive, "more than 3 members")
    monkeypatch.setattr(members_module, "MAX_MEMBERS", 4)
    unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("crc_of", [10, 11])
def test_a_zip_member_longer_than_declared_is_refused(tmp_path, method, crc_of):
    content = bytes(range(200))
    archive = write_zip(tmp_path / "a.zip", [("longer", content)], method)
    patch_zip(archive, b"longer", SIZE, 10)
    patch_zip(archive, b"longer", CRC, zlib.crc32(content[:crc_of]))
    assert_refused_while_writing(archive, tmp_path / "out", "more than the 10 bytes|CRC")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_member_shorter_than_declared_is_refused(tmp_path, method):
    archive = write_zip(tmp_path / "a.zip", [("short", b"12345")], method)
    patch_zip(archive, b"short", SIZE, 6)
    assert_refused_while_writing(archive, tmp_path / "out", "lacks 1 bytes")


# --- broken archives and disks ---


def assert_refused_while_writing(archive, destination, match):
    with pytest.raises(WorkFailed, match=match) as caught:
        unpack(archive, destination)
    assert str(caught.value).count("\n") <= 1
    assert os.listdir(archive.parent) == [archive.name]


def test_a_wrong_checksum_in_a_zip_is_refused(tmp_path):
    archive = write_zip(tmp_path / "a.zip", [("a", b"first"), ("b", b"second")], zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"second", b"secona"))
    assert_refused_while_writing(archive, tmp_path / "out", "damaged.*CRC.*'b'.*\nDelete it and download")


def test_a_zip_member_before_the_start_of_the_file_is_damage(tmp_path):
    archive = write_zip(tmp_path / "a.zip", TREE.items())
    data = bytearray(archive.read_bytes())
    struct.pack_into("<L", data, len(data) - 22 + 16, 2**31 - 1)  # where the index is: the rest shifts with it
    archive.write_bytes(data)
    assert_refused_while_writing(archive, tmp_path / "out", "damaged.*Invalid argument")


def test_a_wrong_checksum_at_the_very_end_of_a_tar_gz_is_refused(tmp_path):
    archive = write_archive(tmp_path, "tar.gz", TREE)
    data = bytearray(archive.read_bytes())
    data[-5] ^= 1
    archive.write_bytes(data)
    assert_refused(archive, "damaged.*CRC")


@pytest.mark.parametrize("form", FORMATS)
def test_a_cut_archive_is_refused_or_complete(tmp_path, form):
    whole = write_archive(tmp_path, form, TREE).read_bytes()
    refused = 0
    for length in sorted({*range(0, len(whole), len(whole) // 40), *range(0, len(whole), 512), len(whole) - 1}):
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            archive = Path(folder, "cut")
            archive.write_bytes(whole[:length])
            try:
                unpack(archive, Path(folder, "out"))
            except WorkFailed:
                refused += 1
                assert os.listdir(folder) == ["cut"]
            else:
                assert form == "tar", f"cut at {length} of {len(whole)}"  # its padding may go
                assert read_tree(Path(folder, "out")) == TREE
    assert refused >= 19


def test_a_broken_header_inside_a_tar_is_not_its_end(tmp_path):
    archive = write_archive(tmp_path, "tar", {"first": b"1", "second": b"2"})
    archive.write_bytes(archive.read_bytes().replace(b"second", b"sexond"))
    assert_refused(archive, "damaged")
    archive.write_bytes(archive.read_bytes()[:1024])  # whole members, but no end mark
    assert_refused(archive, "damaged")


@pytest.mark.parametrize("tail", [b"x", bytes(40_000)])
def test_data_after_the_end_mark_is_refused(tmp_path, tail, monkeypatch):
    archive = write_archive(tmp_path, "tar", TREE)
    monkeypatch.setattr(members_module, "MAX_PADDING", 40_000)  # of which the tar itself has some
    archive.write_bytes(archive.read_bytes() + tail)
    assert_refused(archive, "after the end")


def hostile_header(kind, size):
    info = tarfile.TarInfo("././@LongLink" if kind == tarfile.GNUTYPE_LONGNAME else "x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (hostile_header(tarfile.REGTYPE, 0) + hostile_header(tarfile.REGTYPE, -512), "negative size"),
        (hostile_header(tarfile.GNUTYPE_LONGNAME, -1024), "header of -1024 bytes"),
        (hostile_header(tarfile.GNUTYPE_LONGNAME, 2 << 20) + bytes(2 << 20), "header of 2097152 bytes"),
        (hostile_header(tarfile.XHDTYPE, 1 << 40), "header of 1099511627776 bytes"),
        ((hostile_header(tarfile.GNUTYPE_LONGNAME, 1) + b"a".ljust(512, b"\0")) * 2000, "recursion"),
    ],
    ids=["negative", "negative long name", "long name of 2 MB", "pax of 1 TB", "2000 nested"],
)
def test_hostile_tar_headers_are_refused(tmp_path, raw, match):
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(raw + bytes(1024)))
    assert_refused(tmp_path / "a.tar.gz", f"damaged.*{match}")


@pytest.mark.parametrize("form", FORMATS)
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, form, monkeypatch):
    archive = write_archive(tmp_path, form, TREE | {"big": os.urandom(100_000)})
    create = archive_module._create
    # /dev/full takes the open and fails each write with ENOSPC, as a disk does
    full_disk = partial(open, "/dev/full", "wb")
    monkeypatch.setattr(archive_module, "_create", lambda full: full_disk() if "big" in full else create(full))
    assert_refused_while_writing(archive, tmp_path / "out", "disk full while writing .*big; free some space")


@pytest.mark.parametrize(
    ("number", "match"), [(errno.EACCES, "no permission"), (errno.EIO, "cannot write .*: Input/output")]
)
@pytest.mark.parametrize("call", ["fdopen", "makedirs", "symlink", "link", "rename", "fsync"])
def test_system_errors_become_messages(tmp_path, monkeypatch, call, number, match):
    entries = [
        tar_entry("d/f", b"1"),
        tar_entry("h", kind=HARD, target="d/f"),
        tar_entry("l", kind=LINK, target="h"),
    ]
    archive = write_tar(tmp_path / "a.tar", entries)

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(WorkFailed, match=match):
        unpack(archive, tmp_path / "out")
    monkeypatch.undo()
    left = ["a.tar", "out"] if call == "fsync" else ["a.tar"]  # by then the files are all there
    assert sorted(os.listdir(tmp_path)) == left


# --- all or nothing ---


def test_an_existing_destination_is_refused(tmp_path):
    archive = write_archive(tmp_path, "zip", TREE)
    for make in (Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")):
        make(tmp_path / "out")
        with pytest.raises(WorkFailed, match="exists already"):
            unpack(archive, tmp_path / "out")
        (tmp_path / "out").rename(tmp_path / f"moved{len(os.listdir(tmp_path))}")


def test_extract_takes_only_an_empty_folder_of_its_own(tmp_path):
    archive = write_archive(tmp_path, "zip", {"l/x": b"1"})
    (tmp_path / "outside").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/l").symlink_to(tmp_path / "outside")
    (tmp_path / "link").symlink_to("outside")
    for name in ("full", "link"):
        with pytest.raises(WorkFailed, match="is a link or not empty"):
            extract(archive, tmp_path / name)
    assert os.listdir(tmp_path / "outside") == []
    (tmp_path / "empty").mkdir()
    extract(archive, tmp_path / "empty")
    assert read_tree(tmp_path / "empty") == {"l/x": b"1"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_an_interruption_passes_through_and_leaves_nothing(tmp_path, error):
    archive = write_archive(tmp_path, "tar.gz", TREE)

    def interrupt(done, total):
        assert (tmp_path / ".out.extracting").exists()
        raise error("from the caller")

    with pytest.raises(error, match="from the caller"):
        unpack(archive, tmp_path / "out", progress=interrupt)
    assert os.listdir(tmp_path) == [archive.name]


KILL = """
import os, signal, sys
from pathlib import Path
from pipeline.data.archive import unpack
def die(done, total):
    if done > total // 2:
        os.kill(os.getpid(), signal.SIGKILL)
unpack(Path(sys.argv[1]), Path(sys.argv[2]), progress=die)
"""


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_a_killed_run_leaves_no_half_and_the_next_one_finishes(tmp_path, form):
    tree = {f"{i}.bin": os.urandom(1000) for i in range(1000)}
    archive = write_archive(tmp_path, form, tree)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", KILL, str(archive), str(tmp_path / "out")]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    assert sorted(os.listdir(tmp_path)) == [".out.extracting", archive.name]
    assert 0 < len(os.listdir(tmp_path / ".out.extracting")) < 1000
    (tmp_path / ".out.extracting/stale").touch()
    unpack(archive, tmp_path / "out")
    assert read_tree(tmp_path / "out") == tree
    assert sorted(os.listdir(tmp_path)) == [archive.name, "out"]


# --- properties ---

nasty = st.sampled_from(["...", " ", "a.", " b", "~", "-rf", "*", "é", "e\u0301", "\u202e", "日本", "\ufeff", "a\\b"])
anything = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/:\\"), min_size=1, max_size=30)
part = st.one_of(nasty, anything).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
trees = st.recursive(
    st.binary(max_size=2000), lambda inner: st.dictionaries(part, inner, max_size=4), max_leaves=12
).filter(lambda tree: isinstance(tree, dict))


def flatten(tree, prefix=""):
    flat = {}
    for name, node in tree.items():
        if isinstance(node, bytes):
            flat[prefix + name] = node
        else:
            flat |= flatten(node, f"{prefix}{name}/") or {f"{prefix}{name}/": b""}
    return flat


@QUICK
@given(trees, st.sampled_from(FORMATS))
def test_any_tree_round_trips(tree, form):
    flat = flatten(tree)
    with tempfile.TemporaryDirectory() as folder:
        unpack(write_archive(folder, form, flat), Path(folder, "out"))
        assert read_tree(Path(folder, "out")) == flat


tame = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
crooked = st.lists(st.sampled_from(["..", "..", ".", "a", "b", "c"]), min_size=1, max_size=4).map("/".join)
wild = st.one_of(crooked, tame, tame.map("/".__add__), tame.map("\\".__add__), st.sampled_from(["", ".", "a//b/"]))
names = st.integers(0, 7).flatmap(lambda dice: tame if dice else wild)  # mostly tame, so that some are unpacked
targets = st.integers(0, 7).flatmap(lambda dice: crooked if dice else wild)
kinds = st.sampled_from([tarfile.REGTYPE, FOLDER, LINK, LINK, HARD])
hostile = st.lists(st.tuples(names, kinds, st.one_of(targets, names)), max_size=5)


def assert_nothing_leads_out(folder):
    """Everything below folder/out, links followed, is inside it; beside it only what was there before."""
    assert sorted(os.listdir(folder)) == ["data", "out", "sentinel"]
    root = os.path.realpath(Path(folder, "out"))
    for here, folders, files in os.walk(root):
        for name in (*folders, *files):
            real = os.path.realpath(os.path.join(here, name))
            assert real == root or real.startswith(root + os.sep)
    assert Path(folder, "sentinel").read_text() == "untouched"
    assert Path(folder, "sentinel").stat().st_nlink == 1


def unpack_hostile(folder, write):
    Path(folder, "sentinel").write_text("untouched")
    write(Path(folder, "data"))
    try:
        unpack(Path(folder, "data"), Path(folder, "out"))
    except WorkFailed:
        event("refused")
        assert sorted(os.listdir(folder)) == ["data", "sentinel"]
        assert Path(folder, "sentinel").read_text() == "untouched"
        return False
    event("unpacked")
    assert_nothing_leads_out(folder)
    return True


@settings(max_examples=300, deadline=None)
@given(hostile)
@example([("a", LINK, "../sentinel")])
@example([("a/b/c", tarfile.REGTYPE, ""), ("b", LINK, "a/b"), ("c", LINK, "b/../..")])
@example([("a/b/l", LINK, "../../c"), ("h", HARD, "a/b/l")])
@example([("a", LINK, "."), ("a/x", tarfile.REGTYPE, "")])
def test_hostile_tars_never_reach_outside(members):
    with tempfile.TemporaryDirectory() as folder:
        entries = [tar_entry(name, kind=kind, target=target) for name, kind, target in members]
        unpack_hostile(folder, lambda path: write_tar(path, entries))


@QUICK
@given(st.lists(st.tuples(names.filter(bool), st.binary(max_size=5)), max_size=4))
def test_hostile_zips_never_reach_outside(members):
    with tempfile.TemporaryDirectory() as folder:
        unpacked = unpack_hostile(folder, lambda path: write_zip(path, members))
        tree = {os.path.normpath(name): content for name, content in members if not name.endswith("/")}
        assert not unpacked or {k: v for k, v in read_tree(Path(folder, "out")).items() if k[-1] != "/"} == tree


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=4),
)
def test_damaged_archives_end_in_a_message(form, flips):
    with tempfile.TemporaryDirectory() as folder:
        data = bytearray(write_archive(folder, form, TREE).read_bytes())
        for place, mask in flips:
            data[int(place * (len(data) - 1))] ^= mask
        Path(folder, f"data.{form}").unlink()
        unpack_hostile(folder, lambda path: path.write_bytes(data))
