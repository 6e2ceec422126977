"""A comparison in a terminal: every run's values beside the baseline's, then who lost and who won most."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.errors import plain
from harness.records import Manifest
from harness.reports.claims import rule
from harness.reports.tables import short
from harness.statistics.comparison import PLACES

NAME = 60  # letters of an id
SHOWN = 5  # queries listed as winners and as losers


def show(
    summary: pd.DataFrame, tests: pd.DataFrame, queries: pd.DataFrame, manifest: Manifest, path: str, console: Console
) -> None:
    """Print a comparison: a table for every arm (or injection) and measure, then the queries that changed most."""
    config = manifest.config
    place = PLACES[config["of"]]
    inside, across = place[1], place[2]
    others = ", ".join(escape(str(name)) for name in dict.fromkeys(tests["run"]))
    lines = [
        f"\n[bold]{escape(config['dataset'])}[/], split {escape(config['split'])}: {others} against"
        f" {escape(config['baseline'])}, {int(tests['n'].max()):,} queries.",
        *(f"Note: {escape(note)}." for note in manifest.notes),
        "A cell is the value, below it the paired difference from the baseline with half its 95 % interval. † marks"
        " Holm-corrected p < 0.05 over all tests of this comparison (paired t-test over queries)."
        f" {rule()}",
    ]
    for line in lines:
        console.print(line, highlight=False)
    for inner in dict.fromkeys(tests[inside]):
        for measure in dict.fromkeys(tests["measure"]):
            here = {
                name: table[(table[inside] == inner) & (table["measure"] == measure)]
                for name, table in (("summary", summary), ("tests", tests))
            }
            if len(here["tests"]):
                console.print(grid(here["summary"], here["tests"], f"{measure}, {inner}", across, config["baseline"]))
    first = tests.iloc[0]
    console.print(changes(queries, first, place), highlight=False)
    console.print(f"\nFiles: {escape(path)}", soft_wrap=True, highlight=False)


def grid(summary: pd.DataFrame, tests: pd.DataFrame, title: str, across: str, baseline: str) -> Table:
    """Pools and runs × lengths (or counts)."""
    columns = [str(value) for value in dict.fromkeys(tests[across].astype(str))]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column(title, no_wrap=True)
    for name in columns:
        table.add_column(
            name if name == "slope" else f"{across[0].upper() if across == 'length' else 'K'} = {name}",
            justify="right",
            no_wrap=True,
        )
    values = {(row.run, row.pool, str(getattr(row, across))): float(str(row.value)) for row in summary.itertuples()}
    tested = {(row.run, row.pool, str(getattr(row, across))): row for row in tests.itertuples()}
    for pool in dict.fromkeys(tests["pool"]):
        table.add_row(f"[bold]{escape(str(pool))}[/]")
        for run in (baseline, *dict.fromkeys(tests["run"])):
            cells = [cell(values.get((run, pool, one)), tested.get((run, pool, one))) for one in columns]
            table.add_row(f"  {escape(str(run))}", *cells)
    return table


def cell(value: float | None, test) -> str:
    """A value, and below it what a test says of it."""
    shown = " " if value is None else f"{value:.4f} "
    if test is None:
        return shown
    mark = "†" if test.p_holm < 0.05 else " "
    half = "" if pd.isna(test.ci_low) or value is None else f"±{short((test.ci_high - test.ci_low) / 2)}"
    return f"{shown}\n{short(test.mean_difference, '+')}{mark}{half}"  # what must not be cut off comes first


def changes(queries: pd.DataFrame, first: pd.Series, place: list[str]) -> str:
    """The queries that lose and win most in the first cell tested."""
    keep = queries["run"] == first["run"]
    for column in place:
        keep &= queries[column].astype(str) == str(first[column])
    mine = queries[keep]
    where = ", ".join(f"{column} {first[column]}" for column in place)
    lines = [
        f"\n{escape(str(first['run']))} against {escape(str(first['baseline']))} ({where}):"
        f" {first['wins']} queries win, {first['ties']} tie, {first['losses']} lose."
    ]
    ends = (
        ("Largest losses", mine[mine["difference"] < 0].head(SHOWN)),
        ("Largest wins", mine[mine["difference"] > 0].tail(SHOWN).iloc[::-1]),
    )
    for word, rows in ends:
        listed = ", ".join(
            f"{escape(plain(str(row.query_id), NAME))} {row.value_baseline:.3f}→{row.value:.3f}"
            for row in rows.itertuples()
        )
        lines.append(f"{word}: {listed or 'none'}.")
    return "\n".join(lines) + " queries.parquet lists them for every cell."
