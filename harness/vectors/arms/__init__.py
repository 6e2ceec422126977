"""Arms: how a document's stream of patches goes on as it grows. To add one, add a file here; nothing else."""

import importlib
import pkgutil

from harness.vectors.arms.base import ARMS, WHOLE, claim, make_arm

__all__ = ["ARMS", "WHOLE", "claim", "make_arm"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
