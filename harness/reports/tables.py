"""The degradation table in a terminal, readable without explanation."""

from __future__ import annotations

import pandas as pd
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from harness.lengths import ARMS
from harness.records import Manifest


def show(summary: pd.DataFrame, tests: pd.DataFrame, manifest: Manifest, path: str, console: Console) -> None:
    """Print an eval run: what was asked, the candidate ceiling, a table an arm and measure, and where the files are."""
    console.print(head(summary, manifest))
    for arm in manifest.config["arms"]:
        for measure in manifest.config["measures"]:
            console.print(degradation(summary, tests, arm, measure, manifest))
    console.print(f"Files: {path}", soft_wrap=True, highlight=False)


def head(summary: pd.DataFrame, manifest: Manifest) -> Group:
    """The lines above the tables: the run, how to read a cell, and what the candidates allow."""
    config, found = manifest.config, manifest.candidates
    queries = int(summary["n_queries"].iloc[0])
    lines = [
        f"[bold]{config['dataset']}[/] ({config['split']}, {queries:,} queries), checkpoint {config['checkpoint']}",
        "Rows are pools, columns are document lengths in patches. A cell is the mean over queries [95 % interval], and"
        " what is left of the shortest length's value. † differs from the first pool (paired t-test, Holm, p < 0.05).",
    ]
    ceiling = f"Candidates: {found['source']}, {found['depth']:,} a query, recall {found['recall']:.3f}"
    if found["recall"] < 1:
        ceiling += ": the share of relevant documents that reranking can reach; no pool can retrieve the rest."
    notes = [f"Note: {note}." for note in manifest.notes]
    return Group("", *(Text.from_markup(line) for line in [*lines, ceiling, *notes]))


def degradation(summary: pd.DataFrame, tests: pd.DataFrame, arm: str, measure: str, manifest: Manifest) -> Table:
    """One arm and measure: pools × lengths, the slope's test last, the candidates' own ranking below."""
    rows = summary[(summary["arm"] == arm) & (summary["measure"] == measure)].set_index(["pool", "length"])
    marked = significant(tests, arm, measure)
    lengths, pools = manifest.config["lengths"], manifest.config["pool"]
    table = Table(title=f"\n{measure}, arm {arm}: {ARMS[arm]}{about_fill(arm, manifest)}", title_justify="left")
    table.add_column("pool")
    for length in lengths:
        table.add_column(f"L = {length}", justify="right")
    if len(pools) > 1 and len(lengths) > 1:
        table.add_column(f"slope − {pools[0]}'s\nper doubling", justify="right")
    for pool in pools:
        cells = [cell(rows.loc[(pool, length)], (pool, str(length)) in marked, at > 0)
                 for at, length in enumerate(lengths)]  # fmt: skip
        table.add_row(pool, *cells, *([slope(tests, arm, measure, pool)] if len(table.columns) > len(cells) + 1 else []))
    first = summary[(summary["arm"] == "candidates") & (summary["measure"] == measure)]
    for _, row in first.iterrows():
        table.add_section()
        table.add_row(f"{row['pool']} (first stage)", interval(row), style="dim")
    return table


def about_fill(arm: str, manifest: Manifest) -> str:
    """Evidence and fill of an arm, as they were."""
    for done in manifest.cells:
        if done["arm"] == arm and done["fill"]:
            evidence = f"evidence {done['evidence']}, " if done["evidence"] else ""
            return f" ({evidence}fill {done['fill']})"
    return ""


def interval(row: pd.Series) -> str:
    return f"{row['value']:.4f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"


def cell(row: pd.Series, marked: bool, later: bool) -> str:
    """A value, its interval and, beyond the shortest length, the share retained."""
    retained = f"\n{row['retained']:.1%} retained" if later and pd.notna(row["retained"]) else ""
    return f"{interval(row)}{'†' if marked else ''}{retained}"


def slope(tests: pd.DataFrame, arm: str, measure: str, pool: str) -> str:
    found = tests[(tests["arm"] == arm) & (tests["measure"] == measure) & (tests["pool"] == pool)]
    found = found[found["length"] == "slope"]
    if found.empty:
        return "baseline"
    row = found.iloc[0]
    return f"{row['mean_difference']:+.4f}{'†' if row['p_holm'] < 0.05 else ''}"


def significant(tests: pd.DataFrame, arm: str, measure: str) -> set[tuple[str, str]]:
    """(pool, length) of the cells whose Holm-corrected p is below 0.05."""
    found = tests[(tests["arm"] == arm) & (tests["measure"] == measure) & (tests["p_holm"] < 0.05)]
    return set(zip(found["pool"], found["length"].astype(str), strict=True))
