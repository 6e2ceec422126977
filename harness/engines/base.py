"""The registry of engines; each is made without arguments, or with the ``address`` of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from harness.registry import Registry
from harness.work import Map


class Engine(Protocol):
    """A Map for work of one thread; ``wide`` is one for work that keeps all of a machine's cores busy by itself, such
    as an encoder's, or None where that is done here, one item after the other."""

    @property
    def wide(self) -> Map | None: ...

    def __call__(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[tuple[Any, Any]]: ...


ENGINES: Registry[Callable[..., Engine]] = Registry("engine")
