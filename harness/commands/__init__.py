"""The commands, end to end: the only room that knows all others. One file a command, imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.commands.compare import compare
    from harness.commands.eval import evaluate
    from harness.commands.gradients import gradients
    from harness.commands.inspect import inspect
    from harness.commands.plan import plan
    from harness.commands.report import report
    from harness.commands.stress import stress
    from harness.commands.synth import synth
    from harness.commands.train import train

__all__ = ["compare", "evaluate", "gradients", "inspect", "plan", "report", "stress", "synth", "train"]

FILES = {"compare": "compare", "evaluate": "eval", "gradients": "gradients", "inspect": "inspect"}
FILES |= {"plan": "plan", "report": "report", "stress": "stress", "synth": "synth", "train": "train"}


def __getattr__(name: str):
    """Import a command's file when it is first asked for: a report needs no model."""
    if name in FILES:
        return getattr(importlib.import_module(f"harness.commands.{FILES[name]}"), name)
    raise AttributeError(f"module 'harness.commands' has no attribute {name!r}")
