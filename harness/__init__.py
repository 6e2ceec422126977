"""What does the pooling operator of a late-interaction retriever cost as documents grow or get attacked?

``harness.evaluate(dataset="scifact", pool="maxsim", lengths=[32, 64, 128, 256])`` is ``harness eval`` as a function.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from harness.version import __version__

# MKL reads this at its first product: a row's product then has the same bits whatever the other rows and the threads
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__all__ = ["__version__", "compare", "evaluate", "gradients", "inspect", "plan", "report", "stress", "synth", "train"]
__all__ += ["save_vectors"]


def __getattr__(name: str) -> Callable[..., Any]:
    """A command as a function, made when it is first asked for: ``import harness`` stays instant."""
    if name == "save_vectors":
        from harness.encoders.saving import save_vectors

        return save_vectors
    if name in __all__[1:]:
        from harness import commands

        return commands.function(name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
