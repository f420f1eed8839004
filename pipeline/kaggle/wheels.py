"""The wheels of a bundle: ours, and those that Kaggle's image lacks, for its Python and platform."""

import contextlib
import email.parser
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

import pipeline
from pipeline.errors import RequestError, WorkFailed
from pipeline.kaggle.image import MARKERS, PYTHON
from pipeline.log import Log

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "any")
# Never bundled: an image without them is another image, and pip would bring gigabytes of CUDA along.
HEAVY = {"torch", "torchvision", "triton", "tensorflow", "jax"}
TREE = ("pipeline", "pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Lacking:
    """A requirement that the image does not meet, and what it has instead."""

    requirement: Requirement
    has: Version | None

    def __str__(self) -> str:
        return f"{self.requirement} (the image has {self.has or 'none'})"


def source_tree() -> Path:
    """Where this package's source lies. Raises RequestError where it was installed without it."""
    root = Path(pipeline.__file__).resolve().parents[1]
    if not (root / "pyproject.toml").is_file():
        raise RequestError(
            f"no source tree around {root / 'pipeline'}: bundles are built from a clone (pip install -e)"
        )
    return root


def build_wheel(folder: Path) -> Path:
    """Build our own wheel from the tree into `folder`; the same source gives the same bytes."""
    tree = source_tree()
    with tempfile.TemporaryDirectory() as copy:  # of just the package: setuptools would pack an old build/ too
        for name in TREE:
            if (tree / name).is_dir():
                shutil.copytree(tree / name, Path(copy) / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (tree / name).is_file():
                shutil.copy2(tree / name, Path(copy) / name)
        before = set(folder.glob("*.whl"))
        _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), copy)
    (built,) = set(folder.glob("*.whl")) - before
    return built


def requirements_of(wheel: Path) -> list[Requirement]:
    """What a wheel needs on Kaggle: its Requires-Dist under the image's markers."""
    with zipfile.ZipFile(wheel) as zipped:
        (name,) = [name for name in zipped.namelist() if name.endswith(".dist-info/METADATA")]
        fields = email.parser.HeaderParser().parsestr(zipped.read(name).decode())
    needed = [Requirement(text) for text in fields.get_all("Requires-Dist") or []]
    return [one for one in needed if one.marker is None or one.marker.evaluate(MARKERS)]


def lacking(needed: list[Requirement], image: Mapping[str, Version]) -> list[Lacking]:
    """What the image does not hold in a version that fits."""
    found = []
    for requirement in needed:
        has = image.get(canonicalize_name(requirement.name))
        if has is None or not requirement.specifier.contains(has, prereleases=True):
            found.append(Lacking(requirement, has))
    return found


def add_lacking(wheel: Path, image: Mapping[str, Version], folder: Path, log: Log) -> list[Lacking]:
    """Download what `wheel` needs and the image lacks into `folder`, and what that needs, and so on.

    One wheel at a time without its dependencies: a resolver would bring torch and CUDA. Returns what was added.
    Raises WorkFailed for what cannot be added.
    """
    held, added, pending = dict(image), [], lacking(requirements_of(wheel), image)
    while pending:
        one = pending.pop(0)
        name = canonicalize_name(one.requirement.name)
        if name in HEAVY:
            raise WorkFailed(f"preflight: the wheel needs {one}; choose an image that has it (--image), or relax it")
        if not lacking([one.requirement], held):
            continue  # brought by another one meanwhile
        log.say(f"bundle: adding {one}")
        path = _download(one.requirement, folder)
        _, version, _, _ = parse_wheel_filename(path.name)
        held[name] = version
        added.append(one)
        pending += lacking(requirements_of(path), held)
    return added


def _download(requirement: Requirement, folder: Path) -> Path:
    with tempfile.TemporaryDirectory() as fresh:
        abis = [word for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none") for word in ("--abi", abi)]
        platforms = [word for name in PLATFORMS for word in ("--platform", name)]
        wanted = _as_tested(requirement)
        _pip(
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version",
            PYTHON,
            "--implementation",
            "cp",
            *abis,
            *platforms,
            "--dest",
            fresh,
            wanted,
        )
        (path,) = Path(fresh).glob("*.whl")
        return Path(shutil.move(path, folder / path.name))


def _as_tested(requirement: Requirement) -> str:
    """The version that is installed here, where it meets the requirement: that one is known to work."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        here = metadata.version(requirement.name)
        if requirement.specifier.contains(here, prereleases=True):
            return f"{requirement.name}=={here}"
    return f"{requirement.name}{requirement.specifier}"


def _pip(*args: str) -> None:
    """Run pip; its last line of complaint is the message."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *args]
    env = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}  # 1980, the first year that zip knows
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        why = next((line for line in reversed(said) if "ERROR" in line or "No module named pip" in line), "")
        raise WorkFailed(f"pip {args[0]} failed: {(why or (said or ['no reason given'])[-1]).strip()[:300]}")
