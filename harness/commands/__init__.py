"""The commands, end to end: the only room that knows all others. One file a command, imported when it is asked for.

A command's file holds its Config, ``run(config, context)``, which answers it, and ``show(result, console)``, which
prints the answer and returns the exit code.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from inspect import Parameter, Signature
from inspect import signature as signature_of
from types import ModuleType
from typing import Any

from harness.options import Config, options

__all__ = ["NAMES", "SUMMARIES", "file", "function"]

SUMMARIES = {
    "eval": "Sweep document lengths: nDCG and recall by length, for each pool.",
    "stress": "Inject patches into irrelevant documents: what each pool retains.",
    "gradients": "Measure how concentrated each pool's gradient is on the patches.",
    "compare": "Compare runs or checkpoints with a baseline: differences and tests.",
    "report": "Show finished runs as tables, charts and a page.",
    "inspect": "Show what was read of a dataset: layout, files, counts, lengths, notes, rows.",
    "list": "List datasets, pools, fills, checkpoints, scorers and runs by name.",
    "train": "Fine-tune under a pool, and write a checkpoint that other programs load.",
    "synth": "Repeat the study's synthetic experiment: train, lengthen, attack.",
    "plan": "Predict what eval would cost on a corpus of any size: storage, memory, hours.",
    "audit": "Check a scorer, yours or a package's: which laws hold, and what breaks the others.",
}
"""Every command, in the order of ``harness --help``, with a line that says what it is for."""

NAMES = {"evaluate": "eval"}
"""What a command is called as a function, where its own name is taken by Python."""

GIVEN = {
    "Path": "str | Path",
    "Path | None": "str | Path | None",
    "tuple[int, ...]": "str | int | Sequence[int]",
    "tuple[str, ...]": "str | Sequence[str]",
}
"""What a function takes for a field of such a type, where that is more."""


def file(name: str) -> ModuleType:
    """The file of a command."""
    return importlib.import_module(f"harness.commands.{name}")


def function(name: str) -> Callable[..., Any]:
    """A command as a function of its options, as ``harness`` exports it."""
    module = file(NAMES.get(name, name))
    kind: type[Config] = module.CONFIG

    def call(*arguments: Any, progress: bool = False, **given: Any) -> Any:
        from harness.commands.context import begin

        config, context = begin(kind, arguments, given, progress)
        return module.run(config, context)

    lines = [f"{name}: {one.help}" for name, one in options(kind).items()]
    call.__doc__ = "\n".join([module.run.__doc__, "", *lines, "", "Raises HarnessError with every mistake found."])
    call.__name__ = call.__qualname__ = name
    call.__signature__ = signature(kind, module.run)  # type: ignore[attr-defined]
    return call


def signature(kind: type[Config], run: Callable[..., Any]) -> Signature:
    """What may be given: the options, with their defaults, and ``progress``."""
    takes, named = Parameter, []
    fields = {field.name: field for field in dataclasses.fields(kind)}
    several = [name for name, declared in options(kind).items() if declared.argument]
    for name in options(kind):
        if name not in several:
            given = GIVEN.get(str(fields[name].type), fields[name].type)
            named.append(takes(name, takes.KEYWORD_ONLY, default=fields[name].default, annotation=given))
    parameters = [*(takes(name, takes.VAR_POSITIONAL, annotation="str | Path") for name in several), *named]
    parameters.append(takes("progress", takes.KEYWORD_ONLY, default=False, annotation="bool"))
    return Signature(parameters, return_annotation=signature_of(run).return_annotation)
