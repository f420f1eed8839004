"""Files of pictures that no reader here reads yet, by what their names end in."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipeline.data.readers import image_endings
from pipeline.errors import RequestError

FOREIGN = {
    ".dcm": "DICOM", ".dicom": "DICOM", ".ima": "DICOM", ".h5": "HDF5", ".hdf5": "HDF5", ".hdf": "HDF5",
    ".bson": "BSON", ".tfrec": "TFRecord", ".tfrecord": "TFRecord", ".tfrecords": "TFRecord", ".nii": "NIfTI",
    ".nii.gz": "NIfTI", ".mha": "MetaImage", ".mhd": "MetaImage", ".nrrd": "NRRD", ".svs": "slides of Aperio",
    ".lmdb": "LMDB",
}  # fmt: skip


def refuse_foreign(names: Iterable[str], key: str, where: str = "") -> None:
    """Raise RequestError, by its name, for a format that is known not to be read; a plug-in's reader makes it known."""
    known = tuple(image_endings())
    endings = [ending for ending in sorted(FOREIGN, key=len, reverse=True) if not ending.endswith(known)]
    found: Counter[str] = Counter()
    for name in names:
        lower = name.lower()
        if lower.endswith(tuple(endings)):
            found[next(ending for ending in endings if lower.endswith(ending))] += 1
    if found:
        ending, count = found.most_common(1)[0]
        raise RequestError(
            f"{key}: {count:,} files{where} are {FOREIGN[ending]} ({ending}), which is not read yet; convert them to "
            "PNG, a file an image, or bring a reader of your own by --plugin (docs/plug-ins.md)"
        )


def refuse_foreign_in(folder: Path, key: str) -> None:
    """The same for the files that lie in a folder without any image."""
    names = [entry.name for entry in os.scandir(folder) if entry.is_file()]
    if not any(name.lower().endswith(tuple(image_endings())) for name in names):
        refuse_foreign(names, key, f" in {folder}")
