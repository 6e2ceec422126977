"""Zero vectors."""

from __future__ import annotations

import numpy as np

from harness.records import Arm, MultiVectors
from harness.vectors.fills.base import FILLS, Filler


@FILLS.register("zero")
def zero(vectors: MultiVectors, arm: Arm) -> Filler:
    """Unmasked zero vectors, the artefact of padding without a mask, on purpose."""

    def draw(row: int, count: int) -> np.ndarray:
        return np.zeros((count, vectors.dim), np.float16)

    return draw
