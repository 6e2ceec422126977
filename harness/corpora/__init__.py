"""Corpora: one file per source. A dataset card, or a folder, is all it takes to add a dataset."""

import importlib
import pkgutil

from harness.corpora.base import SOURCES, Card, check, datasets, load

__all__ = ["SOURCES", "Card", "check", "datasets", "load"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
