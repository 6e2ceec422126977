"""Encoders: one file per model family, recognised from the files of a checkpoint."""

import importlib
import pkgutil

from harness.encoders.base import DTYPES, EMBEDDED, FAMILIES, NAMED, Encoder, accept, check, load, names, settle

__all__ = ["DTYPES", "EMBEDDED", "FAMILIES", "NAMED", "Encoder", "accept", "check", "load", "names", "settle"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
