"""The local engine: one thread a core, in this process. Kernels release the interpreter's lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from harness.engines.base import ENGINES
from harness.scoring.sweep import Run


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@ENGINES.register("local")
@dataclass(frozen=True)
class Local:
    """Runs are handed out as threads come free; only a few are waiting at a time."""

    threads: int = field(default_factory=cores)

    def __call__(self, score: Callable[[Run], np.ndarray], runs: Iterable[Run]) -> Iterator[tuple[Run, np.ndarray]]:
        pool = ThreadPoolExecutor(self.threads)
        waiting: deque = deque()
        try:
            for run in runs:
                waiting.append((run, pool.submit(score, run)))
                if len(waiting) > self.threads:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
