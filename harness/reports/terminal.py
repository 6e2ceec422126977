"""A report in a terminal: each run's own tables, then what they say in words; or which files were written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape

from harness.reports import comparison, gradients, stress, synth, tables
from harness.reports.content import Report, Section

SHOWS: dict[str, Callable[..., Any]] = {
    "eval": tables.show,
    "stress": stress.show,
    "gradients": gradients.show,
    "synth": synth.show,
}
SHOWN = 12  # files listed


def show(report: Report, console: Console) -> None:
    """Print a report that wrote nothing, or the files of one that did."""
    for path in report.files[:SHOWN]:
        console.print(escape(str(path)), soft_wrap=True, highlight=False)
    if (more := len(report.files) - SHOWN) > 0:
        console.print(f"and {more:,} more", highlight=False)
    if not report.files:
        for section in report.sections:
            one(section, console)


def one(section: Section, console: Console) -> None:
    run = section.run
    if run.kind == "compare":
        queries = run.directory.read_table("queries.parquet", run.manifest)
        comparison.show(run.summary, run.tests, queries, run.manifest, str(run.path), console)
    else:
        SHOWS[run.kind](run.summary, run.tests, run.manifest, str(run.path), console)
    console.print("\n[bold]In short[/]")
    for sentence in section.findings:
        console.print(f"- {escape(sentence)}", highlight=False)
