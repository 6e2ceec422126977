"""What an attack injects: similarities of each query's bank of patches, and which of them a pair receives."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.records import Arm, MultiVectors
from harness.vectors.injections.base import Injection
from harness.vectors.streams import Streams, streams


@dataclass(frozen=True)
class Attack:
    """What all tasks of an attack share.

    query_streams: uint64 (Q), see Injection.stream; tokens: float32 (T, d) of all queries; bounds: int64 (Q + 1), where
    queries begin; packed: of amx.packed, or empty; banks: float32 (Σ BANK·t), the bank of query q from BANK·bounds[q]
    on, each patch's similarities to the query's tokens side by side. The device that multiplies has tokens and banks.
    """

    injection: Injection
    vectors: MultiVectors
    query_streams: np.ndarray
    tokens: Any
    bounds: np.ndarray
    packed: np.ndarray
    banks: Any

    def picks(self, queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """The bank patches that pairs of rows (N) receive: int64 (N, largest count)."""
        rows, place = np.unique(documents, return_inverse=True)
        document_streams = np.array([self.injection.stream(self.vectors.ids[row]) for row in rows], np.uint64)
        return self.injection.picks(self.query_streams[queries], document_streams[place])

    @functools.cached_property
    def whole(self) -> Streams:
        """Every document's own patches, all of them."""
        return streams(self.vectors, Arm("truncate", None, None), [int(self.vectors.counts.max())])


def corpus_norm(vectors: MultiVectors) -> float:
    """Mean norm of the corpus's first patches: what injected patches are given too. 1 for normalising encoders."""
    return float(np.linalg.norm(np.asarray(vectors.vectors[: 1 << 12], np.float32), axis=1).mean())


def banks(injection: Injection, queries: MultiVectors, tokens: np.ndarray, norm: float) -> np.ndarray:
    """Similarities of every query's bank to its tokens, as ``Attack`` holds them."""
    parts = []
    for row, name in enumerate(queries.ids):
        own = tokens[queries.offsets[row] : queries.offsets[row + 1]]
        parts.append((injection.bank(name, own, norm) @ own.T).ravel())
    return np.concatenate(parts)
