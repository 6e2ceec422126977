"""Random directions."""

from __future__ import annotations

import numpy as np

from harness.randomness import generator
from harness.records import Arm, MultiVectors
from harness.vectors.fills.base import FILLS, Filler


@FILLS.register("gaussian")
def gaussian(vectors: MultiVectors, arm: Arm) -> Filler:
    """Random directions with the norms of the document's own patches."""

    def draw(row: int, count: int) -> np.ndarray:
        own = vectors.of(row)[: arm.evidence].astype(np.float32)
        norms = np.resize(np.linalg.norm(own, axis=1), count)
        directions = generator(arm.seed, "gaussian", vectors.ids[row]).standard_normal((count, vectors.dim), np.float32)
        directions *= (norms / np.linalg.norm(directions, axis=1))[:, None]
        return directions.astype(np.float16)

    return draw
