"""A file in the making: its parts, what to say of it, and what every kind of competition has at its top."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.looking.lines import Part, file_text, guesses_in

NOTE = (
    "written by `pipeline new {slug} --from {given}`: what the download shows.",
    "`# ?` marks what could not be told from it; the metric is on the competition's page.",
)


@dataclass(frozen=True)
class Head:
    """What is known before anything is looked at: the slug, and what --from says."""

    slug: str
    given: str

    def top(self, kind: str) -> Part:
        part = Part("")
        part.add("slug", self.slug)
        part.add("kind", kind)
        return part

    def source(self) -> Part:
        part = Part("[source]")
        part.add("path", self.given)
        part.add("kaggle", self.slug, "in place of path: downloads it", off=True)
        return part


@dataclass
class Draft:
    """A file, what was found in words, and what might keep it from fitting."""

    parts: list[Part]
    found: list[str]
    doubts: list[str] = field(default_factory=list)

    def text(self, head: Head) -> str:
        return file_text([line.format(slug=head.slug, given=head.given) for line in NOTE] + self.doubts, self.parts)

    @property
    def guesses(self) -> list[str]:
        return guesses_in(self.parts)


def tops(names: Sequence[str], most: int = 4) -> str:
    """The first of some names."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
