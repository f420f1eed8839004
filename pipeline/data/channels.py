"""How many channels the images of a set have, and where an array has them: found by the audit, the same for all."""

import re
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from pipeline.data.several import BETWEEN, parts_of
from pipeline.errors import RequestError

Axis = Literal["", "first", "last"]
PICTURE = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's modes for what a picture can be read as
MOST = 512  # of OpenCV
ARRAYS = "NPY"  # the format of a file that is no picture


@dataclass(frozen=True)
class Channels:
    """The channels of every image of a set; `axis` is that of arrays which have one for them."""

    count: int = 3
    axis: Axis = ""

    def settings(self) -> dict[str, Any]:
        """As JSON; empty for pictures in RGB, which say nothing of it."""
        if self == RGB:
            return {}
        return {"count": self.count, **({"axis": self.axis} if self.axis else {})}

    def in_words(self) -> str:
        """As it is shown and compared."""
        return f"{self.count}{f' on the {self.axis} axis' if self.axis else ''}"


RGB = Channels()


@dataclass(frozen=True)
class Said:
    """What the competition file says of channels: their number, and the axis of arrays; None and '' for nothing."""

    count: int | None = None
    axis: Axis = ""


UNSAID = Said()


def read_channels(said: Any) -> Channels:
    """What `Channels.settings` gave, or nothing. Raises KeyError or TypeError for something else."""
    return RGB if not said else Channels(int(said["count"]), said.get("axis", ""))


def channels_of(facts: pd.DataFrame, said: Said) -> Channels:
    """The channels of a set, by what was found in its files (`channels` and `axis`, where they are columns).

    Raises RequestError, with the first files, where images differ.
    """
    if "channels" not in facts:
        return RGB
    good = facts[facts["readable"]]
    counts = good["channels"].value_counts()
    if said.count is not None and set(counts.index) - {said.count}:
        odd = good[good["channels"] != said.count]
        raise RequestError(
            f"data.channels = {said.count}: {len(odd):,} of {len(good):,} images have another number, for example "
            f"{_first(odd)}"
        )
    if len(counts) > 1:
        firsts = dict(zip(good["channels"][::-1], good["path"][::-1], strict=True))
        each = "; ".join(
            f"{n:,} have {count}, such as {firsts[count]}" for count, n in zip(counts.index, counts, strict=True)
        )
        raise RequestError(f"images have different numbers of channels: {each}; {_way_out(good)}")
    axes = sorted(set(good["axis"]) - {""})
    if len(axes) > 1:
        first, last = (good[good["axis"] == axis].iloc[0] for axis in axes)
        raise RequestError(
            f"the smaller end of an array is taken for its channels, which is the first one in {first['path']} and "
            f"the last one in {last['path']}; say data.channel_axis = 'first' or 'last'"
        )
    count = int(counts.index[0]) if len(counts) else RGB.count
    return Channels(count, axes[0] if axes else "")


def channels_in_words(channels: Channels, facts: pd.DataFrame, said: Said) -> str:
    """How a set that is not just pictures in RGB is read, for a person."""
    first = facts[facts["readable"]].iloc[0]
    files = len(parts_of(first["path"]))
    how = f"{files} files each" if files > 1 else f"read as {PICTURE.get(channels.count)}"
    if first["format"] == ARRAYS and files == 1:
        how = "arrays"
    if channels.axis:
        how += f", channels on the {channels.axis} axis"
        how += "" if said.axis else ", the smaller end; data.channel_axis says otherwise"
    return f"images of {channels.count} channel{'s' if channels.count > 1 else ''} ({how})"


def _first(rows: pd.DataFrame) -> str:
    return f"{rows['path'].iloc[0]} ({rows['channels'].iloc[0]})"


def _way_out(good: pd.DataFrame) -> str:
    files = set(good["path"].str.count(re.escape(BETWEEN)) + 1)
    if files != {1}:
        return f"data.channels = {max(files)} reads every file as grey"
    return "take out those that are not meant"
