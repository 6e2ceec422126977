"""What is scored: the same work for everyone, from a seed. It needs numpy alone, so that other environments run it."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

QUERIES, CANDIDATES, DOCUMENTS = 300, 100, 5183
LENGTHS = [32, 64, 128, 256]
COUNTS = Path(__file__).with_name("scifact_counts.json")  # patches and tokens of SciFact under MiniLM, by quantile


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def own_cache(place: Path) -> dict[str, str]:
    """The environment of a run with a cache of its own, but for compiled code, which is no part of what is timed."""
    from harness.files import cache_folder

    compiled = os.environ.get("NUMBA_CACHE_DIR") or str(cache_folder())
    return {**os.environ, "HARNESS_CACHE": str(place / "cache"), "NUMBA_CACHE_DIR": compiled}


@dataclass(frozen=True)
class Work:
    """documents, tokens: float16 (Σp, d) and (Σt, d), unit vectors, their offsets; rows: int64 (Q, C) of candidates."""

    name: str
    documents: np.ndarray
    offsets: np.ndarray
    tokens: np.ndarray
    token_offsets: np.ndarray
    rows: np.ndarray

    @functools.cached_property
    def wide(self) -> tuple[np.ndarray, np.ndarray]:
        """Documents and tokens as float32."""
        return self.documents.astype(np.float32), self.tokens.astype(np.float32)

    def document(self, row: int) -> np.ndarray:
        """A document's patches at the longest length, float32 (p, d)."""
        return self.wide[0][self.offsets[row] : min(self.offsets[row + 1], self.offsets[row] + LENGTHS[-1])]

    def query(self, at: int) -> np.ndarray:
        """A query's tokens, float32 (t, d)."""
        return self.wide[1][self.token_offsets[at] : self.token_offsets[at + 1]]

    @property
    def flops(self) -> float:
        """Of the products of one cell at the longest length: two for each token, patch and dimension."""
        patches = np.minimum(np.diff(self.offsets), LENGTHS[-1])[self.rows].sum(1)
        return float(2 * (np.diff(self.token_offsets) * patches).sum() * self.documents.shape[1])


def uniform() -> Work:
    """256 patches a document, 32 tokens a query, 128 dimensions."""
    return _work("uniform, 128 dimensions", np.full(DOCUMENTS, 256), np.full(QUERIES, 32), 128)


def ragged() -> Work:
    """As many patches and tokens as SciFact's documents and claims have, 384 dimensions."""
    quantiles = json.loads(COUNTS.read_text())
    random = np.random.default_rng(1)

    def drawn(kind: str, size: int) -> np.ndarray:
        held = np.array(quantiles[kind], float)
        made = np.interp(np.linspace(0, 1, size), np.linspace(0, 1, len(held)), held)
        return random.permutation(np.rint(made).astype(np.int64))

    return _work("ragged, 384 dimensions", drawn("documents", DOCUMENTS), drawn("queries", QUERIES), 384)


def _work(name: str, patches: np.ndarray, tokens: np.ndarray, dim: int) -> Work:
    random = np.random.default_rng(0)
    parts, offsets = [], []
    for counts in (patches, tokens):
        offsets.append(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
        vectors = random.standard_normal((int(counts.sum()), dim), np.float32)
        parts.append((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16))
    rows = np.stack([random.choice(len(patches), CANDIDATES, replace=False) for _ in range(len(tokens))])
    return Work(name, parts[0], offsets[0], parts[1], offsets[1], rows)


def products(work: Work) -> Callable[[], None]:
    """The floor's multiplications alone: a document's patches by the stacked tokens of its queries, one thread a core.

    Operands are float32 and contiguous before the clock starts.
    """
    pairs = []
    order = np.argsort(work.rows, axis=None, kind="stable")
    documents, queries = work.rows.ravel()[order], order // work.rows.shape[1]
    for row, first, count in zip(*np.unique(documents, return_index=True, return_counts=True), strict=True):
        stacked = np.concatenate([work.query(at) for at in queries[first : first + count]])
        pairs.append((work.document(row), stacked))
    most = max(len(patches) * len(stacked) for patches, stacked in pairs)

    def part(start: int) -> None:
        mine = np.empty(most, np.float32)
        for patches, stacked in pairs[start :: cores()]:
            size = len(patches) * len(stacked)
            np.matmul(patches, stacked.T, out=mine[:size].reshape(len(patches), -1))

    def multiply() -> None:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores()) as pool:
            list(pool.map(part, range(cores())))

    return multiply
