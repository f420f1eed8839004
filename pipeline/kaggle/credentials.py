"""Whose Kaggle account: found in the order that Kaggle's own client uses, and never shown."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import WorkFailed

TOKEN = "KAGGLE_API_TOKEN"


class NoCredentials(WorkFailed):
    """Nobody is logged in to Kaggle on this machine."""


@dataclass(frozen=True)
class Credentials:
    """A token, or a user name with a key; `source` says where they were found, `later` what they hide."""

    source: str
    token: str = field(default="", repr=False)
    username: str = ""
    key: str = field(default="", repr=False)
    later: tuple[str, ...] = ()
    oauth: Path | None = None  # a file whose token Kaggle's client renews

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(secret for secret in (self.token, self.key) if secret)


def find_credentials(env: Mapping[str, str] | None = None) -> Credentials:
    """The first that is there: KAGGLE_API_TOKEN (a token, or a file of one), ~/.kaggle/access_token,
    KAGGLE_USERNAME with KAGGLE_KEY, kaggle.json, the file of `kaggle auth login`.

    Raises NoCredentials, which says how to get some, and WorkFailed for a file that holds none.
    """
    env = os.environ if env is None else env
    found = list(_everything(env))
    if not found:
        raise NoCredentials(
            "no Kaggle credentials: create a token at https://www.kaggle.com/settings (API) and put it into "
            f"~/.kaggle/access_token or {TOKEN}, or a kaggle.json into ~/.kaggle"
        )
    first = found[0]
    return Credentials(
        first.source, first.token, first.username, first.key, tuple(other.source for other in found[1:]), first.oauth
    )


def _everything(env: Mapping[str, str]) -> Iterator[Credentials]:
    home = Path(env.get("HOME") or Path.home())
    if env.get(TOKEN):
        yield Credentials(TOKEN, token=_value_or_file(env[TOKEN]))
    for name in ("access_token", "access_token.txt"):
        path = home / ".kaggle" / name
        if path.is_file() and (text := _read(path).strip()):
            yield Credentials(str(path), token=text)
    if env.get("KAGGLE_USERNAME") and env.get("KAGGLE_KEY"):
        yield Credentials("KAGGLE_USERNAME and KAGGLE_KEY", username=env["KAGGLE_USERNAME"], key=env["KAGGLE_KEY"])
    folders = [Path(env["KAGGLE_CONFIG_DIR"])] if env.get("KAGGLE_CONFIG_DIR") else []
    for folder in [*folders, home / ".kaggle", home / ".config" / "kaggle"]:
        if (folder / "kaggle.json").is_file():
            yield _from_json(folder / "kaggle.json")
    oauth = home / ".kaggle" / "credentials.json"
    if oauth.is_file():
        yield Credentials(str(oauth), oauth=oauth)


def _value_or_file(value: str) -> str:
    """A token, or the token in the file that the value names; a token is never taken for a path that is absent."""
    path = Path(value)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # too long for a name
        return value
    if not is_file:
        return value
    text = _read(path).strip()
    if not text:
        raise WorkFailed(f"{TOKEN} names the file {path}, which is empty; put a token into it, or unset {TOKEN}")
    return text


def _from_json(path: Path) -> Credentials:
    try:
        held = json.loads(_read(path))
        return Credentials(str(path), username=str(held["username"]), key=str(held["key"]))
    except (ValueError, KeyError, TypeError):
        raise WorkFailed(
            f"{path} does not hold a username and a key; download it again from https://www.kaggle.com/settings (API)"
        ) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WorkFailed(f"cannot read the Kaggle credentials in {path} ({type(error).__name__})") from None
