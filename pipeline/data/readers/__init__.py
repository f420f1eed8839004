"""Image readers: from a file's content to its pixels. Pillow reads what it knows, and there is one for NumPy's arrays;
a plug-in file adds the rest.

from pipeline.data.readers import READERS, Reader

READERS.add("npy", Reader(endings=(".npy",), read=lambda content: np.load(io.BytesIO(content))))
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.data.channels import PICTURE, RGB, Axis, Channels, Said
from pipeline.data.levels import Levels, to_bytes
from pipeline.data.several import Content, files_of, parts_of
from pipeline.errors import RequestError
from pipeline.registry import Registry

FALLBACK = "pillow"  # for a file of any other ending: it goes by the content
ARRAY = "ndarray"


@dataclass(frozen=True)
class Reader:
    """How files of some endings are read; one of a plug-in goes before Pillow where both know an ending."""

    endings: tuple[str, ...]  # such as .npy or .nii.gz: in lower case, with the dot
    read: Callable[..., np.ndarray]  # of bytes; returns uint8 (height, width, 3), RGB, upright; may raise anything
    channels: int = 3  # in the third place of what it returns
    # Of bytes, whether a colour picture is wanted grey, and the axis of channels; for a built-in one that knows more.
    values: "Callable[[bytes, bool, Axis], Stored] | None" = None
    last: bool = False  # its files count as images only where there are no others: arrays may be masks or features

    def __post_init__(self) -> None:
        wrong = [ending for ending in self.endings if not ending.startswith(".") or ending != ending.lower()]
        if wrong or not self.endings or isinstance(self.endings, str):
            raise RequestError(f"endings of an image reader: found {self.endings!r}, expected such as ('.npy',)")


class Stored(NamedTuple):
    """What a file holds (height, width, channels), any type of number; its format, and the axis that channels had."""

    values: np.ndarray
    format: str
    axis: Axis = ""


READERS: Registry[Reader] = Registry("image reader", __name__, (FALLBACK, ARRAY))


def image_endings() -> frozenset[str]:
    """What the name of an image ends in, of all readers but those that come last."""
    return frozenset(ending for _, reader in READERS.items() if not reader.last for ending in reader.endings)


def all_endings() -> frozenset[str]:
    """What the name of an image ends in, of all readers."""
    return frozenset(ending for _, reader in READERS.items() for ending in reader.endings)


def images_among(names: Sequence[str]) -> list[str]:
    """Those names that are images', in their order: arrays where there are no others."""
    for endings in (tuple(image_endings()), tuple(all_endings())):
        found = [name for name in names if name.lower().endswith(endings)]
        if found:
            return found
    return []


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
    names = [part.lower() for path in paths for part in parts_of(str(path))]
    used = [(ending, name) for name, ending in own if any(path.endswith(ending) for path in names)]
    return {ending: READERS.code_of(name) or "" for ending, name in sorted(used)}


def is_array(path: Path | str) -> bool:
    """Whether a file is read as an array: by its ending, unless a plug-in reads that."""
    return str(path).lower().endswith(READERS[ARRAY].endings) and own_reader_of(path) is None


def decode(content: Content, path: Path | str, levels: Levels | None = None, channels: Channels = RGB) -> np.ndarray:
    """An image's pixels: uint8 (height, width, channels), upright, by the reader for its ending; pictures are RGB.

    `levels` and `channels` are those of the set that it belongs to; levels matter where there are more than 8 bits.
    Raises OSError, SyntaxError or ValueError where it cannot be read, RequestError where a plug-in's reader returns
    something else.
    """
    if not isinstance(content, bytes) or is_array(path):
        read = values_of(content, path, channels)
        found = sum(part.shape[2] for part in read.parts)
        pixels = to_bytes(read.parts, levels)
        if found == 1 and channels.count == RGB.count:
            return np.repeat(pixels, RGB.count, axis=2)
        _need(found, channels)
        return pixels
    name = own_reader_of(path)
    if name is not None:
        pixels = _decode_by(name, content, path)
        _need(pixels.shape[2], channels)
        return pixels
    mode = PICTURE.get(channels.count)
    if mode is None:
        raise ValueError(f"is a picture, of 1, 3 or 4 channels, and the images here have {channels.count}")
    pixels = READERS[FALLBACK].read(content, levels, mode)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _need(found: int, channels: Channels) -> None:
    if found != channels.count:
        raise ValueError(f"has {found} channels, and the images here have {channels.count}")


class Values(NamedTuple):
    """What the files of an image hold, each (height, width, channels) of any type of number, and how it was found."""

    parts: list[np.ndarray]
    format: str
    axis: Axis


def values_of(content: Content, path: Path | str, channels: Channels | Said) -> Values:
    """The values in an array, or in each of several files, as they are stored; pictures upright.

    A grey picture is one channel, one in colour three; each file is one where there are as many `channels` as files.
    Raises as `decode` does, and ValueError where the files have different sizes.
    """
    contents, files = ([content], [str(path)]) if isinstance(content, bytes) else (list(content), files_of(path))
    grey = channels.count == len(files) > 1
    found = [_stored(one, file, grey, channels.axis) for one, file in zip(contents, files, strict=True)]
    for other, file in zip(found, files, strict=True):
        (height, width), (h, w) = found[0].values.shape[:2], other.values.shape[:2]
        if (height, width) != (h, w):
            first, name = Path(files[0]).name, Path(file).name
            raise ValueError(f"has files of different sizes: {first} is {width}x{height}, {name} {w}x{h}")
    axes: list[Axis] = [one.axis for one in found if one.axis]
    return Values([one.values for one in found], found[0].format, axes[0] if axes else "")


def _stored(content: bytes, file: str, grey: bool, axis: Axis) -> Stored:
    """What one file holds."""
    name = own_reader_of(file)
    if name is not None:
        pixels = _decode_by(name, content, file)
        return Stored(_grey(pixels) if grey and pixels.shape[2] == RGB.count else pixels, name)
    reader = READERS[ARRAY if is_array(file) else FALLBACK]
    assert reader.values is not None
    return reader.values(content, grey, axis)


def _grey(pixels: np.ndarray) -> np.ndarray:
    """RGB as one channel, by Pillow's weights."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]


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
    wanted = READERS[name].channels
    if not fits or pixels.shape[2] != wanted or 0 in pixels.shape:
        raise RequestError(
            f"the image reader {name!r} made {found} of {path}; expected an array of uint8 (height, width, {wanted})"
        )
    return np.ascontiguousarray(pixels)
