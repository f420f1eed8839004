"""A competition file as lines with a comment beside each: `# ?` marks what could not be told."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

WIDTH, COMMENT = 120, 40  # columns of a line, and before its comment


@dataclass(frozen=True)
class Line:
    """A key with its value and why it is so; `guess` where that could not be told, `off` for another possibility."""

    key: str
    value: Any
    why: str = ""
    guess: bool = False
    off: bool = False

    def text(self, width: int) -> str:
        mark = "# " if self.off else ""
        value = toml(self.value).replace("\n", "\n# ") if self.off else toml(self.value)
        said = f"{mark}{_key(self.key):<{width - len(mark)}} = {value}"
        if not self.why and not self.guess:
            return said
        comment = f"# {'? ' if self.guess else ''}{self.why}".rstrip()
        if "\n" not in said and max(len(said), COMMENT) + 1 + len(comment) <= WIDTH:
            return f"{said:<{COMMENT}} {comment}"
        return f"{comment}\n{said}"


@dataclass
class Part:
    """A table of the file: its title, such as [data] or [[targets]], and its lines."""

    title: str
    lines: list[Line] = field(default_factory=list)
    note: str = ""

    def add(self, key: str, value: Any, why: str = "", guess: bool = False, off: bool = False) -> None:
        self.lines.append(Line(key, value, why, guess, off))

    def text(self) -> str:
        width = max((len(_key(line.key)) for line in self.lines), default=0)
        note = [f"# {self.note}"] if self.note else []
        return "\n".join([*note, *([self.title] if self.title else []), *[line.text(width) for line in self.lines]])


def file_text(head: Sequence[str], parts: Sequence[Part]) -> str:
    """The whole file; parts without a line are left out."""
    shown = [part.text() for part in parts if part.lines]
    return "\n".join(f"# {line}" for line in head) + "\n" + "\n\n".join(shown) + "\n"


def guesses_in(parts: Sequence[Part]) -> list[str]:
    """What could not be told, in words."""
    return [
        f"{part.title.strip('[]') + '.' if part.title else ''}{line.key} = {toml(line.value)}: {line.why}"
        for part in parts
        for line in part.lines
        if line.guess and not line.off
    ]


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case list() | tuple():
            return _listed([toml(entry) for entry in value])
        case dict():
            return f"{{ {', '.join(f'{_key(str(key))} = {toml(entry)}' for key, entry in value.items())} }}"
        case _:
            return str(value)


def _text(value: str) -> str:
    if "\\" in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def _listed(entries: list[str]) -> str:
    whole = f"[{', '.join(entries)}]"
    if len(whole) <= WIDTH - 20:
        return whole
    lines, line = [], "   "
    for entry in entries:
        if len(line) + len(entry) + 2 > WIDTH:
            lines.append(line)
            line = "   "
        line += f" {entry},"
    return "[\n" + "\n".join([*lines, line]) + "\n]"
