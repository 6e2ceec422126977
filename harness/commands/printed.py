"""How a command prints the run that it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console

from harness.records import Manifest
from harness.reports.formats import terminal

if TYPE_CHECKING:
    import pandas as pd


class Written(Protocol):
    """What every command that writes a run returns."""

    @property
    def path(self) -> Path: ...
    @property
    def summary(self) -> pd.DataFrame: ...
    @property
    def tests(self) -> pd.DataFrame: ...
    @property
    def manifest(self) -> Manifest: ...


def show(result: Written, config: Any, console: Console) -> int:
    """Print the run's section."""
    from harness.reports.reading import FinishedRun
    from harness.reports.sections.base import section

    terminal.show(section(FinishedRun(result.path, result.manifest, result.summary, result.tests)), console)
    return 0
