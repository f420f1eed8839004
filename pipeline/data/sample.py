"""The sample submission: under which name it lies in the raw folder, and which of its columns names a row."""

import re
from collections.abc import Collection, Set
from pathlib import Path

import pandas as pd

from pipeline.data.tables import neighbours

USUAL = "sample_submission.csv"
BLANK = "Unnamed: 0"  # what pandas calls a first column whose name is blank
PACKED = (".zip", ".gz", ".7z")
# What such a file is called, without marks between words: sampleSubmission.csv, submission_format.csv, ...
NAMES = re.compile(
    r"(stage\d|test|public)?((sample|example|gender|template|dummy)sub(mission|mit)?(s|file)?|"
    r"sub(mission|mit)?s?(format|sample|example|template))(stage\d|test|public|null|v\d+|\d+)?\.(csv|tsv|txt)"
)


def find_sample(raw: Path, said: str) -> Path | None:
    """The file of that name, or where it is the usual name the one file that is called alike; None without any."""
    if (raw / said).is_file():
        return raw / said
    found = called_alike(raw) if said == USUAL else []
    return raw / found[0] if len(found) == 1 else None


def called_alike(raw: Path) -> list[str]:
    """Names of files in the raw folder that say that they are a sample submission; unpacked before packed."""
    if not raw.is_dir():
        return []
    found: dict[str, str] = {}
    for name in sorted(entry.name for entry in raw.iterdir() if entry.is_file()):
        plain = name
        for ending in PACKED:
            plain = plain.removesuffix(ending)
        if NAMES.fullmatch(re.sub(r"[ _-]", "", plain.lower())) and (plain not in found or plain == name):
            found[plain] = name
    return sorted(found.values())


def missing_in_words(raw: Path, said: str) -> str:
    """What to say where `find_sample` finds nothing."""
    alike = called_alike(raw) if said == USUAL else []
    hint = f"; {', '.join(alike)} may all be it: say which one is" if alike else neighbours(raw / said)
    return f"submission.sample: no file {said!r} in {raw}{hint}"


def without_counter(table: pd.DataFrame, used: Collection[str]) -> pd.DataFrame:
    """A sample without the column of row numbers that pandas writes before the others, unless that is of use."""
    counts = table.columns[0] == BLANK and BLANK not in used and table[BLANK].str.fullmatch(r"\d+").all()
    return table.drop(columns=BLANK) if counts else table


def id_column_of(table: pd.DataFrame, said: str | None, usual: str, ids: Collection[str]) -> str:
    """The column that names a row: the one that is said, the usual one, the one that holds most of `ids`, the first."""
    if said is not None and said in table.columns:
        return said
    if usual in table.columns:
        return usual
    held = {str(column): int(table[column].isin(ids).sum()) for column in table.columns}
    best = max(held, key=lambda column: held[column])
    return best if held[best] else str(table.columns[0])


def respelled(asked: pd.Series, ids: Set[str], endings: Collection[str]) -> pd.Series:
    """Ids of a table (n,) as those of the test set: without the ending of an image, or folders, that only one side has.

    `endings`: of images; none where ids are no files. They stay where some are `ids` already, or not each of `ids` is
    named once; those that name none stay too.
    """
    if not len(asked) or not ids or not endings or not ids.isdisjoint(asked.tolist()):
        return asked
    ends = tuple(sorted(endings, key=len, reverse=True))
    for short in (_without_ending, _without_folders, lambda name, ends: _without_ending(_without_folders(name), ends)):
        known = {short(name, ends): name for name in ids}
        found = asked.map(lambda name, short=short, known=known: known.get(short(name, ends)))
        named = found.dropna()
        if len(known) == len(named) == len(ids) and not named.duplicated().any():
            return found.fillna(asked)
    return asked


def _without_ending(name: str, endings: tuple[str, ...]) -> str:
    lower = name.lower()
    return name[: -len(next(end for end in endings if lower.endswith(end)))] if lower.endswith(endings) else name


def _without_folders(name: str, _: tuple[str, ...] = ()) -> str:
    return name.rpartition("/")[2]
