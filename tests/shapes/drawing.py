"""What the generators draw with: small pictures that can be told apart, tables, ids, packed folders."""

import colorsys
import json
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tests.seven import write_seven

TRAIN, TEST = 24, 12  # rows, where a competition says nothing else


class Drawing:
    """A raw folder in the making. Everything that is drawn follows from `seed`."""

    def __init__(self, raw: Path, seed: int = 0) -> None:
        self.raw = raw
        self.random = np.random.Generator(np.random.PCG64(seed))

    def ids(self, count: int, length: int = 12) -> list[str]:
        """Different words of hexadecimal digits, the first of which is a letter: no table takes them for numbers."""
        words = {self.random.bytes(length).hex()[:length] for _ in range(count)}
        assert len(words) == count
        return ["abcdef"[int(word[0], 16) % 6] + word[1:] for word in sorted(words)]

    def images(self, pattern: str, ids: Iterable[object], looks: Sequence[int], mode: str = "RGB") -> None:
        """A picture for each id at `pattern`, in which `{}` stands for the id; equal looks have one colour."""
        for name, look in zip(ids, looks, strict=True):
            self.image(pattern.format(name), look, mode)

    def image(self, name: str, look: int, mode: str = "RGB") -> None:
        """A picture of noise on the colour that belongs to `look`."""
        colour = np.array(colorsys.hsv_to_rgb(look * 0.618 % 1, 0.8, 0.8)) * 255
        pixels = colour + self.random.normal(0, 25, (36, 40, 3))
        picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        picture.convert(mode).save(self.place(name))

    def table(self, name: str, columns: dict[str, Any] | pd.DataFrame) -> None:
        """A table with a header and commas; zipped where the name says so."""
        pd.DataFrame(columns).to_csv(self.place(name), index=False)

    def json(self, name: str, value: Any, encoding: str = "utf-8") -> None:
        self.place(name).write_bytes(json.dumps(value, ensure_ascii=False).encode(encoding))

    def bytes(self, *names: str) -> None:
        """Files that nothing reads: TFRecords, notes."""
        for name in names:
            self.place(name).write_bytes(self.random.bytes(64))

    def pack(self, folder: str, name: str) -> None:
        """Replace a folder by a zip that holds it."""
        zip_folder(self.raw / folder, self.raw / name, self.raw)
        shutil.rmtree(self.raw / folder)

    def pack_flat(self, folder: str, name: str) -> None:
        """Replace a folder by a zip of its files, which does not say the folder's name."""
        zip_folder(self.raw / folder, self.raw / name, self.raw / folder)
        shutil.rmtree(self.raw / folder)

    def pack_table(self, name: str, archive: str) -> None:
        """Replace a table by a zip of it that is called otherwise."""
        with zipfile.ZipFile(self.raw / archive, "w") as made:
            made.write(self.raw / name, name)
        (self.raw / name).unlink()

    def pack_tar(self, folder: str, name: str) -> None:
        """Replace a folder by a tar that holds it."""
        with tarfile.open(self.raw / name, "w:gz" if name.endswith(".gz") else "w") as archive:
            archive.add(self.raw / folder, folder)
        shutil.rmtree(self.raw / folder)

    def cut(self, name: str, parts: int) -> None:
        """Replace a file by parts of it, `name.001` and so on, which make it one behind the other."""
        content = (self.raw / name).read_bytes()
        size = -(-len(content) // parts)
        for number in range(parts):
            (self.raw / f"{name}.{number + 1:03}").write_bytes(content[number * size :][:size])
        (self.raw / name).unlink()

    def pack_7z(self, folder: str, name: str) -> None:
        """Replace a folder, or a file, by a 7z archive that holds it."""
        place = self.raw / folder
        files = [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.is_file())
        write_seven(self.raw / name, {file.relative_to(self.raw).as_posix(): file.read_bytes() for file in files})
        shutil.rmtree(place) if place.is_dir() else place.unlink()

    def place(self, name: str) -> Path:
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def zip_folder(folder: Path, path: Path, above: Path) -> Path:
    """A zip of all files below `folder`, named by their paths below `above`."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(above).as_posix())
    return path


def cycle(count: int, classes: int) -> list[int]:
    """0, 1, ... over the classes, again and again: each has rows in every half of them."""
    return [number % classes for number in range(count)]


def named(codes: Sequence[int], names: Sequence[Any]) -> list[Any]:
    return [names[code] for code in codes]


def one_hot(codes: Sequence[int], names: Sequence[str]) -> dict[str, list[int]]:
    """A column of 0 and 1 for each name."""
    return {name: [int(code == place) for code in codes] for place, name in enumerate(names)}
