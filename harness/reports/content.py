"""What a report holds, whatever its format: findings in words, tables, figures, and where they come from.

Every format renders these records and nothing else, so all of them hold the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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


@dataclass(frozen=True)
class Column:
    """``L = 32``, at x = 32; a column without x, such as a slope, is in no chart."""

    name: str
    x: float | None = None


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

    about: how it came about; better: ``high``, ``low`` or nothing; says: findings of this table alone.
    """

    name: str
    title: str
    corner: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    about: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    axes: Axes | None = None
    says: tuple[str, ...] = ()
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


@dataclass(frozen=True)
class Figure:
    """A chart: drawn from tables side by side, one panel each, or made by ``draw`` from a palette.

    alternative: what a reader who cannot see it is told.
    """

    name: str
    title: str
    alternative: str
    panels: tuple[Table, ...] = ()
    draw: Callable[[Mapping[str, str]], Any] | None = None


@dataclass(frozen=True)
class Choice:
    """What a reader chooses: ``measure``, ``arm``; about: a line on each option that needs one."""

    name: str
    label: str
    options: tuple[str, ...]
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """One run: what was asked, what was found, in tables and figures, and how to repeat it.

    reading: how its tables are read; series: the rows that can be chosen, pools or runs; missing: what an older run
    does not hold.
    """

    name: str
    run: FinishedRun
    title: str
    about: tuple[str, ...]
    findings: tuple[str, ...]
    reading: str
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    choices: tuple[Choice, ...]
    series: tuple[str, ...]
    series_label: str = "Pools"
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """Sections in the order their runs were given. files: what was written, if anything."""

    title: str
    sections: tuple[Section, ...]
    reproduce: str = ""
    files: tuple[Path, ...] = ()

    @property
    def palette(self) -> dict[str, str]:
        """The colour of every pool, and of every run of a comparison."""
        return palette_of([name for section in self.sections for name in section.series])

    def each(self) -> Iterator[tuple[str, Figure]]:
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


def interval(low: float | None, high: float | None, percent: bool = False) -> str:
    """``0.576–0.669``, or ``68–78%``; nothing where there is no interval."""
    if low is None or high is None or low != low or high != high:
        return ""
    if percent:
        return f"{100 * low:.0f}–{high:.0%}"
    return f"{low:.4f}–{high:.4f}" if low >= 0 else f"{low:+.4f} to {high:+.4f}"
