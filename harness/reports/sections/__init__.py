"""From a finished run to what a report holds of it: one file a command, registered under the command's name."""

import importlib
import pkgutil

from harness.reports.sections.base import SECTIONS, section

__all__ = ["SECTIONS", "section"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
