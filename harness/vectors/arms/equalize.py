"""The arm that makes all documents equally long."""

from __future__ import annotations

from dataclasses import replace

from harness.records import Arm
from harness.vectors.arms.base import ARMS


@ARMS.register("equalize")
def equalize(asked: Arm, shortest: int) -> Arm:
    """Own patches, then filler up to exactly L: every document the same length."""
    return replace(asked, evidence=None)
