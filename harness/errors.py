"""Errors a user can mend. They are printed without a traceback and end a command with exit code 2."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Collection, Iterable

SHOWN = 30  # known names listed in an error
LONGEST = 900  # letters of one mistake


class HarnessError(Exception):
    """One or more mistakes a user can mend; each is one line that names what was given and the next step."""

    def __init__(self, *problems: str):
        self.problems = tuple(map(plain, problems))
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class OptionError(HarnessError):
    """A value on the command line or in a config file is wrong."""


class DataError(HarnessError):
    """A dataset, a checkpoint or a file of vectors is wrong."""


class Problems:
    """Mistakes gathered so that all of them are reported at once.

    >>> problems = Problems()
    >>> with problems: ...   # a HarnessError raised here is kept
    >>> problems.stop()      # raises one error that holds them all, or does nothing
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, problem: str) -> None:
        self.lines.append(problem)

    def __enter__(self) -> Problems:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if isinstance(error, HarnessError):
            self.lines.extend(error.problems)
            return True
        return False

    def stop(self, kind: type[HarnessError] = HarnessError) -> None:
        if self.lines:
            raise kind(*self.lines)


def unknown(noun: str, given: str, known: Iterable[str]) -> str:
    """A line that names the unknown thing, the nearest known one, and all known ones."""
    known = sorted(known)
    by_case = {name.lower(): name for name in known}
    near = difflib.get_close_matches(given.lower(), by_case, n=1, cutoff=0.5)
    hint = f"; did you mean {by_case[near[0]]!r}?" if near else ""
    listed = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN:,} more" if len(known) > SHOWN else "")
    return f"unknown {noun} {given!r}{hint} (known: {listed or 'none'})"


def plain(line: str, longest: int = LONGEST) -> str:
    """A line that any terminal can show: what is not printable escaped, the middle of a very long one left out."""
    if len(line) > longest:
        line = f"{line[: longest // 2]} … {line[-longest // 2 :]}"
    return line if line.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in line)


def examples(items: Iterable[object], most: int = 3) -> str:
    """The first few of many, for one line: ``'a', 'b', 'c' and 7 more``."""
    items = items if isinstance(items, Collection) else list(items)
    shown = ", ".join(map(repr, itertools.islice(items, most)))
    return shown if len(items) <= most else f"{shown} and {len(items) - most:,} more"


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind if it says nothing; short enough for one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
