"""The scoring pass against its floor and against what others need for a single cell of it.

A cell is one pool at one length. Twelve cells: three pools at four lengths, in one pass. Floor: the float32 operations
of one cell's products at the machine's peak; ``products``: those products run bare.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from unittest.mock import patch

import numpy as np

from benchmarks import timing
from benchmarks.work import LENGTHS, Work, products
from harness.aggregators import AGGREGATORS
from harness.engines.local import Local
from harness.records import Candidates, MultiVectors
from harness.scoring import amx
from harness.scoring.attack import attack
from harness.scoring.sweep import sweep
from harness.vectors.arms import make_arm
from harness.vectors.injections import Injection

POOLS = ["maxsim", "topk:4", "softmax:1.0"]
ADDED_POOLS = ["mean", "logsumexp:0.1", "logmeanexp:0.1", "softmax:0.1", "topk:2"]
COUNTS = [0, 10, 50, 100]
PAIRS = 3  # a round, of what is a small difference of two times
LOOPED = 30  # queries the plain torch loop is timed on; it would take minutes for all


def records(work: Work) -> tuple[MultiVectors, MultiVectors, Candidates]:
    documents = MultiVectors([str(at) for at in range(len(work.offsets) - 1)], work.documents, work.offsets)
    queries = MultiVectors([str(at) for at in range(len(work.rows))], work.tokens, work.token_offsets)
    return documents, queries, Candidates(queries.ids, documents.ids, work.rows, "random", 1.0)


def cells(work: Work, pools: list[str], lengths: list[int]) -> Callable[[], object]:
    """The pass over all cells, with all cores, as ``harness eval`` runs it."""
    documents, queries, candidates = records(work)
    made, arm = [AGGREGATORS.make(pool) for pool in pools], make_arm("truncate", lengths, None, "distractor", 0)
    return lambda: sweep(documents, queries, candidates, arm, lengths, made, Local())


def by_sgemm(case: Callable[[], object]) -> Callable[[], object]:
    """The same as on a processor without a unit for matrices."""

    def run() -> None:
        with patch.object(amx, "available", lambda: False):
            case()

    return run


def injected(work: Work, counts: list[int]) -> Callable[[], object]:
    """The pass of ``harness stress``, over the same candidates."""
    documents, queries, candidates = records(work)
    made, injection = [AGGREGATORS.make(pool) for pool in POOLS], Injection("hard", tuple(counts))
    return lambda: attack(documents, queries, candidates, injection, made, Local())


def maxsim_cpu(work: Work) -> dict[str, Callable[[], object]]:
    """maxsim-cpu's two calls, candidates gathered into one array, or handed over as they lie in memory."""
    import maxsim_cpu as peer

    def one_by_one() -> None:
        for at, rows in enumerate(work.rows):
            peer.maxsim_scores_variable(work.query(at), [work.document(row) for row in rows])

    def gathered() -> None:
        wide = work.wide[0]
        block = wide.reshape(len(work.offsets) - 1, -1, wide.shape[1])
        for at, rows in enumerate(work.rows):
            peer.maxsim_scores(work.query(at), block[rows])

    if len(set(np.diff(work.offsets).tolist())) > 1:
        return {"maxsim-cpu, 1 cell": one_by_one}
    return {"maxsim-cpu, 1 cell": gathered, "maxsim-cpu, 1 cell, listed": one_by_one}


def colbert_ai(work: Work) -> Callable[[], object]:
    """colbert-ai's scores of packed candidates on the CPU, whose maxima are its own C++."""
    import torch
    from colbert.modeling.colbert import ColBERT

    ColBERT.try_load_torch_extensions(False)  # compiles them where it has not yet
    lengths = torch.from_numpy(np.minimum(np.diff(work.offsets), LENGTHS[-1]))

    def score() -> None:
        for at, rows in enumerate(work.rows):
            packed = torch.cat([torch.from_numpy(work.document(row)) for row in rows])
            ColBERT.segmented_maxsim(packed @ torch.from_numpy(work.query(at)).T, lengths[rows])

    return score


def torch_loop(work: Work) -> Callable[[], object]:
    """What one writes in an afternoon: each query's candidates padded, every pool at every length, on some queries."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    pools = [AGGREGATORS.make(pool) for pool in POOLS]

    def score() -> None:
        for at, rows in enumerate(work.rows[:LOOPED]):
            documents = [torch.from_numpy(work.document(row)) for row in rows]
            block = pad_sequence(documents, batch_first=True)
            real = pad_sequence([torch.ones(len(one)) for one in documents], batch_first=True)
            for length in LENGTHS:
                sims = torch.einsum("td,kpd->ktp", torch.from_numpy(work.query(at)), block[:, :length])
                masked = sims.masked_fill(real[:, None, :length] == 0, -1e30)
                for pool in pools:
                    pool(masked).sum(-1)

    return score


def main(work: Work, rounds: int, peers: bool) -> dict[str, dict[str, float]]:
    """Seconds of each case, and how many times the floor that is."""
    cases = {
        "peak": timing.square(),
        "products": products(work),
        "harness, 12 cells": cells(work, POOLS, LENGTHS),
        "harness, 4 cells": cells(work, POOLS[:1], LENGTHS),
        "harness, 1 cell": cells(work, POOLS[:1], LENGTHS[-1:]),
    }
    if amx.available():
        cases |= {f"{name}, by sgemm": by_sgemm(cases[name]) for name in ("harness, 12 cells", "harness, 1 cell")}
    if peers:
        cases |= {**maxsim_cpu(work), "colbert-ai, 1 cell": colbert_ai(work), "torch loop, 12 cells": torch_loop(work)}
    seconds = timing.alternate(cases, rounds)
    if peers:
        seconds["torch loop, 12 cells"] *= len(work.rows) / LOOPED
    rate = timing.peak(seconds.pop("peak"))
    floor = work.flops / rate
    rows = {"floor": {"seconds": floor, "over_floor": 1.0, "gflops": rate / 1e9}}
    return rows | {name: {"seconds": one, "over_floor": one / floor} for name, one in seconds.items()}


def growth(work: Work, rounds: int) -> dict[str, float]:
    """What one more length, count or operator adds to the twelve cells, as a share; medians over rounds of pairs."""
    cases = {
        "length": (cells(work, POOLS, LENGTHS), cells(work, POOLS, [*LENGTHS[:-1], 192, LENGTHS[-1]])),
        "injected count": (injected(work, COUNTS), injected(work, [*COUNTS[:-1], 75, COUNTS[-1]])),
    }
    cases |= {pool: (cells(work, POOLS, LENGTHS), cells(work, [*POOLS, pool], LENGTHS)) for pool in ADDED_POOLS}
    added = {}
    for name, (before, after) in cases.items():
        taken = timing.rounds_of({"before": before, "after": after}, PAIRS * rounds)
        added[name] = statistics.median(np.divide(taken["after"], taken["before"])) - 1
    return added
