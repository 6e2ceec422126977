"""The registry of engines; each is made without arguments."""

from harness.registry import Registry
from harness.scoring.sweep import Map

ENGINES: Registry[type[Map]] = Registry("engine")
