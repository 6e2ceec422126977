"""The degradation table in a terminal, readable without explanation."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.records import Manifest
from harness.reports.claims import rule
from harness.statistics import tables as statistics
from harness.vectors import arms


def show(summary: pd.DataFrame, tests: pd.DataFrame, manifest: Manifest, path: str, console: Console) -> None:
    """Print an eval run: what was asked, the candidate ceiling, a table an arm and measure, and where the files are."""
    for line in [*opening(summary, manifest), *reading(manifest)]:
        console.print(line, highlight=False)
    for arm in manifest.config["arms"]:
        console.print(f"\n[bold]Arm {arm}[/]: {about_arm(arm, manifest)}", highlight=False)
        for measure in manifest.config["measures"]:
            console.print(degradation(summary, tests, arm, measure, manifest))
    console.print(f"\nFiles: {escape(path)}", soft_wrap=True, highlight=False)


def opening(summary: pd.DataFrame, manifest: Manifest) -> list[str]:
    """The lines any run opens with: the question, what the candidates allow, and its notes."""
    config, found = manifest.config, manifest.candidates
    queries = f", {int(summary['n_queries'].iloc[0]):,} queries" if "n_queries" in summary else ""
    lines = [
        f"\n[bold]{escape(config['dataset'])}[/], split {escape(config['split'])}{queries},"
        f" checkpoint {escape(config['checkpoint'])}"
    ]
    if found:
        ceiling = f"Candidates: {found['source']}, {found['depth']:,} a query, recall {found['recall']:.3f}"
        reach = ": the share of the relevant documents that reranking can reach" if found["recall"] < 1 else ""
        lines.append(f"{ceiling}{reach}.")
    return lines + [f"Note: {escape(note)}." for note in manifest.notes]


def reading(manifest: Manifest) -> list[str]:
    """How to read a table of this module."""
    return [
        "",
        "A row is a pool, a column a document length L in patches. A cell is the mean over queries, then what is left"
        " of the value at the shortest length; below it the 95 % bootstrap interval. The slope is the change for each"
        f" doubling of L. † marks a difference from {manifest.config['pool'][0]} (paired t-test, Holm-corrected"
        f" p < 0.05). {rule()}",
    ]


def degradation(summary: pd.DataFrame, tests: pd.DataFrame, arm: str, measure: str, manifest: Manifest) -> Table:
    """One arm and measure: pools × lengths and the slope, the candidates' own ranking below."""
    of_measure = summary[summary["measure"] == measure]
    rows = of_measure[of_measure["arm"] == arm].set_index(["pool", "length"])
    marked = significant(tests, arm, measure)
    lengths, pools = manifest.config["lengths"], manifest.config["pool"]
    growing = sloped(arm, manifest)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column(measure, no_wrap=True)
    for length in lengths:
        table.add_column(f"L = {length}", justify="right", no_wrap=True)
    if len(growing) > 1:
        table.add_column("slope", justify="right", no_wrap=True)
    for pool in pools:
        cells = [
            cell(rows.loc[(pool, length)], (pool, str(length)) in marked, length > lengths[0]) for length in lengths
        ]
        change = []
        if len(growing) > 1:
            slope = per_doubling([rows.loc[(pool, length)]["value"] for length in growing], growing)
            change = [f"{slope:+.4f}{dagger((pool, 'slope') in marked)}"]
        table.add_row(escape(pool), *cells, *change)
    for _, row in of_measure[of_measure["arm"] == "candidates"].iterrows():
        table.add_row(f"{escape(row['pool'])}\nfirst stage", cell(row, False, False), style="dim")
    return table


def per_doubling(values: list[float], lengths: list[int]) -> float:
    """Least-squares change of the mean for each doubling of the length."""
    return round(float(np.polyfit(np.log2(lengths), values, 1)[0]), 4) + 0.0  # + 0.0: no minus before a zero


def sloped(arm: str, manifest: Manifest) -> list[int]:
    """The lengths that the slope of an arm is over."""
    return statistics.reached(manifest.cells).get(arm, list(manifest.config["lengths"]))


def about_arm(arm: str, manifest: Manifest) -> str:
    """What an arm does, with what, and from which length on nothing changes."""
    about = f"{arms.about(arm)}{about_fill(arm, manifest)}."
    growing, lengths = sloped(arm, manifest), manifest.config["lengths"]
    if len(growing) == len(lengths):
        return about
    most = max(cell["patches_max"] for cell in manifest.cells if cell["arm"] == arm)
    over = f"the slope is over L = {growing[0]} to {growing[-1]}" if len(growing) > 1 else "there is no slope"
    last = f"From L = {growing[-1]} on nothing changes, for no document scored has more than {most:,} patches"
    return f"{about} {last}: {over}."


def about_fill(arm: str, manifest: Manifest) -> str:
    """Evidence and fill of an arm, as they were."""
    for done in manifest.cells:
        if done["arm"] == arm and done["fill"]:
            evidence = f"evidence {done['evidence']}, " if done["evidence"] else ""
            return f" ({evidence}fill {done['fill']})"
    return ""


def short(value: float, sign: str = "") -> str:
    """Three decimals without the zero before the point; sign "+" shows it always."""
    return re.sub(r"^([-+]?)0\.", r"\1.", f"{value:{sign}.3f}")


def dagger(marked: bool) -> str:
    return "†" if marked else " "


def cell(row: pd.Series, marked: bool, later: bool) -> str:
    """A value and the share retained beyond the shortest length, over its interval."""
    retained = f" {row['retained']:.0%}" if later and pd.notna(row["retained"]) else ""
    return f"{row['value']:.4f}{retained}{dagger(marked)}\n{row['ci_low']:.3f}–{row['ci_high']:.3f} "


def significant(tests: pd.DataFrame, arm: str, measure: str) -> set[tuple[str, str]]:
    """(pool, length) of the cells, and (pool, "slope"), whose Holm-corrected p is below 0.05."""
    found = tests[(tests["arm"] == arm) & (tests["measure"] == measure) & (tests["p_holm"] < 0.05)]
    return set(zip(found["pool"], found["length"].astype(str), strict=True))
