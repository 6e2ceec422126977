"""The arm that cuts."""

from __future__ import annotations

from dataclasses import replace

from harness.records import Arm
from harness.vectors.arms.base import ARMS


@ARMS.register("truncate")
def truncate(asked: Arm, shortest: int) -> Arm:
    """Own patches cut to L, no filler: evidence grows with L."""
    return replace(asked, evidence=None, fill=None)
