"""The section of ``harness inspect``: what was read from which files, its lengths, its notes and its first rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.corpora.inspection import Inspection, summary
from harness.reports.content import Section, Table, words

BAR = 32  # letters of the longest bar
SHOWN = 4  # files of a table, groups of duplicates
LONGEST = 60  # letters of a text


def build(inspection: Inspection) -> Section:
    counts = ", ".join(f"{count:,} {noun}" for noun, count in inspection.counts.items())
    grades = ", ".join(f"{grade} ({count:,} times)" for grade, count in inspection.grades.items())
    samples = {f"Words of a {noun}": lengths for noun, lengths in inspection.words.items()}
    for noun, lengths in inspection.tokens.items():
        samples[f"Tokens of a {noun} as {inspection.checkpoint} reads it ({len(lengths):,} looked at)"] = lengths
    return Section(
        f"{inspection.name}: layout {inspection.layout or 'made by the program'}, split {inspection.split}"
        f" (of {', '.join(inspection.splits)})",
        f"{counts[0].upper()}{counts[1:]}. Grades: {grades}.",
        (*duplicates(inspection.duplicates), *(f"Note: {note}." for note in inspection.notes)),
        tables=(
            *(histogram(title, lengths) for title, lengths in samples.items()),
            *(first(name, rows) for name, rows in inspection.rows.items() if rows),
        ),
        files=tuple(files(inspection)),
    )


def files(inspection: Inspection) -> Iterator[str]:
    for table, paths in inspection.files.items():
        for path in paths[:SHOWN]:
            yield f"{table[0].upper()}{table[1:]}: {path}"
        if len(paths) > SHOWN:
            yield f"{table[0].upper()}{table[1:]}: {len(paths) - SHOWN:,} more files"


def histogram(title: str, lengths: Sequence[int]) -> Table:
    """A summary and a histogram whose bars double in width: 0, 1, 2 to 3, 4 to 7, …"""
    bins = Counter(int(length).bit_length() for length in lengths)
    most, rows = max(bins.values(), default=1), []
    for size in range(min(bins, default=0), max(bins, default=-1) + 1):
        low, high = (1 << size) >> 1, (1 << size) - 1
        bar = "█" * max(int(bins[size] > 0), round(BAR * bins[size] / most))
        rows.append((f"{low:,}" if low >= high else f"{low:,} to {high:,}", f"{bins[size]:,}", bar))
    summed = ", ".join(f"{name} {value:,}" for name, value in summary(lengths).items())
    return words(f"{title}: {summed}", ["length", "count", ""], rows, numbers=["count"])


def first(name: str, rows: Sequence[tuple[str, ...]]) -> Table:
    """The first rows of a table of the dataset."""
    columns = ["query", "document", "grade"] if len(rows[0]) == 3 else ["id", "text"]
    numbers = ["grade"] if len(rows[0]) == 3 else []
    return words(f"The first {name}", columns, ([short(value) for value in row] for row in rows), numbers)


def duplicates(groups: Sequence[Sequence[str]]) -> Iterator[str]:
    if groups:
        shown = "; ".join(" = ".join(ids[:3]) for ids in groups[:SHOWN])
        count = sum(len(ids) for ids in groups)
        yield f"Documents of equal text: {count:,} in {len(groups):,} groups, such as {short(shown)}."


def short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
