"""The commands, end to end: the only room that knows all others. One file a command, imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.pipeline.comparing import compare
    from harness.pipeline.evaluation import evaluate
    from harness.pipeline.inspecting import inspect
    from harness.pipeline.mechanism import gradients
    from harness.pipeline.planning import plan
    from harness.pipeline.reporting import report
    from harness.pipeline.robustness import stress
    from harness.pipeline.study import synth
    from harness.pipeline.tuning import train

__all__ = ["compare", "evaluate", "gradients", "inspect", "plan", "report", "stress", "synth", "train"]

FILES = {"compare": "comparing", "evaluate": "evaluation", "gradients": "mechanism", "inspect": "inspecting"}
FILES |= {"plan": "planning", "report": "reporting", "stress": "robustness", "synth": "study", "train": "tuning"}


def __getattr__(name: str):
    """Import a command's file when it is first asked for: a report needs no model."""
    if name in FILES:
        return getattr(importlib.import_module(f"harness.pipeline.{FILES[name]}"), name)
    raise AttributeError(f"module 'harness.pipeline' has no attribute {name!r}")
