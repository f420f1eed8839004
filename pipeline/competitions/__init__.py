"""Reading a competition file: shipped names or a path, overrides, and errors a tired person can act on."""

import difflib
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from pipeline.config import Competition
from pipeline.errors import RequestError
from pipeline.kinds import MODULES, kind_named
from pipeline.settings import Section

DEFAULT_KIND = "image"


def shipped() -> list[str]:
    """Names of the competition files that come with the package."""
    folder = resources.files(__name__)
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(name: str, overrides: list[str] | None = None) -> Competition:
    """Load a competition by shipped name or path, with `KEY=VALUE` overrides applied.

    Raises RequestError, naming the file, the key, what was found and what was expected.
    """
    text, where = _read(name)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{where} is not valid TOML: {error}") from None
    for override in overrides or []:
        _apply(raw, override)
    _refuse_kind(raw.get("kind", DEFAULT_KIND), where)
    try:
        return _sort_of(raw).model_validate(raw)
    except ValidationError as error:
        raise RequestError(_explain(error, where, raw)) from None


def _sort_of(raw: dict[str, Any]) -> type[Competition]:
    """What a file may say depends on its kind."""
    return kind_named(raw.get("kind", DEFAULT_KIND)).competition


def _refuse_kind(kind: Any, where: str) -> None:
    """A wrong kind is told before all else: what else may be said depends on it."""
    if not isinstance(kind, str) or kind not in MODULES:
        near = difflib.get_close_matches(str(kind), MODULES, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        expected = " or ".join(repr(name) for name in MODULES)
        raise RequestError(f"{where}: kind: found {_shown(kind)}, expected {expected}{meant}")


def _read(name: str) -> tuple[str, str]:
    if not name.endswith(".toml") and "/" not in name:
        entry = resources.files(__name__) / f"{name}.toml"
        if entry.is_file():
            return entry.read_text(encoding="utf-8"), f"{name}.toml (shipped)"
        near = difflib.get_close_matches(name, shipped(), 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RequestError(
            f"no competition {name!r}: {hint}shipped are {', '.join(shipped())}; "
            "a file of your own is given as a path ending in .toml"
        )
    try:
        return Path(name).read_text(encoding="utf-8-sig"), name  # editors put a byte-order mark in front
    except FileNotFoundError:
        raise RequestError(f"no competition file at {name}; `pipeline new SLUG` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"cannot read the competition file {name}: {error}") from None


def _apply(raw: dict[str, Any], override: str) -> None:
    """Set one dotted key. A source replaces the source of the file: there is exactly one."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RequestError(f"--set {override!r}: expected KEY=VALUE, for example models.0.epochs=3")
    *parents, last = key.split(".")
    if parents == ["source"]:
        raw["source"] = {}
    node: Any = raw
    for part in parents:
        node = _child(node, part, override)
    if isinstance(node, list):
        _child(node, last, override)
        node[int(last)] = _value(text)
    elif isinstance(node, dict):
        node[last] = _value(text)
    else:
        raise RequestError(f"--set {override!r}: {'.'.join(parents)} holds a value, not a table")


def _child(node: Any, part: str, override: str) -> Any:
    if isinstance(node, list):
        if part not in map(str, range(len(node))):
            raise RequestError(f"--set {override!r}: {part!r} is not one of the {len(node)} entries (0 is the first)")
        return node[int(part)]
    if isinstance(node, dict):
        return node.setdefault(part, {})
    raise RequestError(f"--set {override!r}: {part!r} lies below a value, not a table")


def _value(text: str) -> Any:
    """A TOML value; what is not one is taken as a plain string, so that shells need no double quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # also numbers of 5,000 digits and 1,000 open brackets
        return text


def _explain(error: ValidationError, where: str, raw: dict[str, Any]) -> str:
    """The first thing wrong, in one line; how many more there are."""
    problems = error.errors()
    # An unknown key is shown first: a typing error there often causes the other complaints.
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    place = _place(first["loc"], raw)
    alike = [p for p in problems if _place(p["loc"], raw) == place]  # branches of a union complain together
    more = f" (and {len(problems) - len(alike)} more)" if len(problems) > len(alike) else ""
    key = ".".join(str(part) for part in place)
    found = f"{key}: found {_shown(first['input'])}, "
    match first["type"]:
        case "extra_forbidden":
            said = f"unknown key {key!r}{_nearest(place, _sort_of(raw))}"
        case "missing":
            said = f"{key!r} is missing and has no default"
        case "value_error":
            over_a_table = not key or isinstance(first["input"], dict)  # such a check says what it found
            said = (f"{key}: " if key else "") if over_a_table else found
            said += first["msg"].removeprefix("Value error, ")
        case _:
            said = f"{found}expected {' or '.join(dict.fromkeys(map(_expected, alike)))}{_meant(first)}"
    return f"{where}: {said}{more}"


def _expected(problem: Any) -> str:
    """What a value had to be, in the words of a TOML file."""
    limits = problem.get("ctx", {})
    words = {
        "model_type": "a table",
        "dict_type": "a table",
        "list_type": "a list",
        "tuple_type": "a whole number or [height, width]",
        "too_short": f"at least {limits.get('min_length')} entries",
        "too_long": f"at most {limits.get('max_length')} entries",
        "string_pattern_mismatch": f"text that matches {limits.get('pattern')}",
    }
    plain: str = problem["msg"].removeprefix("Input should be ")
    return words.get(problem["type"], plain)


def _shown(found: Any) -> str:
    text = repr(list(found) if isinstance(found, tuple) else found)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _meant(problem: Any) -> str:
    """The nearest of the words that a key takes."""
    options = re.findall("'([^']*)'", str(problem.get("ctx", {}).get("expected", "")))
    near = difflib.get_close_matches(str(problem["input"]), options, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _place(loc: tuple[int | str, ...], raw: Any) -> list[int | str]:
    """The part of pydantic's location that is a key of the file (it appends the branch of a union)."""
    place: list[int | str] = []
    for part in loc:
        in_list = isinstance(raw, list) and isinstance(part, int) and part < len(raw)
        if in_list or (isinstance(raw, dict) and part in raw):
            place.append(part)
            raw = cast(Any, raw)[part]
        elif isinstance(raw, dict):
            place.append(part)
            raw = None
        else:
            break
    return place


def _nearest(place: list[int | str], section: Any) -> str:
    for part in place[:-1]:
        if isinstance(part, str) and isinstance(section, type) and issubclass(section, BaseModel):
            section = _section_of(section, part)
    if not (isinstance(section, type) and issubclass(section, Section)):
        return ""
    known = section.known_keys()
    near = difflib.get_close_matches(str(place[-1]), known, 1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(known)}"


def _section_of(section: type[BaseModel], key: str) -> Any:
    """The type of a table below `section`, or below one of its variants, inside list[...], Annotated[...], `| None`."""
    fields = [one.model_fields[key] for one in (section, *section.__subclasses__()) if key in one.model_fields]
    field = next(iter(fields), None)
    pending = [field.annotation] if field else []
    while pending:
        kind = pending.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        pending.extend(getattr(kind, "__args__", ()))
    return None
