"""A section in a terminal: what was asked, its tables in the layout that fits, what they say, and where it lies."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from harness.reports.content import DAGGER, Cell, Row, Section, Table, interval

NOTE = 2  # lines of a note
NAME = 2.5  # a row's name takes at most the width divided by this


def show(section: Section, console: Console) -> None:
    """Print a section."""
    if section.title:
        console.print(f"\n[bold]{escape(section.title)}[/]", highlight=False)
    for line in (section.question, *(shortened(note, console.width) for note in section.notes)):
        say(line, console)
    if section.legend:
        say(f"\n{section.legend}", console)
    described: set[str] = set()
    for _, group in itertools.groupby(section.tables, alike):
        tables = list(group)
        head(tables, described, console)
        for at, grid in enumerate(grids(tables, console)):
            if at:
                console.print()
            console.print(grid, highlight=False)
    if section.findings:
        console.print("\n[bold]In short[/]")
    for finding in section.findings:
        say(f"- {finding}", console)
    if section.files:
        console.print()
    for line in section.files:  # a path stays in one piece
        console.print(escape(line), soft_wrap=True, highlight=False)


def head(tables: Sequence[Table], described: set[str], console: Console) -> None:
    """What tables are called, and how they came about where that was not said before."""
    first, *others = tables
    title = ", ".join(list(first.where.values())[:-1]) if others else first.title
    console.print()
    say(title, console, "bold")
    if first.description not in described:
        described.add(first.description)
        say(first.description, console)


def say(line: str, console: Console, style: str = "") -> None:
    if line:
        console.print(escape(line), highlight=False, style=style)


def shortened(note: str, width: int) -> str:
    """A note of at most two lines; the manifest holds all of it."""
    lines = textwrap.wrap(note, width)
    return "\n".join(textwrap.wrap(note, width, max_lines=NOTE, placeholder=" …")) if len(lines) > NOTE else note


def alike(table: Table) -> object:
    """Tables that are alike and differ in the last thing chosen only stand as one, as the pools of a comparison do."""
    chosen = list(table.where.items())[:-1]
    return (table.corner, table.columns, table.description, chosen) if chosen else id(table)


def grids(tables: Sequence[Table], console: Console) -> Iterator[Grid]:
    """The tables as one: on two lines a row if that fits, else on three, else in blocks of columns."""
    columns = range(len(tables[0].columns))
    wide, stacked = (grid(tables, columns, console.width, kind) for kind in (False, True))
    if any(column.words for column in tables[0].columns) or fits(wide, console):
        yield wide
    elif fits(stacked, console):
        yield stacked
    else:
        start = 0
        while start < len(columns):
            end = len(columns)
            while end > start + 1 and not fits(grid(tables, columns[start:end], console.width, False), console):
                end -= 1
            yield grid(tables, columns[start:end], console.width, False)
            start = end


def fits(grid: Grid, console: Console) -> bool:
    return console.measure(grid, options=console.options.update(width=10_000)).maximum <= console.width


def grid(tables: Sequence[Table], columns: Sequence[int], width: int, stacked: bool) -> Grid:
    """Some columns of tables with the same columns, each table under a line that says what it is where there are
    several."""
    first, several = tables[0], len(tables) > 1
    text = any(column.words for column in first.columns)
    rows = [row for table in tables for row in table.rows]
    space = {at: any(row.cells[at].mark for row in rows) for at in columns}
    signed = any(" to " in row.cells[at].interval for row in rows for at in columns)
    output = Grid(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, show_edge=False)
    whole = max((cell_len(row.name) for row in rows), default=0) if text else None
    output.add_column(escape(first.corner), no_wrap=True, min_width=whole)
    for at in columns:
        column, last = first.columns[at], at == len(first.columns) - 1
        whole = max(cell_len(words) for words in (column.name, *(row.cells[at].text for row in rows)))
        output.add_column(
            escape(column.name) + " " * space[at],
            justify="left" if column.words else "right",
            no_wrap=not (last and all(column.words for column in first.columns)),  # a row with numbers is one line
            min_width=whole if text and not last else None,
        )
    for table in tables:
        if several:
            output.add_row(f"[bold]{escape(list(table.where.values())[-1])}[/]")
        for row in table.rows:
            cells = [shown(row.cells[at], space[at], stacked, signed) for at in columns]
            if any(cell.strip() for cell in cells):
                name = escape(row.name) if text else name_of(row, width, several)
                output.add_row(name, *cells, style="dim" if row.quiet else "")
    return output


def name_of(row: Row, width: int, indented: bool) -> str:
    """A row's name on lines that leave room for its numbers; what is in parentheses, or tells it apart, below it."""
    parts = re.split(r" \(|, (?=[A-Z] = )", row.name.removesuffix(")"))
    lines = [line for part in parts for line in textwrap.wrap(part, int(width / NAME)) or [""]]
    return "\n".join("  " * indented + escape(line) for line in lines)


def shown(cell: Cell, space: bool, stacked: bool, signed: bool) -> str:
    """A value and what stands beside it, its interval below. room: for a dagger, where some cell of the column has one;
    stacked: what stands beside the value is below it instead."""
    value = f"[bold]{escape(cell.text)}[/]" if cell.best else escape(cell.text)
    parts = [value, escape(cell.beside_text)] if cell.beside_text else [value]
    if cell.beside_text and cell.value != cell.value:  # a slope, of which there is only the difference
        parts = parts[1:]
    lines = parts if stacked else [" ".join(parts)]
    ends = [" " * space] * (len(lines) - 1) + [DAGGER if cell.mark else " " * space]
    lines = [line + end for line, end in zip(lines, ends, strict=True)]
    return "\n".join([*lines, *([spread(cell, signed) + " " * space] if cell.interval else [])])


def spread(cell: Cell, signed: bool) -> str:
    """The interval on three decimals; among some with a sign, ± half of it where it is symmetric, as Student's is."""
    if cell.low is None or cell.high is None or cell.interval != interval(cell.low, cell.high):
        return cell.interval  # of shares, or in another unit
    centre, half = cell.value if cell.beside is None else cell.beside, (cell.high - cell.low) / 2
    if signed and abs(cell.low + half - centre) < 5e-5:
        return f"±{half:.3f}"
    return interval(cell.low, cell.high, places=3)
