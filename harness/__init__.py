"""What does the pooling of a late-interaction retriever cost as documents grow, or under attack?

``harness.evaluate(dataset="scifact", pool="maxsim", lengths=[32, 64, 128, 256])`` is ``harness eval`` as a function.
``help(harness.evaluate)`` shows every option; ``harness/__init__.pyi`` shows them to an editor.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from harness.version import __version__

# MKL reads this at its first product: a row's product then has the same bits whatever the other rows and the threads
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

COMMANDS = ("compare", "evaluate", "gradients", "inspect", "plan", "report", "stress", "synth", "train")
"""Commands as functions: made when they are first asked for, so that ``import harness`` stays instant."""

TYPES = {
    "Aggregator": "harness.aggregators.base",
    "Comparison": "harness.commands.compare",
    "DataError": "harness.errors",
    "Dataset": "harness.records",
    "Document": "harness.records",
    "HarnessError": "harness.errors",
    "Inspection": "harness.corpora.inspection",
    "Manifest": "harness.records",
    "MultiVectors": "harness.records",
    "OptionError": "harness.errors",
    "Plan": "harness.planning.estimate",
    "Query": "harness.records",
    "Report": "harness.reports.content",
    "Result": "harness.records",
    "Study": "harness.commands.synth",
    "Training": "harness.commands.train",
    "save_vectors": "harness.encoders.saving",
}
"""What these functions take and return, what they raise, and what needs no command, by the file that defines it."""

__all__ = ["__version__", *COMMANDS, *TYPES]


def __getattr__(name: str) -> Any:
    if name in COMMANDS:
        from harness import commands

        return commands.function(name)
    if name in TYPES:
        return getattr(importlib.import_module(TYPES[name]), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
