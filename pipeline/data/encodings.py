"""Encodings of text that is not UTF-8: Windows' Latin-1 where its letters look so; any other is said by the file."""

import re
import unicodedata
from collections import Counter
from itertools import islice

LATIN = "cp1252"  # Latin-1 with quotes and dashes where that has control characters
WORDS = 20_000  # that are looked at: those of one writer are alike
STRANGE = 0.5  # the part of letters beyond ASCII that may look strange in words of western languages
# Words with letters beyond ASCII, out of anything but blanks, digits and the marks that writers set beside any letter.
WORD = re.compile("[^\x00-@\\[-`{-\x7f\xa0\xad\xb7\u2018\u2019\u201c\u201d\u2013\u2014\u2026\xab\xbb]+")
# What no western writer sets beside a letter of a word.
NEVER = re.compile(
    "[\x80-\x9f\u201a\u201e\u2020\u2021\u02c6\u2030\u2039\u203a\u02dc\u0192\xa4\xa6\xa8\xac\xaf\xb6\xb8\xb9]"
)
INSIDE = re.compile("(?<=[^\\W\\d_])[\xa1-\xa9\xab-\xb1\xb3\xb4\xbb-\xbf\xd7\xf7\u2022\u20ac](?=[^\\W\\d_])")
RUN = re.compile("[^\x00-\x7f]{3,}")
# Those that are shown where the encoding must be said, with the scripts of their letters.
OTHERS = {
    "cp1251": {"CYRILLIC"}, "koi8_r": {"CYRILLIC"}, "cp1253": {"GREEK"}, "cp1255": {"HEBREW"}, "cp1256": {"ARABIC"},
    "shift_jis": {"HIRAGANA", "KATAKANA", "CJK"}, "euc_kr": {"HANGUL"}, "gbk": {"CJK"}, "big5": {"CJK"},
}  # fmt: skip
SHOWN = 3


def latin_text(data: bytes) -> str:
    """The text by Windows' Latin-1; what has no letter there keeps its number."""
    try:
        return data.decode(LATIN)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def letters_beyond(text: str) -> list[str]:
    """The first words of a text that hold letters beyond ASCII."""
    lines = (line for line in text.splitlines() if not line.isascii())
    return list(islice((word for line in lines for word in WORD.findall(line) if not word.isascii()), WORDS))


def looks_latin(words: list[str]) -> bool:
    """Whether words, read as Latin-1, may be of a western language.

    There a letter beyond ASCII stands among others of ASCII. In words of other scripts nearly every byte is beyond, in
    those of Japanese and Chinese every other at least, and many are no letters in Latin-1.
    """
    strange = total = 0
    for word, count in Counter(words).items():
        beyond = sum(letter > "\x7f" for letter in word)
        total += beyond * count
        strange += min(beyond, _strange(word, beyond)) * count
    return strange <= STRANGE * total


def _strange(word: str, beyond: int) -> int:
    """Letters beyond ASCII of a word that no western word has so: in runs, alone with each other, or no letters."""
    if beyond > 1 and len(set(word)) > 1 and not any("a" <= letter.lower() <= "z" for letter in word):
        return beyond
    runs = sum(len(run) for run in RUN.findall(word) if len(set(run)) > 1)
    return runs + len(NEVER.findall(word.lstrip("\u201a\u201e"))) + len(INSIDE.findall(word))


def _bytes_of(word: str) -> bytes:
    try:
        return word.encode(LATIN)
    except UnicodeEncodeError:
        return word.encode("latin-1", "ignore")


def others_in_words(data: bytes, words: list[str]) -> str:
    """Encodings that a text may be in, each with one of its words so read."""
    found = []
    raw = _bytes_of(max(words, key=len))
    for name, scripts in OTHERS.items():
        try:
            data.decode(name)
            word = raw.decode(name)
        except UnicodeDecodeError:
            continue
        own = [letter for letter in word if letter > "\x7f"]
        if own and all(unicodedata.name(letter, "").split(" ")[0] in scripts for letter in own):
            found.append(f"{name!r} ({word[:20]})")
    return f"such as {', '.join(found[:SHOWN])}" if found else "such as 'cp1251', 'shift_jis' or 'gbk'"
