"""Patches of other documents."""

from __future__ import annotations

import numpy as np

from harness.errors import DataError
from harness.randomness import generator
from harness.records import Arm, MultiVectors
from harness.vectors.fills.base import FILLS, Filler

BANK = 1 << 16  # patches that distractors are drawn from: enough to rarely repeat, few enough to keep in memory


@FILLS.register("distractor")
def distractor(vectors: MultiVectors, arm: Arm) -> Filler:
    """Patches of other documents of the corpus, drawn at random from a bank of at most 65,536 of them."""
    if len(vectors) < 2:
        raise DataError("fill 'distractor' takes patches of other documents, and the corpus has one; use gaussian")
    total = int(vectors.offsets[-1])
    picks = generator(arm.seed, "bank").choice(total, min(BANK, total), replace=False, shuffle=False)
    picks.sort()
    bank, owner = vectors.vectors[picks], np.searchsorted(vectors.offsets, picks, side="right") - 1
    lone = len(np.unique(owner)) < 2

    def draw(row: int, count: int) -> np.ndarray:
        if lone and owner[0] == row:
            raise DataError(f"no patch of a document other than {vectors.ids[row]!r} to fill with; use gaussian")
        random = generator(arm.seed, "distractor", vectors.ids[row])
        drawn = np.empty(0, np.int64)
        while len(drawn) < count:
            more = random.integers(0, len(bank), size=max(64, count))
            drawn = np.concatenate([drawn, more[owner[more] != row]])
        return np.asarray(bank[drawn[:count]])

    return draw
