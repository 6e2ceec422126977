"""Stages of a command: a progress bar while one runs, its seconds kept for the manifest."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[..., None]
"""advance(steps=1, patches=0): that much more of the stage is done."""


class Stages:
    """Shows and times the stages of one command. On a terminal a bar, elsewhere one line a stage; silent if asked.

    seconds: wall seconds by stage name, in the order they ran.
    """

    def __init__(self, show: bool = True):
        self.show = show
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str, total: int | None = None, unit: str = "") -> Iterator[Advance]:
        start = time.perf_counter()
        bar = self._bar(name, total, unit) if self.show and sys.stderr.isatty() else None
        done = patches = 0

        def advance(steps: int = 1, patches_done: int = 0) -> None:
            nonlocal done, patches
            done, patches = done + steps, patches + patches_done
            if bar is not None:
                speed = patches / (time.perf_counter() - start)
                bar.update(bar.task_ids[0], advance=steps, note=f"{speed:,.0f} patches/s" if patches else "")

        try:
            if bar is not None:
                bar.start()
            yield advance
        finally:
            if bar is not None:
                bar.stop()
            took = time.perf_counter() - start
            self.seconds[name] = round(self.seconds.get(name, 0.0) + took, 3)
        if self.show:
            self._line(name, done, unit, patches, took)

    def _bar(self, name: str, total: int | None, unit: str):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = [TextColumn("{task.description}"), BarColumn()]
        if total is not None:
            columns += [
                MofNCompleteColumn(),
                TextColumn(unit),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(),
            ]
        bar = Progress(*columns, console=Console(stderr=True), transient=True)
        bar.add_task(name, total=total, note="")
        return bar

    def _line(self, name: str, done: int, unit: str, patches: int, took: float) -> None:
        parts = [f"{done:,} {unit}"] if done else []
        parts += [f"{patches:,} patches", f"{patches / max(took, 1e-9):,.0f} patches/s"] if patches else []
        print(f"  {name:<24} {took:7.1f} s   {', '.join(parts)}".rstrip(), file=sys.stderr)
