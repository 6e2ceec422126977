"""Compiled reduces of the built-in operators, one file each. An operator without one runs through its torch functions.

A kernel works on a whole block with the query tokens as SIMD lanes, so that similarities are read row by row while
they are in cache. Kernels are functions of arrays: no Python objects, no allocation.
"""

import importlib
import pkgutil

from harness.scoring.kernels.base import KERNELS, Kernel, kernel_of

__all__ = ["KERNELS", "Kernel", "kernel_of"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
