"""The local engine: one thread a core, in this process. Kernels release the interpreter's lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.engines.base import ENGINES

WAITING = 3  # items a thread that are handed out before the first must be back


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@ENGINES.register("local")
@dataclass(frozen=True)
class Local:
    """Items are handed out as threads come free; only a few are waiting at a time. They come back in order."""

    threads: int = field(default_factory=cores)
    wide: ClassVar[None] = None

    def __call__(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        pool = ThreadPoolExecutor(self.threads, "engine")
        waiting: deque[tuple[Any, Future[Any]]] = deque()
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > WAITING * self.threads:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # nothing waits if all went well, and Ctrl-C need not
