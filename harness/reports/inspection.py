"""A dataset in a terminal: what was read from which files, its lengths, its notes and its first rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape

from harness.corpora.inspection import Inspection, summary

BAR = 32  # cells of the longest bar
SHOWN = 4  # files of a table, groups of duplicates
LONGEST = 72  # letters of a row


def show(found: Inspection, console: Console) -> None:
    """Print what was read."""
    for line in lines(found):
        console.print(escape(line), highlight=False, soft_wrap=line.startswith("  "))  # a path in one piece


def lines(found: Inspection) -> Iterator[str]:
    """The page, line by line."""
    splits = ", ".join(found.splits)
    yield f"{found.name}: layout {found.layout or 'made by the program'}, split {found.split} (of {splits})"
    for table, paths in found.files.items():
        for path in paths[:SHOWN]:
            yield f"  {table}: {path}"
        if len(paths) > SHOWN:
            yield f"  {table}: {len(paths) - SHOWN:,} more files"
    yield ", ".join(f"{count:,} {noun}" for noun, count in found.counts.items())
    yield "Grades: " + ", ".join(f"{grade} ({count:,} times)" for grade, count in found.grades.items())
    for noun, counts in found.words.items():
        yield from lengths(f"Words of a {noun}", counts)
    for noun, counts in found.tokens.items():
        yield from lengths(f"Tokens of a {noun} as {found.checkpoint} reads it ({len(counts):,} looked at)", counts)
    yield from _duplicates(found.duplicates)
    for note in found.notes:
        yield f"Note: {note}."
    for table, rows in found.rows.items():
        yield f"The first {table}:"
        for row in rows:
            yield "  " + short("  ".join(row))


def lengths(title: str, counts: Sequence[int]) -> Iterator[str]:
    """A summary and a histogram whose bars double in width: 0, 1, 2 to 3, 4 to 7, …"""
    yield f"{title}: " + ", ".join(f"{name} {value:,}" for name, value in summary(counts).items())
    bins = Counter(int(count).bit_length() for count in counts)
    most = max(bins.values(), default=1)
    for size in range(min(bins, default=0), max(bins, default=-1) + 1):
        low, high = (1 << size) >> 1, (1 << size) - 1
        name = f"{low:,}" if low >= high else f"{low:,} to {high:,}"
        bar = "█" * max(int(bins[size] > 0), round(BAR * bins[size] / most))
        yield f"  {name:>18}  {bar} {bins[size]:,}".rstrip()


def _duplicates(groups: Sequence[Sequence[str]]) -> Iterator[str]:
    if groups:
        shown = "; ".join(" = ".join(ids[:3]) for ids in groups[:SHOWN])
        count = sum(len(ids) for ids in groups)
        yield f"Documents of equal text: {count:,} in {len(groups):,} groups, such as {short(shown)}"


def short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
