"""The registry of engines; each is made without arguments, or with the ``address`` of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from harness.registry import Registry

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[tuple[Any, Any]]]
"""An engine: calls the function on every item, such as a Run, and yields items with what it gave, in any order.

A function and items that go to another process are pickled: vectors of the store go as the paths of their shards.
"""


def serial(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """The plainest engine: one item after the other."""
    return ((item, work(item)) for item in items)


class Engine(Protocol):
    """A Map for work of one thread; ``wide`` is one for work that keeps all of a machine's cores busy by itself, such
    as an encoder's, or None where that is done here, one item after the other."""

    @property
    def wide(self) -> Map | None: ...

    def __call__(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[tuple[Any, Any]]: ...


ENGINES: Registry[Callable[..., Engine]] = Registry("engine")
