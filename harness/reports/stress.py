"""The tables of ``harness stress`` in a terminal."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.errors import plain
from harness.records import Manifest
from harness.reports.claims import rule
from harness.reports.comparison import NAME
from harness.reports.tables import dagger, opening

KINDS = {
    "hard": "patches aimed at a query token, cosine {cosine}",
    "spike": "patches that mix {tokens} query tokens",
    "gaussian": "random directions, the control",
}


def show(summary: pd.DataFrame, tests: pd.DataFrame, manifest: Manifest, path: str, console: Console) -> None:
    """Print a stress run: for every kind of injection what each pool keeps, and how much of its selection is taken."""
    for line in [*opening(summary, manifest), *reading(manifest)]:
        console.print(line, highlight=False)
    for kind in manifest.config["inject"]:
        about = KINDS.get(kind, "").format(**manifest.config)
        console.print(f"\n[bold]Injection {kind}[/]: {escape(about)}.", highlight=False)
        for measure in manifest.config["measures"]:
            console.print(retained(summary, tests, kind, measure, manifest))
        console.print(hijacked(summary, kind, manifest))
    console.print(f"\nFiles: {escape(path)}", soft_wrap=True, highlight=False)


def show_explained(explained: pd.DataFrame, path: str, console: Console) -> None:
    """Print the winning patch of each of one query's tokens before and after injection, kind by kind."""
    for kind, rows in explained.groupby("inject", sort=False):
        taken = (rows["after_source"] == "injected").mean()
        first = rows.iloc[0]
        query, document = (escape(plain(str(first[name]), NAME)) for name in ("query_id", "doc_id"))
        console.print(
            f"\n[bold]Query {query}[/], document {document},"
            f" {first['count']} {kind} patches: {taken:.0%} of the query's tokens change to an injected patch.",
            highlight=False,
        )
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
        for name in ("query token", "won before", "similarity", "wins after", "similarity"):
            table.add_column(name, justify="right" if name == "similarity" else "left", no_wrap=True)
        for row in rows.itertuples():
            after = f"injected {row.after_patch}" if row.after_source == "injected" else "the same"
            before = f"{row.before_patch} {row.before_text}"
            values = (f"{row.before_similarity:.3f}", escape(after), f"{row.after_similarity:.3f}")
            table.add_row(escape(str(row.token)), escape(before), *values)
        console.print(table)
    console.print(f"Chart: {escape(path)}", soft_wrap=True, highlight=False)


def reading(manifest: Manifest) -> list[str]:
    return [
        "",
        "K patches are injected into every candidate that is not relevant. A row is a pool, a column a count K. A cell"
        " is the mean over queries, then what is left of the value at K = 0; below it the 95 % bootstrap interval of"
        f" what is left. † marks a loss that differs from {manifest.config['pool'][0]}'s (paired t-test,"
        " Holm-corrected p < 0.05). The hijack rate is the share of a token's selection held by injected patches."
        f" {rule()}",
    ]


def retained(summary: pd.DataFrame, tests: pd.DataFrame, kind: str, measure: str, manifest: Manifest) -> Table:
    """One kind and measure: pools × counts."""
    rows = summary[(summary["inject"] == kind) & (summary["measure"] == measure)].set_index(["pool", "count"])
    found = tests[(tests["inject"] == kind) & (tests["measure"] == measure) & (tests["p_holm"] < 0.05)]
    marked = set(zip(found["pool"], found["count"], strict=True))
    table = grid(measure, manifest, tight=bool((rows["retained"] >= 0.995).any()))
    for pool in manifest.config["pool"]:
        cells = []
        for count in manifest.config["counts"]:
            row = rows.loc[(pool, count)]
            left = (
                f" {row['retained']:.0%}{dagger((pool, count) in marked)}"
                if count and pd.notna(row["retained"])
                else " "
            )
            low = (
                f"{100 * row['retained_low']:.0f}–{row['retained_high']:.0%} "
                if count and pd.notna(row["retained"])
                else ""
            )
            cells.append(f"{row['value']:.3f}".removeprefix("0") + f"{left}\n{low}")
        table.add_row(escape(pool), *cells)
    return table


def hijacked(summary: pd.DataFrame, kind: str, manifest: Manifest) -> Table:
    """One kind: the hijack rate, pools × counts."""
    rows = summary[summary["inject"] == kind].drop_duplicates(["pool", "count"]).set_index(["pool", "count"])
    table = grid("hijack rate", manifest)
    for pool in manifest.config["pool"]:
        rates = [rows.loc[(pool, count), "hijack_rate"] for count in manifest.config["counts"]]
        table.add_row(escape(pool), *(f"{rate:.1%} " if pd.notna(rate) else "– " for rate in rates))
    return table


def grid(corner: str, manifest: Manifest, tight: bool = False) -> Table:
    """Counts as columns; tight where shares have three digits, so that six counts fit 80 letters."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 0 if tight else 1), pad_edge=False)
    table.add_column(corner, no_wrap=True)
    for count in manifest.config["counts"]:
        table.add_column(f"K = {count} ", justify="right", no_wrap=True)
    return table
