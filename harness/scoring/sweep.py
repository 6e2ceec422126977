"""The scoring pass: the store is streamed once, in document order, for every operator at every length."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from harness.aggregators import Aggregator
from harness.engines.base import Map, serial
from harness.records import Arm, Candidates, MultiVectors, SweepScores
from harness.scoring import devices
from harness.scoring.tasks import Sweep, complete
from harness.vectors.streams import streams


def sweep(
    vectors: MultiVectors,
    queries: MultiVectors,
    candidates: Candidates,
    arm: Arm,
    lengths: Sequence[int],
    aggregators: Sequence[Aggregator],
    engine: Map = serial,
    advance: Callable[[int], None] = lambda documents: None,
    device: torch.device | None = None,
) -> SweepScores:
    """Score every candidate under every aggregator at every length. Similarities are float32, scores sums over tokens.

    vectors: documents; queries: their rows are those of candidates.query_ids. A score depends on its query, its
    document and the arm alone: not on the other candidates, their order, or how the work is split.
    device: where to multiply and reduce, padded, to within 1e-4 of the compiled pass on the CPU, which None stands for.
    """
    lengths = sorted(lengths)
    tokens: Any = np.ascontiguousarray(queries.vectors[:], np.float32)
    if device is not None:
        tokens = torch.from_numpy(tokens).to(device)
    shared = Sweep(streams(vectors, arm, lengths), tokens, queries.offsets, devices.packed(queries, device))
    values = np.full((len(aggregators), len(lengths), *candidates.rows.shape), np.nan, np.float32)
    scores = [
        (places, functools.partial(file.score_sweep, shared, [aggregators[at] for at in places]))
        for places, file in devices.passes(aggregators, device)
    ]
    complete(values, scores, candidates, vectors, engine, advance)
    return SweepScores(arm, [str(one) for one in aggregators], lengths, candidates, values)
