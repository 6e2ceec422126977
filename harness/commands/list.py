"""``harness list``: what can be named on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from harness import readers
from harness.commands.context import RunContext
from harness.options import Config, option
from harness.reports import listing


@dataclass(frozen=True)
class ListConfig(Config):
    """``harness list``."""

    command = "list"

    what: str = option(
        "all",
        readers.known((*listing.LISTS, "all"), "list"),
        "datasets, pools, fills, checkpoints, scorers or runs; all if left out.",
        argument=True,
    )
    match: str = option("", readers.text, "Datasets with this word, or all; in short if left out.", argument=True)
    output: Path = option(Path("runs"), readers.path, "Folder of runs.", running=True)


CONFIG = ListConfig


def run(config: ListConfig, context: RunContext) -> None:
    """Datasets, pools, fills, checkpoints, scorers and runs that can be named."""


def show(result: None, config: ListConfig, console: Console) -> int:
    """Print one list or all."""
    listing.show(config.what, config.output, console, config.match)
    return 0
