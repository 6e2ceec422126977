"""The scoring pass on a GPU against the rate of its products, and against flash-maxsim for one MaxSim cell.

Floor: one cell's float32 operations at the rate of a large float32 product there, or its vectors' bytes at the rate of
a copy, whichever takes longer. Vectors lie in the host's memory, as in a run; flash-maxsim's lie on the GPU already.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from benchmarks import timing
from benchmarks.scoring import POOLS, records
from benchmarks.work import LENGTHS, Work
from harness.aggregators import AGGREGATORS
from harness.engines.local import Local
from harness.scoring.pieces import full_precision
from harness.scoring.sweep import sweep
from harness.vectors.arms import make_arm

SIDE, COPIED = 8192, 1 << 28


def main(work: Work, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of each case, and how many times the floor that is."""
    device = torch.device("cuda")
    square = torch.ones((SIDE, SIDE), device=device)
    copied = torch.ones(COPIED, dtype=torch.uint8, device=device)
    cases: dict[str, Callable[[], object]] = {
        "rate": functools.partial(_multiply, square),
        "copy": copied.clone,
        "harness, 12 cells": cells(work, POOLS, LENGTHS, device),
        "harness, 1 cell": cells(work, POOLS[:1], LENGTHS[-1:], device),
    }
    try:
        cases["flash-maxsim, 1 cell"] = flash_maxsim(work, device)
    except ImportError:
        print("flash-maxsim is not installed here: pip install flash-maxsim")
    seconds = timing.alternate({name: functools.partial(_finished, case) for name, case in cases.items()}, rounds)
    rate, copy = 2 * SIDE**3 / seconds.pop("rate"), 2 * COPIED / seconds.pop("copy")
    floor = max(work.flops / rate, (work.documents.nbytes + work.tokens.nbytes) / copy)
    return {name: {"seconds": one, "over_floor": one / floor} for name, one in seconds.items()}


def cells(work: Work, pools: list[str], lengths: list[int], device: torch.device) -> Callable[[], object]:
    """The pass over all cells, as ``harness eval --device cuda`` runs it."""
    documents, queries, candidates = records(work)
    made, arm = [AGGREGATORS.make(pool) for pool in pools], make_arm("truncate", lengths, None, "distractor", 0)
    return lambda: sweep(documents, queries, candidates, arm, lengths, made, Local(), device=device)


def flash_maxsim(work: Work, device: torch.device) -> Callable[[], object]:
    """A query at a time, its candidates packed."""
    from flash_maxsim import flash_maxsim as score

    documents = [torch.from_numpy(work.document(row)).half().to(device) for row in range(len(work.offsets) - 1)]
    queries = [torch.from_numpy(work.query(at)).half().to(device) for at in range(len(work.rows))]

    def every() -> None:
        for query, rows in zip(queries, work.rows, strict=True):
            mine = [documents[row] for row in rows]
            ends = torch.tensor([0, *(len(one) for one in mine)], device=device).cumsum(0).int()
            score(query, torch.cat(mine), ends)

    return every


def _multiply(square: torch.Tensor) -> torch.Tensor:
    with full_precision():
        return square @ square


def _finished(case: Callable[[], object]) -> None:
    """A GPU returns before it is done."""
    case()
    torch.cuda.synchronize()
