"""``md``: findings and tables as GitHub renders them; names of pools, datasets and queries are shown as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.reports.content import DAGGER, Cell, Report, Row, RunSection, Table
from harness.reports.formats.base import FORMATS, Files


@FORMATS.register("md")
def markdown(report: Report) -> Files:
    parts = [f"# {escape(report.title)}", *map(chapter, report.sections)]
    yield "tables.md", ("\n\n".join(parts) + "\n").encode()


def chapter(section: RunSection) -> str:
    findings = [f"- {escape(sentence)}" for sentence in section.findings]
    parts = [f"## {escape(section.title)}", *map(escape, (section.question, *section.notes, *section.missing))]
    parts += ["\n".join(findings)] * bool(findings) + [escape(section.legend)]
    for shown in section.tables:
        parts += [
            f"### {escape(shown.title)}",
            *([escape(shown.description)] if shown.description else []),
            table(shown),
        ]
    parts += ["To repeat it:", fence(section.run.command)]
    return "\n\n".join(parts)


def table(shown: Table) -> str:
    head = [shown.corner, *(column.name for column in shown.columns)]
    lines = [line(map(escape, head)), line(["---"] + ["---:"] * len(shown.columns))]
    return "\n".join([*lines, *map(row, shown.rows)])


def row(shown: Row) -> str:
    return line([escape(shown.name), *map(cell, shown.cells)])


def cell(shown: Cell) -> str:
    """A value, what stands beside it, the dagger, and the interval on a line of its own."""
    value = f"**{shown.text}**" if shown.best else shown.text
    beside = f" {shown.beside_text}" if shown.beside_text else ""
    below = f"<br>{shown.interval}" if shown.interval else ""
    return f"{value}{beside}{DAGGER if shown.mark else ''}{below}"


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line, in a table too."""
    plain = " ".join(str(text).split())
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", plain)


def fence(text: str) -> str:
    """A block of code whatever it holds."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}console\n$ {text}\n{ticks}"
