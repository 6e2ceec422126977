"""Stages of a command: a progress bar while one runs, its seconds kept for the manifest."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

Advance = Callable[..., None]
"""advance(steps=1, patches=0): that much more of the stage is done."""


class Stages:
    """Shows and times the stages of one command. On a terminal a bar, elsewhere one line a stage; silent if asked.

    seconds: wall seconds by stage name, in the order they ran; core_seconds: what all threads of this process worked.
    """

    def __init__(self, show: bool = True):
        self.show = show
        self.seconds: dict[str, float] = {}
        self.core_seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str, total: int | None = None, unit: str = "") -> Iterator[Advance]:
        start, worked = time.perf_counter(), time.process_time()
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
            worked = time.process_time() - worked
            self.core_seconds[name] = round(self.core_seconds.get(name, 0.0) + worked, 3)
        if self.show:
            self._line(name, done, unit, patches, took)

    def tell(self, line: str) -> None:
        """What a user should know and need not mend: one line, above a bar that is running."""
        if self.show:
            print(f"  {line}", file=sys.stderr)

    @contextmanager
    def rows(self, name: str, total: int) -> Iterator[Rows]:
        """A stage of several things at a time, ``total`` steps each: a bar for each that runs, a line when it ends."""
        start, bars = time.perf_counter(), self._bars() if self.show and sys.stderr.isatty() else None
        try:
            with bars or nullcontext():
                yield Rows(total, bars, self.show)
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 3)
        if self.show:
            self._line(name, 0, "", 0, self.seconds[name])

    def _bars(self):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        known = TextColumn("{task.fields[note]}")
        columns = [TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), known, TimeRemainingColumn()]
        return Progress(*columns, console=Console(stderr=True), transient=True)

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


class Rows:
    """What runs side by side in a stage, by name; may be called from several threads."""

    def __init__(self, total: int, bars: Any, show: bool):
        self._total, self._bars, self._show = total, bars, show
        self._running: dict[str, tuple[Any, float]] = {}
        self._notes: dict[str, str] = {}

    def begin(self, name: str) -> None:
        task = self._bars.add_task(name, total=self._total, note="") if self._bars else None
        self._running[name] = (task, time.perf_counter())

    def step(self, name: str, done: int, note: str) -> None:
        """So many steps are done; the note says what is known so far."""
        self._notes[name] = note
        if self._bars:
            self._bars.update(self._running[name][0], completed=done, note=note)

    def end(self, name: str) -> None:
        task, began = self._running.pop(name)
        line = f"  {name:<24} {time.perf_counter() - began:7.1f} s   {self._notes.get(name, '')}"
        if self._bars:
            self._bars.console.print(line, highlight=False, markup=False)
            self._bars.remove_task(task)
        elif self._show:
            print(line, file=sys.stderr)
