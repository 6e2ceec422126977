"""Patches injected into documents that are not relevant: an attack on a query, or its control.

A query has a bank of injected patches, a function of the seed and the query's id; a document draws its own stream from
the bank, a function of the seed and the two ids. So similarities to injected patches are computed once a query, and a
count K is a prefix of any larger count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.randomness import generator
from harness.registry import Registry

BANK = 1024  # patches a query's bank holds
SHIFT = np.uint64(54)  # leaves numbers below BANK of 64 bits
STEP = np.uint64(0x9E3779B97F4A7C15)  # between two states of a SplitMix64 generator


@dataclass(frozen=True)
class Injection:
    """What is injected, how often, and how strong: ``cosine`` to the target token, ``tokens`` mixed in a spike."""

    kind: str
    counts: tuple[int, ...]
    cosine: float = 0.6
    tokens: int = 4
    seed: int = 0

    def bank(self, query_id: str, tokens: np.ndarray, norm: float) -> np.ndarray:
        """The query's bank, float32 (BANK, d), every patch of the given norm. tokens: float32 (t, d)."""
        made = INJECTIONS[self.kind](self, tokens, generator(self.seed, "bank", self.kind, query_id))
        return np.float32(norm) * unit(made)

    def stream(self, name: str) -> np.uint64:
        """What a query's or a document's id brings to the picks of their pairs."""
        return generator(self.seed, self.kind, name).integers(0, 2**64, dtype=np.uint64)

    def picks(self, queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """Which patches of the bank pairs receive, in order, from their ids' streams (N): int64 (N, largest count).

        A SplitMix64 generator a pair, its highest bits.
        """
        states = _mixed(queries ^ _mixed(documents))[:, None] + STEP * np.arange(
            1, max(self.counts) + 1, dtype=np.uint64
        )
        return np.asarray(_mixed(states) >> SHIFT, np.int64)


INJECTIONS: Registry[Callable[[Injection, np.ndarray, np.random.Generator], np.ndarray]] = Registry("injection")


def _mixed(x: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser: every bit of the result depends on every bit of x (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of norm 1 in the same directions; zeros stay zeros."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
