"""ndarray: NumPy's files, as they are or packed: values of any type, on a height, a width and perhaps channels.

Read in one piece and viewed where it lies, without a copy, as a mapping would be: the audit and the presize want all
of its bytes for a digest. Objects are pickles, which may run code: they are refused.
"""

import gzip
import io
import zipfile

import numpy as np

from pipeline.data.channels import ARRAYS, MOST, Axis
from pipeline.data.readers import Reader, Stored

ENDINGS = (".npy", ".npz", ".npy.gz")


def values(content: bytes, grey: bool, axis: Axis) -> Stored:
    """An array as height, width and channels, which are on the `axis` that is said, or else on the smaller end.

    Raises OSError or ValueError for what is no such array.
    """
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    found = _of_archive(content) if content[:2] == b"PK" else _of_file(content)
    if found.dtype.kind not in "buif":
        raise ValueError(f"is an array of {found.dtype}; expected numbers")
    if found.size == 0:
        raise ValueError(f"is an empty array of {found.shape}")
    if found.ndim == 2:
        return Stored(found[:, :, None], ARRAYS)
    if found.ndim != 3:
        raise ValueError(f"is an array of {found.shape}; expected height and width, and perhaps channels")
    axis = axis or _smaller(found.shape)
    placed = np.moveaxis(found, 0, 2) if axis == "first" else found
    if placed.shape[2] >= MOST:
        raise ValueError(f"is an array of {found.shape} with {placed.shape[2]} channels on its {axis} axis")
    return Stored(placed, ARRAYS, axis)


def _smaller(shape: tuple[int, ...]) -> Axis:
    first, _, last = shape
    if first == last:
        raise ValueError(f"is an array of {shape}: say data.channel_axis = 'first' or 'last', where its channels are")
    return "first" if first < last else "last"


def _of_file(content: bytes) -> np.ndarray:
    """What np.load gives; as a view."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_column, dtype = header(stream)
    except ValueError as error:
        raise ValueError(f"is no array of NumPy ({error})") from error
    if dtype.hasobject:
        raise ValueError("is an array of objects: a pickle, which may run code and is not read")
    count = int(np.prod(shape, dtype=np.int64))
    if len(content) - stream.tell() < count * dtype.itemsize:
        raise ValueError(f"ends too early for an array of {dtype} {shape}")
    return np.frombuffer(content, dtype, count, stream.tell()).reshape(shape, order="F" if by_column else "C")


def _of_archive(content: bytes) -> np.ndarray:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise ValueError(f"holds {len(names)} arrays ({', '.join(names[:4])}); expected one")
            return _of_file(archive.read(names[0]))
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


def read(content: bytes, *_: object) -> np.ndarray:
    """An array as it is stored."""
    return values(content, False, "").values


ENTRY = Reader(ENDINGS, read, values=values, last=True)
