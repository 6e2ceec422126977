"""Injections: patches for documents that are not relevant. To add a kind, add a file here; nothing else."""

import importlib
import pkgutil

from harness.vectors.injections.base import INJECTIONS, Injection

__all__ = ["INJECTIONS", "Injection"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
