"""An engine that keeps what it gave on disk, so that a pass that was cut off goes on from there."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from harness.engines.base import Map
from harness.files import sealed, unsealed

EVERY = 1.0  # seconds of work that may be lost, beside what is in flight; a pass shorter than that writes nothing


class Kept:
    """Another engine's results, arrays or tuples of them, kept by their place in the order of the items.

    folder: of this pass alone; the same items come again in the same order, call by call. Order of results is free.
    """

    def __init__(self, engine: Map, folder: Path):
        self.engine, self.folder, self.calls = engine, folder, itertools.count()

    def __call__(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        call = next(self.calls)
        known, ready = self._known(call), deque[tuple[Any, Any]]()
        fresh: dict[int, Any] = {}
        last = time.monotonic()

        def remaining() -> Iterator[tuple[int, Any]]:
            for number, item in enumerate(items):
                if number in known:
                    ready.append((item, known.pop(number)))
                else:
                    yield number, item

        for (number, item), result in self.engine(lambda one: work(one[1]), remaining()):
            while ready:
                yield ready.popleft()
            fresh[number] = result
            if time.monotonic() - last >= EVERY:
                self._keep(call, fresh)
                last = time.monotonic()
            yield item, result
        if fresh and self.folder.exists():
            self._keep(call, fresh)
        yield from ready

    def _keep(self, call: int, fresh: dict[int, Any]) -> None:
        """One more file: of every item's results one array or more, named by the item's number and theirs."""
        named: dict[str, np.ndarray] = {}
        for number, result in fresh.items():
            parts = result if isinstance(result, tuple) else (result,)
            named |= {f"{number}.{len(parts)}.{at}": np.ascontiguousarray(part) for at, part in enumerate(parts)}
        with sealed(self.folder / f"{call}-{min(fresh)}.safetensors") as write:
            write(save(named))
        fresh.clear()

    def _known(self, call: int) -> dict[int, Any]:
        """What was kept, by number; a damaged file is as if it were not there."""
        results: dict[int, Any] = {}
        for path in self.folder.glob(f"{call}-*.safetensors"):
            content = unsealed(path)
            named = load(content) if content is not None else {}
            for name in named:
                number, count, at = map(int, name.split("."))
                if at == 0:
                    parts = tuple(named[f"{number}.{count}.{one}"] for one in range(count))
                    results[number] = parts if count > 1 else parts[0]
        return results
