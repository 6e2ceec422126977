"""A document's stream of patches under an arm: its own, then filler. Knows nothing of scoring.

A document at length L is a prefix of itself at any longer length, so one stream serves a whole sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import DataError
from harness.records import Arm, MultiVectors
from harness.vectors.fills import FILLS, Filler


@dataclass(frozen=True)
class Streams:
    """The patch streams of a corpus under one arm, cut at the given lengths, int64 (L).

    own: most own patches in a stream. Counts are made for the rows asked for: nothing is held of every document.
    """

    vectors: MultiVectors
    cuts: np.ndarray
    own: int
    draw: Filler | None

    def own_counts(self, rows: np.ndarray | int) -> np.ndarray:
        """Own patches in the streams of some documents, int64 like rows."""
        return np.asarray(np.minimum(self.vectors.sizes(rows), self.own))

    def counts(self, rows: np.ndarray | int) -> np.ndarray:
        """Patches of some documents at each length, int64 (…, L)."""
        if self.draw is None:
            return np.asarray(np.minimum(self.vectors.sizes(rows)[..., None], self.cuts))
        return np.broadcast_to(self.cuts, (*np.shape(rows), len(self.cuts)))

    def fillers(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the longest length of some documents holds beyond their own patches, one document's after another's,
        float16 (F, d), and where each begins and ends, int64 (n + 1)."""
        missing = self.counts(rows)[:, -1] - self.own_counts(rows)
        drawn = [np.empty((0, self.vectors.dim), np.float16)]
        if self.draw is None:
            missing = np.zeros_like(missing)
        else:
            drawn += [self.draw(int(row), int(count)) for row, count in zip(rows, missing, strict=True) if count]
        return np.concatenate(drawn), np.concatenate([[0], np.cumsum(missing)])

    def filler(self, row: int) -> np.ndarray:
        """Filler of one document, float16 (f, d)."""
        return self.fillers(np.array([row]))[0]

    def of(self, row: int) -> np.ndarray:
        """The whole stream of one document, float16 (p, d)."""
        return np.concatenate([self.vectors.of(row)[: self.own_counts(row)], self.filler(row)])

    def summary(self, rows: np.ndarray) -> list[dict[str, float]]:
        """Patch counts really scored at each length over the given documents: mean, least, most, share of filler."""
        counts = self.counts(rows)
        filler = np.maximum(counts - self.own_counts(rows)[:, None], 0)
        return [
            {
                "patches_mean": round(float(counts[:, at].mean()), 2),
                "patches_min": int(counts[:, at].min()),
                "patches_max": int(counts[:, at].max()),
                "filler_share": round(float(filler[:, at].sum() / counts[:, at].sum()), 4),
            }
            for at in range(counts.shape[1])
        ]


def streams(vectors: MultiVectors, arm: Arm, lengths: Sequence[int]) -> Streams:
    """Streams of every document under an arm. Raises DataError on a document without a patch."""
    empty = np.flatnonzero(vectors.counts == 0)
    if len(empty):
        raise DataError(f"{len(empty):,} documents have no patch, such as {vectors.ids[empty[0]]!r}; remove them")
    cuts = np.sort(np.asarray(lengths, np.int64))
    own = int(cuts[-1] if arm.evidence is None else min(arm.evidence, cuts[-1]))
    return Streams(vectors, cuts, own, FILLS[arm.fill](vectors, arm) if arm.fill else None)
