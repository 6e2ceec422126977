"""How work is handed out: an engine calls a function on every item, here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[tuple[Any, Any]]]
"""An engine: calls the function on every item, such as a Run, and yields items with what it gave, in any order.

A function and items that go to another process are pickled: vectors of the store go as the paths of their shards.
"""


def serial(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """The plainest engine: one item after the other."""
    return ((item, work(item)) for item in items)
