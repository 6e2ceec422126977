"""The patches nearest to each query token, from a FAISS index."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from harness import packages
from harness.candidates import faiss_index
from harness.candidates.base import Ranked, Search, Traits, filled, source
from harness.engines.base import serial
from harness.records import ties

PER_TOKEN = 256  # patches that a query token finds, and those that tie with the last of them
WIDEST, WIDEST_GPU = 1 << 16, 2048  # patches asked for, a query token, at most
BLOCK = 8  # queries a task

Near = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""A search: tokens (t, d) and how many patches are asked for → their similarities and numbers, each (t, asked)."""


def index_spec(search: Search) -> str:
    """The FAISS index: as asked, or by corpus size."""
    return faiss_index.resolve(search.index, *search.vectors.vectors.shape)


@source("faiss", Traits(packages=packages.FAISS, label=lambda search: f"faiss {index_spec(search)}"))
def faiss(search: Search) -> Ranked:
    """The patches nearest to each query token give their documents, ranked by an approximate MaxSim.

    A token that did not find a document counts as its weakest find, as in XTR (Lee et al., 2023).
    """
    spec = index_spec(search)
    rows = np.full((len(search.queries), search.depth + 1), -1, np.int64)
    with tempfile.TemporaryDirectory() as scratch:
        root = search.root if search.vectors.fingerprint else Path(scratch)
        path = faiss_index.fetch(spec, search.vectors, search.stages, root, search.engine, search.wide)
        moved, unmoved = faiss_index.placed(path, spec, search.device)
        near, engine = (
            (moved.search, serial) if moved else (functools.partial(faiss_index.nearest, path), search.engine)
        )
        tokens = np.asarray(search.queries.vectors[:], np.float32)
        ask = functools.partial(
            _ranked,
            near,
            WIDEST_GPU if moved else WIDEST,
            tokens,
            search.queries.offsets,
            search.vectors.offsets,
            ties(search.vectors.ids),
            search.depth + 1,
        )
        blocks = (range(first, min(first + BLOCK, len(rows))) for first in range(0, len(rows), BLOCK))
        with (
            search.stages("candidates: search", len(rows), "queries") as advance,
            threadpool_limits(1, user_api="blas"),
        ):
            for block, found in engine(ask, blocks):
                rows[block.start : block.stop] = found
                advance(len(block))
    return Ranked(rows, [*faiss_index.sampled(spec, search.vectors), *unmoved])


def _ranked(
    near: Near,
    widest: int,
    tokens: np.ndarray,
    bounds: np.ndarray,
    offsets: np.ndarray,
    places: np.ndarray,
    depth: int,
    queries: range,
) -> np.ndarray:
    """The best documents of some queries, int64 (queries, depth); bounds are of the tokens, offsets of the patches."""
    ranked, most = [], min(widest, int(offsets[-1]))
    for query in queries:
        mine, asked = tokens[bounds[query] : bounds[query + 1]], min(PER_TOKEN + 1, most)
        while True:
            scores, patches = near(mine, asked)  # each (t, asked)
            least = scores[:, :PER_TOKEN].min(axis=1, keepdims=True, where=patches[:, :PER_TOKEN] >= 0, initial=np.inf)
            documents, gains = _gains(scores - least, np.where(scores >= least, patches, -1), offsets)
            tied = (patches[:, -1] >= 0) & (scores[:, -1] == least[:, 0])
            if asked == most or (gains > 0).sum() >= depth or not tied.any():
                break
            asked = min(8 * asked, most)  # what ties with the last find gains nothing, but may be among the best
        ranked.append(documents[np.lexsort((places[documents], -gains))])
    return filled(ranked, depth)


def _gains(gain: np.ndarray, patches: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Documents found by a query's tokens, int64 (n), and the sums of their best gains, (n): both (t, asked), a patch
    −1 where there is none."""
    documents = np.searchsorted(offsets, patches.ravel(), side="right") - 1
    gain, token = gain.ravel(), np.repeat(np.arange(len(patches)), patches.shape[1])
    real = np.flatnonzero(patches.ravel() >= 0)
    best = real[np.lexsort((-gain[real], documents[real], token[real]))]
    first = np.ones(len(best), bool)  # of each (token, document): the best patch
    first[1:] = (np.diff(token[best]) != 0) | (np.diff(documents[best]) != 0)
    ranked, at = np.unique(documents[best[first]], return_inverse=True)
    return ranked, np.bincount(at, gain[best[first]], minlength=len(ranked))
