"""Patterns that fit more rows where a part of them is left open: the ending, or a folder."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from pipeline.looking.files import ending_of

SAID = 3  # letters that folders have in common, and that are worth saying
DEPTH = 2  # folders, one in the other, that may be open


def opened(counted: Counter[str], rows: int) -> Counter[str]:
    """Patterns with the number of rows that each fits, and those that they become with a part left open.

    A pattern is left open only where no one way to fill it fits as many rows, and none fits a row twice.
    """
    found = counted | _endings(counted, rows)
    for _ in range(DEPTH):
        found = found | _folders(found, rows)
    return Counter(found | _all_folders(found, rows))


def _endings(counted: Counter[str], rows: int) -> Counter[str]:
    """With `.*` for the ending."""
    alike: dict[str, list[int]] = defaultdict(list)
    for text, count in counted.items():
        ending = ending_of(f"x{text.rpartition('}')[2]}")
        if ending:
            alike[f"{text.removesuffix(ending)}.*"].append(count)
    return Counter({text: sum(each) for text, each in alike.items() if max(each) < sum(each) <= rows})


def _folders(counted: Counter[str], rows: int) -> Counter[str]:
    """With `*` for a folder, behind what all of them begin with."""
    alike: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for text, count in counted.items():
        for before, folder, behind in _parts(text):
            alike[before, behind][folder] = count
    found: Counter[str] = Counter()
    for (before, behind), folders in alike.items():
        if len(folders) > 1 and max(folders.values()) < sum(folders.values()) <= rows:
            found[f"{before}{_shared(list(folders))}*{behind}"] = sum(folders.values())
    return found


def _all_folders(counted: Counter[str], rows: int) -> Counter[str]:
    """With `*` in all folders that differ, as in `test.tar/test/` and `test-more.tar/test-more/`."""
    alike: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
    for text, count in counted.items():
        *folders, name = text.split("/")
        if not {"{", "*"} & set("".join(folders)):
            alike[len(folders), name][text] = count
    found: Counter[str] = Counter()
    for texts in alike.values():
        if len(texts) > 1 and max(texts.values()) < sum(texts.values()) <= rows:
            ways = zip(*(text.split("/") for text in texts), strict=True)
            merged = [names[0] if len(set(names)) == 1 else f"{_shared(list(names))}*" for names in ways]
            found["/".join(merged)] = sum(texts.values())
    return found


def _parts(text: str) -> Iterator[tuple[str, str, str]]:
    """Each folder that is said as it is, with what is before and behind it."""
    folders = text.split("/")
    for place, folder in enumerate(folders[:-1]):
        if not {"{", "*"} & set(folder):
            before, behind = "/".join([*folders[:place], ""]), "/".join(["", *folders[place + 1 :]])
            yield before, folder, behind


def _shared(names: list[str]) -> str:
    """What all begin with, where it says something."""
    first, last = min(names), max(names)
    length = next((k for k, letter in enumerate(first) if last[k : k + 1] != letter), len(first))
    return first[:length] if length >= SAID else ""
