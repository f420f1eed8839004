"""json_records: an object a row, one a line or all in one list."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from pipeline.data.layouts import Layout
from pipeline.data.text import Unreadable

ENDINGS = (".json", ".jsonl", ".ndjson")
PACKED = (".gz", ".zip", ".bz2", ".xz", ".7z")
BETWEEN = re.compile(r"[\s,]*")
decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)  # numbers stay as they are written


def unpacked(name: str) -> str:
    """A file's name in small letters, without the endings of what it may be packed by."""
    for ending in PACKED:
        name = name.lower().removesuffix(ending)
    return name


class JsonRecords(Layout):
    """Objects of one level; their keys are the columns, and what is no text or number in them stays JSON."""

    def fits(self, name: str, text: bytes) -> bool:
        start = text[:64].lstrip()[:1]
        if unpacked(name).endswith(ENDINGS):
            return True
        if start == b"[":
            return isinstance(_parsed(text), list)
        return start == b"{" and isinstance(_parsed(text.lstrip().split(b"\n", 1)[0]), dict)

    def read(self, text: bytes, header: bool, separator: str | None) -> pd.DataFrame:
        records = _records(text)
        names = list(dict.fromkeys(key for record in records for key in record))
        return pd.DataFrame({name: [cell(record.get(name)) for record in records] for name in names}, dtype=str)

    def lines(self, text: bytes, header: bool, separator: str | None, rows: Sequence[int]) -> list[int]:
        if text.lstrip()[:1] == b"[":
            return [row + 1 for row in rows]  # which record: they may all be in one line
        filled = [number for number, line in enumerate(text.split(b"\n"), 1) if line.strip()]
        return [filled[row] for row in rows]


def _parsed(text: bytes) -> Any:
    try:
        return decoder.decode(text.decode())
    except (ValueError, RecursionError):
        return None


def _records(text: bytes) -> list[dict[str, Any]]:
    whole = None if is_lines(text) else _parsed(text)
    if isinstance(whole, dict):
        whole = _in_object(whole)
    if whole is None:
        whole = _by_line(text)
    odd = next((number for number, record in enumerate(whole, 1) if not isinstance(record, dict)), None)
    if odd is not None:
        raise Unreadable(f"entry {odd} is no JSON object with a key for each column")
    if not whole:
        raise Unreadable("it holds no JSON objects")
    return whole


def _in_object(whole: dict[str, Any]) -> list[Any]:
    """The one list of objects in an object, or the object itself where it is a row."""
    lists = [value for value in whole.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if len(lists) == 1:
        return lists[0]
    if not lists and not all(isinstance(value, (list, dict)) for value in whole.values()):
        return [whole]
    raise Unreadable(
        f"it is one JSON object of {', '.join(list(whole)[:4])}; what is read is a list of objects, or an object a line"
    )


def each_record(text: bytes) -> Iterator[dict[str, Any]]:
    """The objects of a list, or one a line, one at a time. Raises Unreadable for something else."""
    if text.lstrip()[:1] != b"[" and not is_lines(text):
        raise Unreadable("it is one JSON object")
    whole = text.decode()
    at = _next(whole, 0)
    if whole[at : at + 1] == "[":
        at = _next(whole, at + 1)
    while at < len(whole) and whole[at] != "]":
        try:
            record, at = decoder.raw_decode(whole, at)
        except ValueError as error:
            raise Unreadable(f"it is no JSON ({error})") from None
        if not isinstance(record, dict):
            raise Unreadable(f"{str(record)[:60]} is no JSON object with a key for each column")
        yield record
        at = _next(whole, at)


def _next(text: str, at: int) -> int:
    """Where the next value begins."""
    found = BETWEEN.match(text, at)
    return at if found is None else found.end()


def is_lines(text: bytes) -> bool:
    """Whether it is an object a line, and more than one."""
    first, _, rest = text.lstrip().partition(b"\n")
    return first.startswith(b"{") and bool(rest.strip()) and isinstance(_parsed(first), dict)


def _by_line(text: bytes) -> list[Any]:
    lines = [line for line in text.split(b"\n") if line.strip()]
    found = _parsed(b"[" + b",".join(lines) + b"]")
    if found is not None and len(found) == len(lines):
        return found
    for number, line in enumerate(text.split(b"\n"), 1):
        if line.strip() and _parsed(line) is None:
            raise Unreadable(f"line {number} is no JSON: {line[:60].decode(errors='replace')}")
    raise Unreadable("it is no JSON of an object a line")


def cell(value: Any) -> str:
    """A value as the text of a table's cell."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


ENTRY = JsonRecords()
