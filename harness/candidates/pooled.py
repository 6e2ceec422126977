"""A single vector per document."""

from __future__ import annotations

import functools
import itertools

import numpy as np

from harness.candidates.base import SOURCES, Ranked, Search, best
from harness.engines.base import Map, serial
from harness.records import MultiVectors, ties
from harness.vectors.shards import part, stream

SCORES = 1 << 24  # similarities of pooled vectors held at once
WIDENED = 1 << 16  # pooled vectors held in float64 at once


@SOURCES.register("pooled")
def pooled(search: Search) -> Ranked:
    """The ranking by one vector an item: the normalised mean of its patches, by inner product, exact."""
    found, places = [], ties(search.vectors.ids)
    with search.stages("candidates: pooled", len(search.dataset.queries), "queries") as advance:
        asked, means = mean_vectors(search.queries), mean_vectors(search.vectors, search.engine)
        together = max(1, SCORES // len(means))
        for start in range(0, len(asked), together):
            found.append(best(_products(asked[start : start + together], means), places, search.depth + 1))
            advance(len(found[-1]))
    return Ranked(np.concatenate(found))


def _products(asked: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Inner products, float32 (Q, n), of sums in float64: equal vectors tie, wherever in a block of BLAS they stand."""
    wide, products = asked.astype(np.float64), np.empty((len(asked), len(means)), np.float32)
    for start in range(0, len(means), WIDENED):
        products[:, start : start + WIDENED] = wide @ means[start : start + WIDENED].T.astype(np.float64)
    return products


def mean_vectors(vectors: MultiVectors, engine: Map = serial) -> np.ndarray:
    """Normalised mean of each item's patches, float32 (n, d), read one shard at a time."""
    sums = np.empty((len(vectors), vectors.dim), np.float32)
    shards = ((number, begin, len(block)) for number, (begin, block) in enumerate(stream(vectors)))
    for (_, begin, count), found in engine(functools.partial(_sums, vectors), shards):
        first, last = np.searchsorted(vectors.offsets, [begin, begin + count])
        sums[first:last] = found
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return sums


def _sums(vectors: MultiVectors, shard: tuple[int, int, int]) -> np.ndarray:
    """Sum of the patches of each item that begins in a shard, float32 (items, d)."""
    number, begin, count = shard
    block, (first, last) = part(vectors, number), np.searchsorted(vectors.offsets, [begin, begin + count])
    bounds = vectors.offsets[first : last + 1] - begin
    return np.stack([block[start:stop].astype(np.float32).sum(0) for start, stop in itertools.pairwise(bounds)])
