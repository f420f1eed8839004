"""What the labels of a target look like: its classes with counts, and what in them is hardly meant."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

SHOWN = 12  # classes that are listed one by one
FEW = 2  # rows of a class that are too few to learn from and to be validated by


def classes_in_words(target: str, counts: Mapping[str, int], rows: str) -> str:
    """One line: every class with its count where there are few, else the largest and the smallest."""
    what = f"{target!r} has {len(counts):,} class{'' if len(counts) == 1 else 'es'}"
    if len(counts) <= SHOWN:
        return f"{what}: {', '.join(f'{name} {count:,}' for name, count in counts.items())}"
    most, least = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    return f"{what}, of {counts[least]:,} ({least}) to {counts[most]:,} ({most}) {rows}"


def doubts_about(target: str, counts: Mapping[str, int], rows: str) -> Iterator[str]:
    """In words, names that are hardly two classes, and classes of one or two rows."""
    for names, how in alike(counts):
        said = " and ".join(f"{name!r} ({counts[name]:,})" for name in names)
        yield f"target {target!r}: {said} differ {how}; if they are one class, make their labels equal"
    rare = [name for name, count in counts.items() if 0 < count <= FEW]
    if rare:
        shown = ", ".join(rare[:3]) + (", ..." if len(rare) > 3 else "")
        yield f"target {target!r}: {len(rare):,} of {len(counts):,} classes have 1 or {FEW} {rows}: {shown}"
    absent = [name for name, count in counts.items() if not count]
    if absent:
        shown = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        yield f"target {target!r}: {len(absent):,} of {len(counts):,} classes have no {rows}: {shown}"


def alike(names: Mapping[str, int]) -> list[tuple[list[str], str]]:
    """Groups of names that only their spelling tells apart, each with the way in which they differ."""
    found: list[tuple[list[str], str]] = []
    told: set[frozenset[str]] = set()
    for key, how in _SPELLINGS:
        groups: dict[object, list[str]] = defaultdict(list)
        for name in names:
            groups[key(name)].append(name)
        for meaning, group in groups.items():
            if meaning is not None and len(group) > 1 and frozenset(group) not in told:
                told.add(frozenset(group))
                found.append((sorted(group), how))
    return found


def _blanks(name: str) -> str:
    return " ".join(name.split())


def _form(name: str) -> str:
    return unicodedata.normalize("NFKC", name)


def _all(name: str) -> str:
    return _blanks(_form(_form(name).casefold()))


def _number(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None


# Each key is equal for names that differ in that way alone; the last takes all of them together.
_SPELLINGS: tuple[tuple[Callable[[str], object], str], ...] = (
    (str.casefold, "in case alone"),
    (_blanks, "in blanks alone"),
    (_form, "in Unicode form alone"),
    (_number, "as text, but are one number"),
    (_all, "in case, blanks or Unicode form alone"),
)
