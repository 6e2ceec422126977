"""The same patches again."""

from __future__ import annotations

import numpy as np

from harness.records import Arm, MultiVectors
from harness.vectors.fills.base import FILLS, Filler


@FILLS.register("repeat")
def repeat(vectors: MultiVectors, arm: Arm) -> Filler:
    """The document's own patches again, in order."""

    def draw(row: int, count: int) -> np.ndarray:
        own = vectors.of(row)[: arm.evidence]
        return own[np.arange(count) % len(own)]

    return draw
