"""The arm that pads."""

from __future__ import annotations

from dataclasses import replace

from harness.records import Arm
from harness.vectors.arms.base import ARMS


@ARMS.register("pad")
def pad(asked: Arm, shortest: int) -> Arm:
    """Own patches cut to the evidence, then filler up to exactly L: evidence fixed, only length grows."""
    return replace(asked, evidence=asked.evidence or shortest)
