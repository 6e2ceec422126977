"""Engines: where the runs of a sweep are scored. An engine is called as ``engine(score, runs)`` and yields
``(run, scores)`` pairs in any order."""

import importlib
import pkgutil

from harness.engines.base import ENGINES, Engine

__all__ = ["ENGINES", "Engine"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
