"""Archives cut into parts: read as the one that they make, wherever the cuts are."""

import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline.data.archive import unpack
from pipeline.data.cut import open_whole, size_of
from pipeline.data.within import unpack_for
from pipeline.errors import WorkFailed
from tests.seven import write_seven

FILES = {"train/a.jpg": random.Random(1).randbytes(3000), "train/b.jpg": b"b", "train/deep/c.jpg": b""}


def whole(path: Path) -> bytes:
    """An archive of FILES, and its content."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
    elif path.suffix == ".7z":
        write_seven(path, FILES)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in FILES.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    content = path.read_bytes()
    path.unlink()
    return content


def cut(path: Path, content: bytes, size: int) -> list[Path]:
    parts = [path.with_name(f"{path.name}.{number + 1:03}") for number in range(-(-len(content) // size))]
    for number, part in enumerate(parts):
        part.write_bytes(content[number * size :][:size])
    return parts


@pytest.mark.parametrize("name", ["train.zip", "train.7z", "train.tar.gz"])
@pytest.mark.parametrize("size", [7, 1000, 100_000])
def test_parts_are_unpacked_where_their_folder_is_named(tmp_path, name, size):
    parts = cut(tmp_path / name, whole(tmp_path / name), size)
    unpack_for(tmp_path, ["train/a.jpg"])
    assert {path: (tmp_path / path).read_bytes() for path in FILES} == FILES
    assert all(part.is_file() for part in parts)


def test_a_file_in_parts_is_read_from_any_place(tmp_path):
    content = random.Random(2).randbytes(1000)
    first = cut(tmp_path / "x.zip", content, 300)[0]
    assert size_of(first) == 1000
    with open_whole(first) as file:
        assert file.read() == content
        for place in (0, 299, 300, 601, 999, 1000):
            file.seek(place)
            assert file.tell() == place
            assert file.read(450) == content[place : place + 450]
        assert file.seek(-5, 2) == 995
        assert file.read() == content[995:]


@pytest.mark.parametrize(
    ("lost", "words"), [(1, "x.zip.002 is missing, between x.zip.001 and x.zip."), (-1, "damaged or cut short")]
)
def test_a_missing_part_is_refused_and_nothing_is_written(tmp_path, lost, words):
    parts = cut(tmp_path / "x.zip", whole(tmp_path / "x.zip"), 500)
    parts[lost].unlink()
    with pytest.raises(WorkFailed, match=words):
        unpack(parts[0], tmp_path / "x")
    assert not (tmp_path / "x").exists()
