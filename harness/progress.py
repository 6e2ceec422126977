"""Stages of a command: a progress bar while one runs, or a line now and then; its seconds kept for the manifest."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

Advance = Callable[..., None]
"""advance(steps=1, patches=0): that much more of the stage is done."""


class Stages:
    """Shows and times the stages of one command: on a terminal a bar, elsewhere a line at the end of each stage, and
    before that at every interval how far it is; silent if asked.

    interval: seconds; seconds: wall seconds by stage name, in the order they ran; core_seconds: what all threads of
    this process worked.
    """

    def __init__(self, show: bool = True, interval: float = 30.0):
        self.show, self.interval = show, interval
        self.seconds: dict[str, float] = {}
        self.core_seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str, total: int | None = None, unit: str = "") -> Iterator[Advance]:
        start, worked = time.perf_counter(), time.process_time()
        bar = self._bar(name, total, unit) if self.show and sys.stderr.isatty() else None
        stage = Stage(name, total, unit)

        def advance(steps: int = 1, patches_done: int = 0) -> None:
            stage.done, stage.patches = stage.done + steps, stage.patches + patches_done
            if bar is not None:
                speed = stage.patches / (time.perf_counter() - start)
                bar.update(bar.task_ids[0], advance=steps, note=f"{speed:,.0f} patches/s" if stage.patches else "")

        try:
            with bar or self._now_and_then(lambda: [stage.so_far()]):
                yield advance
        finally:
            took = max(time.perf_counter() - start, 1e-9)
            self.seconds[name] = round(self.seconds.get(name, 0.0) + took, 3)
            worked = time.process_time() - worked
            self.core_seconds[name] = round(self.core_seconds.get(name, 0.0) + worked, 3)
        if self.show:
            print(stage.line(took, stage.summary(took)), file=sys.stderr)

    def tell(self, line: str) -> None:
        """What a user should know and need not mend: one line, above a bar that is running."""
        if self.show:
            print(f"  {line}", file=sys.stderr)

    @contextmanager
    def rows(self, name: str, total: int) -> Iterator[Rows]:
        """A stage of several things at a time, ``total`` steps each: a bar for each that runs, a line when it ends."""
        start, bars = time.perf_counter(), self._bars() if self.show and sys.stderr.isatty() else None
        rows = Rows(total, bars, self.show)
        try:
            with bars or self._now_and_then(rows.so_far):
                yield rows
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 3)
        if self.show:
            print(Stage(name).line(self.seconds[name]), file=sys.stderr)

    def _now_and_then(self, lines: Callable[[], list[str]]) -> AbstractContextManager[None]:
        return every(self.interval, lines) if self.show else nullcontext()

    def _bars(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        known = TextColumn("{task.fields[note]}")
        columns = [TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), known, TimeRemainingColumn()]
        return Progress(*columns, console=Console(stderr=True), transient=True)

    def _bar(self, name: str, total: int | None, unit: str) -> Progress:
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


@contextmanager
def every(interval: float, lines: Callable[[], list[str]]) -> Iterator[None]:
    """Print lines at every interval of seconds, from a thread that has ended when the block has."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(interval):
            with suppress(OSError, ValueError):  # nobody reads any more
                sys.stderr.write("".join(f"{line}\n" for line in lines()))

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Stage:
    """How far one stage is, in the lines that say so."""

    def __init__(self, name: str, total: int | None = None, unit: str = ""):
        self.name, self.total, self.unit = name, total, unit
        self.done = self.patches = 0
        self.start = self.last_time = time.perf_counter()
        self.last_done = 0

    def so_far(self) -> str:
        """What is done, and from what was done since the last time: how fast, and the time left."""
        now, done = time.perf_counter(), self.done
        if self.total is None:
            parts = [f"{done:,} {self.unit} so far" if done else "still running"]
        else:
            parts = [f"{done:,} of {self.total:,} {self.unit}"]
        if rate := (done - self.last_done) / max(now - self.last_time, 1e-9):
            parts.append(f"{rate:,.{0 if rate >= 10 else 2}f} {self.unit}/s")
            parts += [f"{duration((self.total - done) / rate)} left"] if self.total and done < self.total else []
        self.last_done, self.last_time = done, now
        return self.line(now - self.start, parts)

    def summary(self, took: float) -> list[str]:
        """What was done, once the stage has ended."""
        parts = [f"{self.done:,} {self.unit}"] if self.done else []
        return parts + ([f"{self.patches:,} patches", f"{self.patches / took:,.0f} patches/s"] if self.patches else [])

    def line(self, took: float, parts: Sequence[str] = ()) -> str:
        return f"  {self.name:<24} {took:7.1f} s   {', '.join(parts)}".rstrip()


def duration(seconds: float) -> str:
    """A time as it is said: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


class Rows:
    """What runs side by side in a stage, by name; may be called from several threads."""

    def __init__(self, total: int, bars: Any, show: bool):
        self._total, self._bars, self._show = total, bars, show
        self._running: dict[str, tuple[Any, Stage]] = {}
        self._notes: dict[str, str] = {}

    def begin(self, name: str) -> None:
        task = self._bars.add_task(name, total=self._total, note="") if self._bars else None
        self._running[name] = task, Stage(name, self._total, "steps")

    def step(self, name: str, done: int, note: str) -> None:
        """So many steps are done; the note says what is known so far."""
        self._notes[name] = note
        task, stage = self._running[name]
        stage.done = done
        if self._bars:
            self._bars.update(task, completed=done, note=note)

    def so_far(self) -> list[str]:
        """How far each is that runs."""
        return [stage.so_far() for _, stage in list(self._running.values())]

    def end(self, name: str) -> None:
        task, stage = self._running.pop(name)
        line = stage.line(time.perf_counter() - stage.start, [note] if (note := self._notes.get(name)) else [])
        if self._bars:
            self._bars.console.print(line, highlight=False, markup=False)
            self._bars.remove_task(task)
        elif self._show:
            print(line, file=sys.stderr)
