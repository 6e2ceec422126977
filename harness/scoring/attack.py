"""The pass of an attack: each candidate's own state, then that state going on with injected patches, at every count.

Nothing is rescored: the products are those of the clean documents, similarities to a query's injected patches are
computed once a query, and all counts come from one stream.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.aggregators import Aggregator
from harness.engines.base import Map, serial
from harness.records import Candidates, MultiVectors
from harness.scoring import devices, padded
from harness.scoring.injected import Attack, banks, corpus_norm
from harness.scoring.tasks import complete
from harness.vectors.injections.base import Injection


@dataclass(frozen=True)
class AttackScores:
    """values float32 (A, K, Q, C): scores by injected count; hijacked, the same shape: mean over query tokens of the
    share of the selection that injected patches hold, NaN for operators without one. NaN where a slot is empty."""

    aggregators: Sequence[str]
    counts: Sequence[int]
    candidates: Candidates
    values: np.ndarray
    hijacked: np.ndarray


def attack(
    vectors: MultiVectors,
    queries: MultiVectors,
    candidates: Candidates,
    injection: Injection,
    aggregators: Sequence[Aggregator],
    engine: Map = serial,
    advance: Callable[[int], None] = lambda documents: None,
    device: torch.device | None = None,
) -> AttackScores:
    """Score every candidate, whole, with 0 … K patches injected. Candidates should hold no relevant document.

    device: where to multiply and reduce, padded and in torch; None stands for the compiled pass on the CPU.
    """
    tokens: Any = np.ascontiguousarray(queries.vectors[:], np.float32)
    injected: Any = banks(injection, queries, tokens, corpus_norm(vectors))
    if device is None:
        passes = devices.passes(aggregators, None)
    else:
        passes = [(list(range(len(aggregators))), padded)]
        tokens, injected = (torch.from_numpy(array).to(device) for array in (tokens, injected))
    streams = np.array([injection.stream(name) for name in queries.ids], np.uint64)
    packed = devices.packed(queries, device)
    shared = Attack(injection, vectors, streams, tokens, queries.offsets, packed, injected)
    values = np.full((2, len(aggregators), len(injection.counts), *candidates.rows.shape), np.nan, np.float32)
    scores = [
        (places, functools.partial(file.score_attack, shared, [aggregators[at] for at in places]))
        for places, file in passes
    ]
    complete(values, scores, candidates, vectors, engine, advance)
    values[1] /= np.diff(queries.offsets)[:, None]  # sums over tokens become means
    return AttackScores([str(one) for one in aggregators], injection.counts, candidates, *values)
