"""``harness list``: what can be named on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from harness import readers
from harness.commands.context import RunContext
from harness.options import Config, option
from harness.reports.formats import terminal
from harness.reports.sections.list import LISTS, build


@dataclass(frozen=True)
class ListConfig(Config):
    """``harness list``."""

    command = "list"

    what: str = option(
        "all",
        readers.known((*LISTS, "all"), "list"),
        "datasets, pools, arms, fills, candidates, checkpoints, scorers or runs; all if left out.",
        argument=True,
    )
    match: str = option("", readers.text, "Datasets with this word, or all; in short if left out.", argument=True)
    output: Path = option(Path("runs"), readers.path, "Folder of runs.", running=True)


CONFIG = ListConfig


def run(config: ListConfig, context: RunContext) -> None:
    """List datasets, pools, arms, fills, candidates, checkpoints, scorers and runs by name."""


def show(result: None, config: ListConfig, console: Console) -> int:
    """Print one list or all."""
    terminal.show(build(config.what, config.match, config.output), console)
    return 0
