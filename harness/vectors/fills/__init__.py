"""Fills: what follows a document's own patches. To add one, add a file here; nothing else."""

import importlib
import pkgutil

from harness.vectors.fills.base import FILLS, Filler

__all__ = ["FILLS", "Filler"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
