"""An audit in a terminal: every law, whether it holds, and the smallest case that breaks it."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.audit import Audit


def show(audit: Audit, console: Console) -> None:
    """Print the table, then what the broken laws say."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("smallest counterexample")
    for one in audit.results:
        result = f"[bold]{one.result}[/]" if one.result == "fail" else one.result
        table.add_row(one.law.name, result, escape(one.words))
    console.print(table, highlight=False)
    for one in audit.failed:
        console.print(f"[bold]{one.law.name}[/]: {escape(one.law.claim)}", highlight=False)
    console.print(("\n" if audit.failed else "") + escape(audit.summary), highlight=False)
