"""The registry of arms, and an arm from what is asked of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from harness.records import Arm
from harness.registry import Registry
from harness.vectors.fills import FILLS

ARMS: Registry[Callable[[Arm, int], Arm]] = Registry("arm")
"""(arm as asked, shortest length of the sweep) → the arm. The first line of the docstring says what reports print."""

WHOLE = Arm("truncate", None, None)
"""Every document's own patches, up to the longest length."""


def make_arm(name: str, lengths: Sequence[int], evidence: int | None, fill: str, seed: int) -> Arm:
    """The arm of that name; evidence None leaves the choice to it. Raises OptionError on an unknown arm or fill."""
    arm = ARMS[name](Arm(name, evidence, fill, seed), min(lengths))
    if arm.fill is not None:
        FILLS[arm.fill]
    return arm


def claim(name: str) -> str:
    """What an arm does, as the middle of a sentence."""
    first = (inspect.getdoc(ARMS[name]) or "").partition("\n")[0].removesuffix(".")
    return first[:1].lower() + first[1:]
