"""What was read otherwise than it was written: counted, with examples, each at most two lines of a terminal."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

LONGEST = 140  # cells of a note: two lines of 80 columns, less what stands around it and where words break
SHOWN = 3  # examples
WIDEST = 40  # letters of an example


@dataclass
class Named(Collection[str]):
    """How many names there are, and the first few: of a million no more is ever shown."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: object) -> None:
        """One more; its text is made only if it is shown."""
        if self.count < SHOWN:
            self.first.append(str(name))
        self.count += 1

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[str]:
        return iter(self.first)

    def __contains__(self, name: object) -> bool:
        return name in self.first


class Notes:
    """Notes in the order they were made.

    untidy: those of what was mended on the way, which ``--strict`` refuses; the others say what was done as asked.
    """

    def __init__(self) -> None:
        self.all: list[str] = []
        self.untidy: list[str] = []

    def say(self, what: str, names: Collection[str] = (), after: str = "") -> None:
        """A note of what was done: ``what`` with its count, a few of the names, what follows from it."""
        self.all.append(short(what, names, after))

    def mend(self, what: str, names: Collection[str] = (), after: str = "") -> None:
        """A note of what was untidy and is read all the same."""
        self.say(what, names, after)
        self.untidy.append(self.all[-1])


def short(what: str, names: Collection[str] = (), after: str = "") -> str:
    """``what (examples)after``, with as many examples as there is room for."""
    shown: list[str] = []
    for name in itertools.islice(names, SHOWN):
        example = repr(name if len(name) <= WIDEST else f"{name[: WIDEST - 1]}…")
        if shown and width(f"{what} ({', '.join([*shown, example])}, …){after}") > LONGEST:
            break
        shown.append(example)
    more = ", …" if shown and len(names) > len(shown) else ""
    return f"{what} ({', '.join(shown)}{more}){after}" if shown else f"{what}{after}"


def width(text: str) -> int:
    """Cells of a terminal that a text takes: letters of East Asia take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def counted(number: int, noun: str) -> str:
    """``1 query``, ``2 queries``, ``1,000 documents``."""
    many = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else many}"
