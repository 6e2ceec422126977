"""The scoring pass against its floor: the bare multiplications it cannot avoid.

Work: 300 queries × 100 candidates × 32 × 256 tokens × 128 dimensions; 3 pools × 4 lengths = 12 cells in one pass.
Floor: one float32 product a document, its patches by the stacked tokens of its queries, one thread a core.
Both run in one process, alternating; figures are medians, and only their ratio is a result.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from harness.aggregators import AGGREGATORS
from harness.engines.local import Local, cores
from harness.lengths import make_arm
from harness.records import Candidates, MultiVectors
from harness.scoring.sweep import invert, sweep

QUERIES, CANDIDATES, TOKENS, PATCHES, DIM, DOCUMENTS = 300, 100, 32, 256, 128, 5183
POOLS, LENGTHS = ["maxsim", "topk:4", "softmax:1.0"], [32, 64, 128, 256]
ROUNDS = 7


def unit(items: int, each: int, random: np.random.Generator) -> MultiVectors:
    """Random unit vectors, the same number an item."""
    vectors = random.standard_normal((items * each, DIM), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return MultiVectors([str(at) for at in range(items)], vectors.astype(np.float16), np.arange(items + 1) * each)


def work() -> tuple[MultiVectors, MultiVectors, Candidates]:
    random = np.random.default_rng(0)
    documents, queries = unit(DOCUMENTS, PATCHES, random), unit(QUERIES, TOKENS, random)
    rows = np.stack([random.choice(DOCUMENTS, CANDIDATES, replace=False) for _ in range(QUERIES)])
    return documents, queries, Candidates(queries.ids, documents.ids, rows, "random", 1.0)


def floor(documents: MultiVectors, queries: MultiVectors, candidates: Candidates) -> Callable[[], None]:
    """The products alone, operands already float32 and contiguous."""
    wide = documents.vectors.astype(np.float32).reshape(DOCUMENTS, PATCHES, DIM)
    tokens = queries.vectors.astype(np.float32).reshape(QUERIES, TOKENS, DIM)
    pairs = []
    for run in invert(candidates, documents):
        for at, row in enumerate(run.rows):
            wanting = run.queries[run.pairs[at] : run.pairs[at + 1]]
            pairs.append((wide[row], np.ascontiguousarray(tokens[wanting].reshape(-1, DIM))))
    out = np.empty((PATCHES, TOKENS * max(len(stacked) // TOKENS for _, stacked in pairs)), np.float32)

    def part(start: int) -> None:
        mine = np.empty(out.size, np.float32)
        for patches, stacked in pairs[start :: cores()]:
            np.matmul(patches, stacked.T, out=mine[: PATCHES * len(stacked)].reshape(PATCHES, -1))

    def multiply() -> None:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores()) as pool:
            list(pool.map(part, range(cores())))

    return multiply


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    documents, queries, candidates = work()
    pools = [AGGREGATORS.make(pool) for pool in POOLS]
    arm, multiply = make_arm("truncate", LENGTHS, None, "distractor", 0), floor(documents, queries, candidates)

    def score(chosen, lengths):
        return lambda: sweep(documents, queries, candidates, arm, lengths, chosen, Local())

    cases = {
        "floor": multiply,
        "12 cells": score(pools, LENGTHS),
        "1 cell": score(pools[:1], LENGTHS[-1:]),
        "4 cells, one pool": score(pools[:1], LENGTHS),
    }
    for case in cases.values():
        case()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            times[name].append(seconds(case))
    base = statistics.median(times["floor"])
    result = {name: {"seconds": statistics.median(took), "over_floor": statistics.median(took) / base}
              for name, took in times.items()}  # fmt: skip
    for name, row in result.items():
        print(f"{name:<20} {row['seconds']:7.3f} s   {row['over_floor']:5.2f} × floor")
    path = Path(__file__).with_name("scoring.json")
    path.write_text(json.dumps({"cores": cores(), "rounds": ROUNDS, "cases": result}, indent=1) + "\n")
