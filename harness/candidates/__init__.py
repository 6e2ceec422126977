"""The documents reranked for each query. To add a source, add a file here; nothing else."""

import importlib
import pkgutil

from harness.candidates.base import SOURCES, Search, fingerprints, parse, short, usage
from harness.candidates.search import find

__all__ = ["SOURCES", "Search", "find", "fingerprints", "parse", "short", "usage"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
