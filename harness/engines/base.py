"""The registry of engines; each is made without arguments."""

from collections.abc import Callable

from harness.registry import Registry
from harness.scoring.sweep import Map

ENGINES: Registry[Callable[[], Map]] = Registry("engine")
