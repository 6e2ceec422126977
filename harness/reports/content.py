"""What a command answers, whatever the format: findings in words, tables, figures, and where they come from.

Every format renders these records and nothing else, the terminal too, so all of them hold the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.reports.palette import palette_of

if TYPE_CHECKING:
    from harness.reports.reading import FinishedRun

DAGGER = "†"


@dataclass(frozen=True)
class Cell:
    """A number as it is and as it is printed.

    beside: what stands beside it (a share retained, a difference); low, high: the 95 % interval, of the value or, where
    a table plots what stands beside it, of that; mark: differs from the baseline, Holm-corrected p < 0.05; best: of its
    column, as printed.
    """

    value: float
    text: str
    beside: float | None = None
    beside_text: str = ""
    low: float | None = None
    high: float | None = None
    interval: str = ""
    n: int | None = None
    mark: bool = False
    best: bool = False


EMPTY = Cell(float("nan"), "–")
BLANK = Cell(float("nan"), "")


def text(words: object) -> Cell:
    """A cell that holds words, or a number that is in no chart and no contest."""
    return Cell(float("nan"), str(words))


@dataclass(frozen=True)
class Column:
    """``L = 32``, at x = 32; a column without x, such as a slope, is in no chart. words: it holds text, no numbers."""

    name: str
    x: float | None = None
    words: bool = False


@dataclass(frozen=True)
class Row:
    """One pool's cells (or one run's, in a comparison); quiet: not measured against the others."""

    name: str
    cells: tuple[Cell, ...]
    quiet: bool = False


@dataclass(frozen=True)
class Axes:
    """How a table is drawn: a ``curve`` over its columns or ``bars``; plots: the value, or what stands beside it."""

    kind: str
    x: str
    y: str
    beside: str = ""
    plots: str = "value"
    scale: str = "linear"
    percent: bool = False


@dataclass(frozen=True)
class Table:
    """Rows × columns under one choice of what to look at, such as ``{"measure": "nDCG@10", "arm": "pad"}``.

    description: how it came about; findings: of this table only; better: ``high``, ``low`` or nothing.
    """

    name: str
    title: str
    corner: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    description: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    axes: Axes | None = None
    findings: tuple[str, ...] = ()
    better: str = "high"

    def marked(self) -> Table:
        """With the best cells of every column marked: all that are equal as printed."""
        rows = [list(row.cells) for row in self.rows]
        for at in range(len(self.columns)):
            shown = {
                number: cells[at]
                for number, cells in enumerate(rows)
                if not self.rows[number].quiet and cells[at].value == cells[at].value
            }
            if self.better and len(shown) > 1:
                printed = {number: _number(cell.text) for number, cell in shown.items()}
                best = (max if self.better == "high" else min)(printed.values())
                for number, cell in shown.items():
                    rows[number][at] = replace(cell, best=printed[number] == best)
        marked = tuple(replace(row, cells=tuple(cells)) for row, cells in zip(self.rows, rows, strict=True))
        return replace(self, rows=marked)


def words(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], numbers: Iterable[str] = ()) -> Table:
    """A table of text, the first column the rows' names; numbers: the columns that hold numbers."""
    corner, *names = columns
    texts = [[str(value) for value in row] for row in rows]
    return Table(
        title,
        title,
        corner,
        tuple(Column(name, words=name not in numbers) for name in names),
        tuple(Row(name, tuple(map(text, values))) for name, *values in texts),
        better="",
    )


@dataclass(frozen=True)
class Figure:
    """A chart: drawn from tables side by side, one panel each, or made by ``draw`` from a palette.

    alternative: the text for a reader who cannot see it.
    """

    name: str
    title: str
    alternative: str
    panels: tuple[Table, ...] = ()
    draw: Callable[[Mapping[str, str]], Any] | None = None


@dataclass(frozen=True)
class Choice:
    """What a reader chooses: ``measure``, ``arm``."""

    name: str
    label: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """What a command answers: the question, notes on it, how the tables are read, and what they say.

    legend: how its tables are read; files: lines that say where the answer lies.
    """

    title: str
    question: str = ""
    notes: tuple[str, ...] = ()
    legend: str = ""
    tables: tuple[Table, ...] = ()
    findings: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunSection(Section):
    """The section of a finished run, with figures.

    series: the rows that can be chosen, pools or runs; missing: what an older run does not hold.
    """

    name: str
    run: FinishedRun
    figures: tuple[Figure, ...]
    choices: tuple[Choice, ...]
    series: tuple[str, ...]
    series_label: str = "Pools"
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """Sections in the order their runs were given. files: what was written, if anything."""

    title: str
    sections: tuple[RunSection, ...]
    reproduce: str = ""
    files: tuple[Path, ...] = ()

    @property
    def palette(self) -> dict[str, str]:
        """The colour of every pool, and of every run of a comparison."""
        return palette_of([name for section in self.sections for name in section.series])

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """(file name, figure) of every figure."""
        for section in self.sections:
            for figure in section.figures:
                yield f"{section.name}-{figure.name}", figure


def _number(text: str) -> float:
    return float(text.rstrip("%").replace("−", "-"))


def decimals(value: float, sign: str = "") -> str:
    """Four decimals; a dash where there is no number; no minus before a zero."""
    return "–" if value != value else f"{round(value, 4) + 0.0:{sign}.4f}"


def share(value: float | None, places: int = 0) -> str:
    """A share in per cent; a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.{places}%}"


def interval(low: float | None, high: float | None, percent: bool = False, places: int = 4) -> str:
    """``0.576–0.669``, or ``68–78%``; nothing where there is no interval."""
    if low is None or high is None or low != low or high != high:
        return ""
    if percent:
        return f"{100 * low:.0f}–{high:.0%}"
    return f"{low:.{places}f}–{high:.{places}f}" if low >= 0 else f"{low:+.{places}f} to {high:+.{places}f}"
