"""Kaggle's notebook image: which versions it holds, and which of them go together."""

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pipeline.errors import RequestError

PYTHON = "3.12"
# How the image's Python answers to environment markers.
MARKERS = {
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.12",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "os_name": "posix",
    "extra": "",
}


def read_image(path: Path | None = None) -> dict[str, Version]:
    """Versions by canonical name, from a list as `pip freeze` writes it; by default the one that we ship."""
    try:
        text = (
            path.read_text(encoding="utf-8")
            if path
            else (resources.files("pipeline.kaggle") / "image.txt").read_text(encoding="utf-8")
        )
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"--image: cannot read {path} ({error}); it is what `pip freeze` writes") from None
    held = {}
    for line in text.splitlines():
        name, equals, version = line.partition("==")
        if not equals or line.startswith("#"):
            continue  # also `name @ file:///...`, of which no version is known
        try:
            held[str(canonicalize_name(name.strip()))] = Version(version.split(";")[0].strip())
        except InvalidVersion:
            continue
    if "torch" not in held:
        raise RequestError(f"--image: {path} names no torch; it should be the output of `pip freeze` in a notebook")
    return held


def refuse_known_bad(held: Mapping[str, Version]) -> list[str]:
    """What is known not to work together, as sentences: fastai with fastcore and plum-dispatch, seen by trial."""
    fastai, fastcore, plum = (held.get(name) for name in ("fastai", "fastcore", "plum-dispatch"))
    if fastai is None or fastcore is None:
        return []
    pair = f"fastai {fastai} with fastcore {fastcore}"
    found = []
    if fastai < Version("2.8.8") and fastcore >= Version("2"):
        found.append(f"{pair}: DataLoaders raise TypeError; fastai 2.8.12 goes with fastcore 2")
    if Version("2.8.8") <= fastai < Version("2.8.12"):
        found.append(f"{pair}: vision ends in RecursionError; take fastai 2.8.7 or 2.8.12")
    if fastai >= Version("2.8.12") and fastcore < Version("2"):
        found.append(f"{pair}: cannot be imported; fastai 2.8.7 goes with fastcore 1")
    if fastcore < Version("2") and plum is not None and plum >= Version("2.10"):
        found.append(
            f"fastcore {fastcore} with plum-dispatch {plum}: Learner.export fails (the pipeline does not use it)"
        )
    return found


def fatal(sentences: list[str]) -> list[str]:
    """Those that stop a run; the others are warnings."""
    return [one for one in sentences if not re.search(r"does not use it", one)]
