"""What a section of the competition file means: every value resolved, and which of them are merely the default.

Two files that mean the same give the same result, however they spell it. So what was made is compared with what is
asked for by `Settings`, never by what a file says: a default that is said aloud changes nothing, nor does a setting
that is new and off; a default that now means something else does.
"""

import difflib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError


class Settings(dict[str, Any]):
    """The values of a section as JSON, every default written out; sections inside it are `Settings` too.

    `defaults` holds the value that each key has where the file does not name it (required keys have none).
    `from_spelled` turns a section as it was spelled in an older record into values of the same form.
    `where_known` names the keys that differ only where both sides hold a value: digests of a user's own files, which
    may be gone by now, and which older records do not hold.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        defaults: Mapping[str, Any],
        from_spelled: Callable[[Mapping[str, Any]], "Settings"] | None = None,
        where_known: Collection[str] = (),
    ) -> None:
        super().__init__(values)
        self.where_known = frozenset(where_known)
        self.defaults, self.from_spelled = dict(defaults), from_spelled

    def non_default(self) -> dict[str, Any]:
        """Only what differs from the default: the part to make a name or a digest of.

        It stays the same when a setting is added that is off; it does not show that a default has changed.
        """
        differing = {k: v for k, v in self.items() if k not in self.defaults or v != self.defaults[k]}
        return {key: value.non_default() if isinstance(value, Settings) else value for key, value in differing.items()}


class Section(BaseModel, frozen=True):
    """A table of the file: no unknown keys, no silent conversions, no changes after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def known_keys(cls) -> list[str]:
        """What may be said here, for the hint behind a key that may not."""
        return list(cls.model_fields)

    def resolved(self, within: Any = None) -> Self:
        """The same section with each value that follows from others, or from the competition, filled in."""
        return self

    def settings(self, within: Any = None, leave_out: Collection[str] = ()) -> Settings:
        """What this section means, less the keys `leave_out`; `within` is the competition that it belongs to."""
        full, values, defaults = self.resolved(within), {}, {}
        for key, field in type(self).model_fields.items():
            if key in leave_out:
                continue
            values[key] = _plain(getattr(full, key), within)
            if not field.is_required():
                silent = self.model_copy(update={key: field.get_default(call_default_factory=True)})
                defaults[key] = _plain(getattr(silent.resolved(within), key), within)

        def from_spelled(spelled: Mapping[str, Any]) -> Settings:
            own = {key: getattr(self, key) for key in leave_out if key in type(self).model_fields}
            return type(self).model_validate({**own, **spelled}).settings(within, leave_out)

        return Settings(values, defaults, from_spelled)


Chosen = TypeVar("Chosen", bound=Section)


class NoOptions(Section, frozen=True):
    """An entry of a registry with nothing to choose."""


def read_options(options: type[Chosen], given: Mapping[str, Any]) -> Chosen:
    """Options of an entry with every default filled in. Raises ValueError, which says in words what is wrong."""
    try:
        return options.model_validate(dict(given))
    except ValidationError as error:
        problem, known = error.errors()[0], list(options.model_fields)
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        if not known:
            raise ValueError(f"unknown option {key!r}; it has none")
        near = difflib.get_close_matches(key, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        raise ValueError(f"unknown option {key!r}; {hint}")
    if problem["type"] == "missing":
        raise ValueError(f"option {key!r} is missing and has no default")
    expected = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    raise ValueError(f"{key}: found {problem['input']!r}, expected {expected}")


def _plain(value: Any, within: Any) -> Any:
    """A value as JSON holds it."""
    if isinstance(value, Section):
        return value.settings(within)
    if isinstance(value, Mapping):
        return {key: _plain(inner, within) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, within) for inner in value]
    return value


def differences(key: str, before: Any, now: Any) -> Iterator[str]:
    """In words, all in which what was recorded means something else than what is asked for.

    `before` is JSON; `now` may hold `Settings`: what such a section has gained since, and leaves off, is no difference.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        off = now.defaults if isinstance(now, Settings) else {}
        where_known = now.where_known if isinstance(now, Settings) else frozenset()
        for inner in dict.fromkeys([*now, *before]):
            if inner in where_known and None in (before.get(inner), now.get(inner)):
                continue
            if not (inner in off and inner not in before and now[inner] == off[inner]):
                yield from differences(f"{key}.{inner}" if key else inner, before.get(inner), now.get(inner))
        return
    if isinstance(now, (list, tuple)) and isinstance(before, list):
        now = list(now)
        if len(before) == len(now) and any(isinstance(inner, dict) for inner in now):
            for number, (old, new) in enumerate(zip(before, now, strict=True)):
                name = new.get("name", number) if isinstance(new, dict) else number
                yield from differences(f"{key}.{name}", old, new)
            return
    if before != now or isinstance(before, bool) != isinstance(now, bool):  # JSON's true is no 1
        yield _changed(key, before, now)


def _changed(key: str, before: Any, now: Any) -> str:
    if key.endswith("_code"):
        return f"the plug-in behind {key.removesuffix('_code').removesuffix('.name')} changed"
    if key.endswith("_file"):
        return f"the file behind {key.removesuffix('_file')} changed"
    shown = [json.dumps(value, ensure_ascii=False) for value in (before, now)]
    if all(len(text) <= 40 for text in shown):
        return f"{key} changed from {shown[0]} to {shown[1]}"
    return f"{key} changed"
