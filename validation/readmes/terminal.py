"""A run's tables as the program prints them, from the committed CSVs of its report."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from harness.commands.eval import EvalConfig
from harness.commands.stress import StressConfig
from harness.records import Manifest
from harness.reports.content import Section
from harness.reports.formats import terminal
from harness.reports.reading import FinishedRun
from harness.reports.sections import base
from harness.runs import RunDirectory
from harness.vectors.arms import make_arm

WIDTH = 80


def length_tables(folder: Path, measure: str, longest: int) -> str:
    """What ``harness eval`` prints of one measure: a table for every arm. longest: patches of the longest document."""
    summary, tests = tables(folder, "eval")
    rows = summary[summary["arm"] != "candidates"]
    lengths, arms = sorted(rows["length"].astype(int).unique().tolist()), distinct(rows["arm"])
    cells = [
        {
            "arm": name,
            "evidence": arm.evidence,
            "fill": arm.fill,
            "length": length,
            "patches_max": length if arm.fill else min(length, longest),
        }
        for name in arms
        for arm in [make_arm(name, lengths, None, EvalConfig.fill, 0)]
        for length in lengths
    ]
    asked = {"lengths": lengths, "arms": arms, "measures": [measure]}
    return printed("eval", summary, tests, asked, cells)


def attack_tables(folder: Path, measure: str, kind: str) -> str:
    """What ``harness stress`` prints of one measure and kind of injection, and the hijack rates."""
    summary, tests = tables(folder, "stress")
    counts = sorted(summary["count"].astype(int).unique().tolist())
    asked = {"counts": counts, "inject": [kind], "measures": [measure]}
    usual = {"cosine": StressConfig.cosine, "tokens": StressConfig.tokens}
    return printed("stress", summary, tests, usual | asked, [])


def printed(
    command: str, summary: pd.DataFrame, tests: pd.DataFrame, asked: dict[str, Any], cells: list[dict[str, Any]]
) -> str:
    """The program's own tables of a run."""
    config = {"dataset": "", "split": "", "checkpoint": "", "pool": distinct(summary["pool"]), **asked}
    manifest = Manifest(command, config, {}, None, {}, {}, cells=cells)
    section = base.section(FinishedRun(Path(), manifest, summary, tests))
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, legacy_windows=False)
    terminal.show(Section("", tables=section.tables), console)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    return "\n".join(lines).strip("\n")


def tables(folder: Path, command: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """summary and tests of the one run of a command, read as the program reads them."""
    found = []
    for name in ("summary", "tests"):
        [path] = folder.glob(f"{command}-*-{name}.csv")
        found.append(RunDirectory(folder).read_table(path.name))
    return found[0], found[1]


def distinct(column: pd.Series) -> list[str]:
    return list(dict.fromkeys(column.astype(str)))
