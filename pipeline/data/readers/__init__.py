"""Image readers: from a file's content to its pixels. Pillow reads what it knows; a plug-in file adds the rest.

from pipeline.data.readers import READERS, Reader

READERS.add("npy", Reader(endings=(".npy",), read=lambda content: np.load(io.BytesIO(content))))
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.levels import Levels
from pipeline.errors import RequestError
from pipeline.registry import Registry

FALLBACK = "pillow"  # for a file of any other ending: it goes by the content


@dataclass(frozen=True)
class Reader:
    """How files of some endings are read; one of a plug-in goes before Pillow where both know an ending."""

    endings: tuple[str, ...]  # such as .npy or .nii.gz: in lower case, with the dot
    read: Callable[..., np.ndarray]  # of bytes; returns uint8 (height, width, 3), RGB, upright; may raise anything

    def __post_init__(self) -> None:
        wrong = [ending for ending in self.endings if not ending.startswith(".") or ending != ending.lower()]
        if wrong or not self.endings or isinstance(self.endings, str):
            raise RequestError(f"endings of an image reader: found {self.endings!r}, expected such as ('.npy',)")


READERS: Registry[Reader] = Registry("image reader", __name__, (FALLBACK,))


def image_endings() -> frozenset[str]:
    """What the name of an image ends in, of all readers."""
    return frozenset(ending for _, reader in READERS.items() for ending in reader.endings)


def own_reader_of(path: Path | str) -> str | None:
    """The plug-in's reader for a file, by its ending; None where it is Pillow's.

    Raises RequestError where two plug-ins want it.
    """
    found = [name for name, ending in _own_endings() if str(path).lower().endswith(ending)]
    if len(found) > 1:
        raise RequestError(f"the image readers {' and '.join(map(repr, found))} both read {path}; keep one of them")
    return found[0] if found else None


def codes_for(paths: Iterable[Path | str]) -> dict[str, str]:
    """The digest of each plug-in that reads some of these files, by their ending; empty where Pillow reads them all."""
    own = _own_endings()
    if not own:
        return {}
    names = [str(path).lower() for path in paths]
    used = [(ending, name) for name, ending in own if any(path.endswith(ending) for path in names)]
    return {ending: READERS.code_of(name) or "" for ending, name in sorted(used)}


def decode(content: bytes, path: Path | str, levels: Levels | None = None) -> np.ndarray:
    """A file's pixels: uint8 (height, width, 3), RGB and upright, by the reader for its ending.

    `levels` are those of the set that it belongs to; they matter where Pillow reads more than 8 bits.
    Raises OSError, SyntaxError or ValueError where it cannot be read, RequestError where a plug-in's reader returns
    something else.
    """
    name = own_reader_of(path)
    return READERS[FALLBACK].read(content, levels) if name is None else _decode_by(name, content, path)


def own_readers() -> list[str]:
    """Those that plug-ins bring."""
    return [name for name in READERS.names() if READERS.code_of(name) is not None]


def _own_endings() -> list[tuple[str, str]]:
    return [(name, ending) for name in own_readers() for ending in READERS[name].endings]


def _decode_by(name: str, content: bytes, path: Path | str) -> np.ndarray:
    try:
        pixels = READERS[name].read(content)
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}".removesuffix(": ")) from error
    found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
    fits = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.ndim == 3
    if not fits or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise RequestError(
            f"the image reader {name!r} made {found} of {path}; expected an array of uint8 (height, width, 3)"
        )
    return np.ascontiguousarray(pixels)
