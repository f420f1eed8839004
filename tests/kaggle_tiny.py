"""A small competition that is on Kaggle, for tests: one model, two folds, its files already here."""

import shutil
import zipfile
from importlib import metadata
from pathlib import Path

from tests.command import pipeline
from tests.drawn import write_competition

COMPETITION = "tiny-comp"


def write_on_kaggle(folder: Path) -> Path:
    """Write tiny.toml with `source.kaggle`, and its files below folder/root/data/tiny; return the TOML's path."""
    comp = write_competition(folder)
    text = comp.read_text().replace(f'path = "{folder / "raw"}"', f'kaggle = "{COMPETITION}"')
    text = text[: text.index('[[models]]\nname = "byobnet"')] + text[text.index("[submission]") :]
    comp.write_text(text)
    shutil.copytree(folder / "raw", folder / "root" / "data" / "tiny")
    return comp


def run(comp: Path, root: Path, *stages: str) -> None:
    """Run stages that must succeed."""
    for stage in stages:
        result = pipeline(stage, comp, "--root", root)
        assert result.code == 0, result.err


def write_wheel(folder: Path, name: str, version: str, needs: tuple[str, ...] = ()) -> Path:
    """A wheel of nothing but its metadata."""
    stem = f"{name.replace('-', '_')}-{version}"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    about += "".join(f"Requires-Dist: {need}\n" for need in needs)
    tag = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr(f"{stem}.dist-info/METADATA", about)
        zipped.writestr(f"{stem}.dist-info/WHEEL", tag)
        zipped.writestr(f"{stem}.dist-info/RECORD", "")
    return path


def write_index(folder: Path) -> Path:
    """A folder that pip finds wheels in, in place of a registry: what Kaggle's image lacks of ours."""
    folder.mkdir(exist_ok=True)
    for name in ("kagglesdk", "tomli-w"):
        write_wheel(folder, name, metadata.version(name))
    return folder
