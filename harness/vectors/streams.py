"""Arms and fills: how a document's patch stream goes on. Knows nothing of scoring.

A document at length L is a prefix of itself at any longer length, so one stream serves a whole sweep. Filler is a
function of the seed and the document's id (and, for ``distractor`` and ``repeat``, of the corpus) alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import DataError, OptionError, unknown
from harness.randomness import generator
from harness.records import Arm, MultiVectors
from harness.registry import Registry

ARMS = {
    "truncate": "own patches cut to L, no filler: evidence grows with L",
    "pad": "own patches cut to the evidence, then filler up to exactly L: evidence fixed, only length grows",
    "equalize": "own patches, then filler up to exactly L: every document the same length",
}
BANK = 1 << 16  # patches that distractors are drawn from: enough to rarely repeat, few enough to keep in memory

Filler = Callable[[int, int], np.ndarray]
"""(document row, count) → float16 (count, d); a longer draw begins with the shorter one."""

FILLS: Registry[Callable[[MultiVectors, Arm], Filler]] = Registry("fill")


def make_arm(name: str, lengths: Sequence[int], evidence: int | None, fill: str, seed: int) -> Arm:
    """The arm of that name; evidence defaults to the shortest length. Raises OptionError on an unknown name."""
    if name not in ARMS:
        raise OptionError(unknown("arm", name, ARMS))
    if name == "truncate":
        return Arm(name, evidence=None, fill=None, seed=seed)
    FILLS[fill]
    return Arm(name, evidence=(evidence or min(lengths)) if name == "pad" else None, fill=fill, seed=seed)


@dataclass(frozen=True)
class Streams:
    """The patch streams of a corpus under one arm, cut at the given lengths, int64 (L).

    own: most own patches in a stream. Counts are made for the rows asked for: nothing is held of every document.
    """

    vectors: MultiVectors
    cuts: np.ndarray
    own: int
    draw: Filler | None

    def kept(self, rows: np.ndarray | int) -> np.ndarray:
        """Own patches in the streams of some documents, int64 like rows."""
        return np.minimum(self.vectors.sizes(rows), self.own)

    def counts(self, rows: np.ndarray | int) -> np.ndarray:
        """Patches of some documents at each length, int64 (…, L)."""
        if self.draw is None:
            return np.minimum(self.vectors.sizes(rows)[..., None], self.cuts)
        return np.broadcast_to(self.cuts, (*np.shape(rows), len(self.cuts)))

    def fillers(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the longest length of some documents holds beyond their own patches, one document's after another's,
        float16 (F, d), and where each begins and ends, int64 (n + 1)."""
        missing = self.counts(rows)[:, -1] - self.kept(rows)
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
        return np.concatenate([self.vectors.of(row)[: self.kept(row)], self.filler(row)])

    def summary(self, rows: np.ndarray) -> list[dict[str, float]]:
        """Patch counts really scored at each length over the given documents: mean, least, most, share of filler."""
        counts = self.counts(rows)
        filler = np.maximum(counts - self.kept(rows)[:, None], 0)
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
        return bank[drawn[:count]]

    return draw


@FILLS.register("gaussian")
def gaussian(vectors: MultiVectors, arm: Arm) -> Filler:
    """Random directions with the norms of the document's own patches."""

    def draw(row: int, count: int) -> np.ndarray:
        own = vectors.of(row)[: arm.evidence].astype(np.float32)
        norms = np.resize(np.linalg.norm(own, axis=1), count)
        directions = generator(arm.seed, "gaussian", vectors.ids[row]).standard_normal((count, vectors.dim), np.float32)
        return (directions * (norms / np.linalg.norm(directions, axis=1))[:, None]).astype(np.float16)

    return draw


@FILLS.register("repeat")
def repeat(vectors: MultiVectors, arm: Arm) -> Filler:
    """The document's own patches again, in order."""

    def draw(row: int, count: int) -> np.ndarray:
        own = vectors.of(row)[: arm.evidence]
        return own[np.arange(count) % len(own)]

    return draw


@FILLS.register("zero")
def zero(vectors: MultiVectors, arm: Arm) -> Filler:
    """Unmasked zero vectors, the artefact of padding without a mask, on purpose."""

    def draw(row: int, count: int) -> np.ndarray:
        return np.zeros((count, vectors.dim), np.float16)

    return draw
