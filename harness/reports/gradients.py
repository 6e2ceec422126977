"""The table of ``harness gradients`` in a terminal."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.records import Manifest
from harness.reports.claims import rule
from harness.reports.tables import opening


def show(summary: pd.DataFrame, tests: pd.DataFrame, manifest: Manifest, path: str, console: Console) -> None:
    """Print a gradients run: a table a length, pools × figures, then the weakest of the paired tests."""
    pairs = int(summary["n_pairs"].iloc[0])
    for line in opening(summary, manifest):
        console.print(line, highlight=False)
    console.print(
        f"\nNorms of the score's gradient on the patches of a relevant document, {pairs:,} (query, document) pairs."
        " Gini is the study's [95 % bootstrap interval]; the standard one is larger by 1/patches. Effective patches are"
        " exp of the entropy of the shares; zero is the share of patches without any gradient."
        f" {rule('pairs')}",
        highlight=False,
    )
    for length, rows in summary.groupby("length", sort=False):
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
        for name in (f"L = {length}", "Gini", "standard", "top share", "effective", "zero"):
            table.add_column(name, justify="left" if name[0] == "L" else "right", no_wrap=True)
        for row in rows.itertuples():
            gini = f"{row.gini:.3f} [{row.gini_low:.3f}, {row.gini_high:.3f}]"
            shares = (f"{row.top_share:.1%}", f"{row.effective_patches:.1f}", f"{row.zero_share:.1%}")
            table.add_row(escape(str(row.pool)), gini, f"{row.gini_standard:.3f}", *shares)
        console.print(table)
    if tests["p_holm"].notna().any():
        weakest = tests.sort_values("p_holm", ascending=False).iloc[0]
        console.print(
            f"Paired t-tests of the Gini between every two pools at every length: the largest Holm-corrected p is"
            f" {weakest['p_holm']:.1e}, {weakest['pool']} against {weakest['baseline']} at L = {weakest['length']}.",
            highlight=False,
        )
    console.print(f"\nFiles: {escape(path)}", soft_wrap=True, highlight=False)
