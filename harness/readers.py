"""Readers of options, from text or from YAML: each says what is wrong with a value and what would be right.

A reader is called with what the option is called and the value: ``whole(1)("depth", "100") == 100``.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.errors import OptionError, Problems, unknown

LONGEST = 100_000  # patches of a document, own or injected

Reader = Callable[[str, Any], Any]


def text(name: str, value: Any) -> str:
    """Any text."""
    return str(value)


def path(name: str, value: Any) -> Path:
    """A path; whether it can be written to is asked later."""
    return Path(str(value))


def flag(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise OptionError(f"{name} {str(value)[:40]!r} must be true or false")
    return value


def each(read: Reader, noun: str | None = None) -> Reader:
    """A reader of text with commas (not those inside parentheses) or a list; a part given twice is a mistake.

    noun: what one part is called, where that is not what the option is called.
    """

    def reader(name: str, value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            parts = re.split(r",(?![^()]*\))", value)
        else:
            parts = list(value) if isinstance(value, list | tuple) else [value]
        items: list[Any] = []
        problems = Problems()
        for part in map(str, parts):
            with problems:
                if not part.strip():
                    raise OptionError(f"{name}: an empty entry in {str(value)[:80]!r}")
                item = read(noun or name, part.strip())
                if item in items:
                    raise OptionError(f"{name}: {item} is given twice")
                items.append(item)
        if not parts:
            problems.add(f"{name}: nothing given")
        problems.stop(OptionError)
        return tuple(sorted(items) if isinstance(items[0], int) else items)

    return reader


def whole(least: int, most: int = 10**9) -> Reader:
    """A reader of a whole number, from text such as 8800000 or 8.8e6, or from YAML."""

    def read(name: str, value: Any) -> int:
        written = str(value).strip()
        if re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?", written) and float(written).is_integer():
            written = str(int(float(written))) if re.search(r"[.eE]", written) else written
        if not re.fullmatch(r"[-+]?[0-9]+", written):
            raise OptionError(f"{name} {written[:40]!r} is not a whole number")
        if len(written) > 13 or int(written) > most:
            raise OptionError(f"{name} {written[:13]} must be at most {most:,}")
        if int(written) < least:
            raise OptionError(f"{name} {written} must be at least {least}")
        return int(written)

    return read


def number(least: float, most: float, noun: str | None = None) -> Reader:
    """A reader of a number, the bounds included."""

    def read(name: str, value: Any) -> float:
        try:
            found = float(value)
        except (TypeError, ValueError, OverflowError):
            raise OptionError(f"{noun or name} {str(value)[:40]!r} is not a number") from None
        if not least <= found <= most:
            raise OptionError(f"{noun or name} {found} must be between {least:g} and {most:g}")
        return found

    return read


def known(names: Callable[[], Iterable[str]] | Iterable[str], noun: str | None = None) -> Reader:
    """A reader of one of some names."""

    def read(name: str, value: Any) -> str:
        options = list(names() if callable(names) else names)
        if value not in options:
            raise OptionError(unknown(noun or name, str(value), options))
        return str(value)

    return read


def registered(place: str, noun: str | None = None) -> Reader:
    """A reader of a name that a room registers, such as ``vectors.fills:FILLS``; the room is imported when a value is
    read."""
    return known(lambda: pkgutil.resolve_name(f"harness.{place}"), noun)


def parsed(place: str) -> Reader:
    """A reader of what a function of another room parses, such as ``aggregators:AGGREGATORS.make``, as its text."""
    return lambda name, value: str(pkgutil.resolve_name(f"harness.{place}")(str(value)))


def checked(place: str) -> Reader:
    """A reader of text that a function of another room accepts."""

    def read(name: str, value: Any) -> str:
        pkgutil.resolve_name(f"harness.{place}")(str(value))
        return str(value)

    return read


pool = parsed("aggregators:AGGREGATORS.make")
measure = parsed("statistics.measures:parse")
checkpoint = checked("encoders:check")
candidates = checked("candidates:parse")
