"""A run's tables as the program prints them, from the committed CSVs of its report."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from harness.commands.eval import EvalConfig
from harness.commands.stress import StressConfig
from harness.records import Manifest
from harness.reports.terminal import SHOWS
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
    return printed("eval", summary, tests, asked, cells, "Arm ")


def attack_tables(folder: Path, measure: str, kind: str) -> str:
    """What ``harness stress`` prints of one measure and kind of injection, and the hijack rates."""
    summary, tests = tables(folder, "stress")
    counts = sorted(summary["count"].astype(int).unique().tolist())
    asked = {"counts": counts, "inject": [kind], "measures": [measure]}
    usual = {"cosine": StressConfig.cosine, "tokens": StressConfig.tokens}
    return printed("stress", summary, tests, usual | asked, [], "Injection ")


def printed(
    command: str, summary: pd.DataFrame, tests: pd.DataFrame, asked: dict[str, Any], cells: list, start: str
) -> str:
    """The program's own tables of a run, from the first line that starts so up to the line that names the files."""
    config = {"dataset": "", "split": "", "checkpoint": "", "pool": distinct(summary["pool"]), **asked}
    manifest = Manifest(command, config, {}, None, {}, {}, cells=cells)
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, legacy_windows=False)
    SHOWS[command](summary, tests, manifest, "", console)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    first = next(at for at, line in enumerate(lines) if line.startswith(start))
    last = next(at for at, line in enumerate(lines) if line.startswith("Files:"))
    return squeezed(lines[first:last])


def squeezed(lines: Iterable[str]) -> str:
    """Without an empty line where another, or the line a table is announced by, stands before it."""
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1] and not kept[-1].endswith(".")):
            kept.append(line)
    return "\n".join(kept).strip("\n")


def tables(folder: Path, command: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """summary and tests of the one run of a command, read as the program reads them."""
    found = []
    for name in ("summary", "tests"):
        [path] = folder.glob(f"{command}-*-{name}.csv")
        found.append(RunDirectory(folder).read_table(path.name))
    return found[0], found[1]


def distinct(column: pd.Series) -> list[str]:
    return list(dict.fromkeys(column.astype(str)))
