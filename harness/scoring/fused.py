"""The scoring pass in Triton: similarities are reduced where they are multiplied and are never written to memory.

One program a group, which is a document and up to LANES of its lanes. It multiplies SLOTS patches at a time, keeps
every lane's state in registers, and writes it down at each length; the operators' own ``finish`` makes scores of it.
The only file that imports Triton, which reads TRITON_INTERPRET as it is imported.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from harness.aggregators import AGGREGATORS, MASKED, Aggregator
from harness.aggregators.logmeanexp import LogMeanExp
from harness.aggregators.logsumexp import LogSumExp
from harness.aggregators.maxsim import MaxSim
from harness.aggregators.mean import Mean
from harness.aggregators.softmax import Softmax
from harness.aggregators.topk import TopK
from harness.scoring.pieces import Piece, score_pieces
from harness.scoring.tasks import Sweep, Task

LANES, SLOTS, DEPTH = 64, 64, 16  # of a product: lanes, patches, and dimensions at a time; more leave the registers
MOST = 16  # largest k: the cost of a patch grows with it
LOG2_E = 1.4426950408889634

# TF32 holds all that float16 does, so "tf32" multiplies exactly too, and faster; but GPUs round its sums their own way.
PRECISION: tl.constexpr = tl.constexpr("ieee")
EMPTY: tl.constexpr = tl.constexpr(MASKED)  # what an empty stream's largest similarity is
FULL: tl.constexpr = tl.constexpr(3.0e38)  # above any similarity

STATES: dict[type[Aggregator], Callable[[Tensor, Tensor], Any]] = {
    MaxSim: lambda rows, begin: rows[0],
    Mean: lambda rows, begin: (rows[1], begin),
    Softmax: lambda rows, begin: (rows[0], rows[2], rows[3]),
    LogSumExp: lambda rows, begin: (rows[0], rows[2]),
    LogMeanExp: lambda rows, begin: (rows[0], rows[2], begin),
}
"""States from rows (4, L, W) of peak, Σs, Σe and Σe·s with e = exp((s − peak)/τ), and patches seen (L, W)."""


def has(aggregator: Aggregator) -> bool:
    """Whether exactly this operator is fused."""
    return type(aggregator) in STATES or (type(aggregator) is TopK and aggregator.k <= MOST)


def score_sweep(sweep: Sweep, aggregators: Sequence[Aggregator], task: Task) -> np.ndarray:
    """Scores of a task's pairs, float32 (A, L, N)."""
    with torch.cuda.device_of(sweep.tokens):
        return score_pieces(functools.partial(_score, sweep.tokens, aggregators), sweep.streams, sweep.bounds, task)


def attempt(device: torch.device) -> None:
    """Score one patch by one token under a sum and a selection. Raises whatever keeps Triton from running."""
    ends, tokens = np.array([0, 1]), torch.ones((1, 1), device=device)
    first, counts = ends[:1], np.ones((1, 1), np.int64)
    piece = Piece(np.ones((1, 1), np.float16), first, counts, first, ends, ends, first, first)
    with torch.cuda.device_of(tokens):
        _score(tokens, [AGGREGATORS.make(one) for one in ("softmax", "topk:2")], piece).cpu()


def _score(tokens: Tensor, aggregators: Sequence[Aggregator], piece: Piece) -> Tensor:
    """Scores of a piece's lanes, float32 (A, L, W)."""
    launch = _launcher(tokens, piece)
    patches = torch.from_numpy(np.repeat(piece.counts.T, np.diff(piece.bounds), axis=1)).to(tokens.device).float()
    out = torch.empty((len(aggregators), *patches.shape), device=tokens.device)
    todo = dict(enumerate(aggregators))
    for at, aggregator in list(todo.items()):
        if isinstance(aggregator, TopK):
            best = launch(_best, aggregator.k, aggregator.k, triton.next_power_of_2(max(aggregator.k, 2)))  # (k, L, W)
            out[at] = aggregator.finish(best.movedim(0, -1))
            del todo[at]
    taus = sorted({aggregator.tau for aggregator in todo.values() if hasattr(aggregator, "tau")})
    for tau in taus or ([None] if todo else []):  # operators without one go with the first
        rows = launch(_moments, 4, 1.0 if tau is None else LOG2_E / tau, tau is not None)
        for at, aggregator in list(todo.items()):
            if getattr(aggregator, "tau", tau) == tau:
                out[at] = aggregator.finish(STATES[type(aggregator)](rows, patches))
                del todo[at]
    return out


def _launcher(tokens: Tensor, piece: Piece) -> Callable[..., Tensor]:
    """A function that runs a kernel over the piece's groups and gives what it writes: float32 (states, L, W)."""
    groups = torch.from_numpy(np.stack(piece.groups(LANES), axis=1)).to(tokens.device)  # (n, 3)
    arrays = [
        torch.from_numpy(np.ascontiguousarray(one)).to(tokens.device)
        for one in (piece.rows, piece.streams, piece.starts, piece.counts)
    ]

    def launch(kernel: Any, states: int, parameter: float, *choices: Any) -> Tensor:
        out = torch.empty((states, piece.counts.shape[1], len(piece.rows)), device=tokens.device)
        kernel[(len(groups),)](
            tokens,
            *arrays,
            groups,
            out,
            tokens.shape[1],
            out.shape[1],
            out.shape[2],
            parameter,
            *choices,
            LANES,
            SLOTS,
            DEPTH,
        )
        return out

    return launch


@triton.jit
def _product(tokens, rows, streams, slots, d, LANES: tl.constexpr, SLOTS: tl.constexpr, DEPTH: tl.constexpr):
    """Similarities of some rows of the tokens and of the streams, float32 (LANES, SLOTS)."""
    sims = tl.zeros((LANES, SLOTS), tl.float32)
    for k in range(0, d, DEPTH):
        at = k + tl.arange(0, DEPTH)
        own = tl.load(tokens + rows[:, None] * d + at[None, :], mask=at[None, :] < d, other=0.0)
        patches = tl.load(streams + slots[None, :] * d + at[:, None], mask=at[:, None] < d, other=0.0)
        sims = tl.dot(own, patches.to(tl.float32), sims, input_precision=PRECISION)
    return sims


@triton.jit
def _moments(
    tokens,
    rows,
    streams,
    starts,
    counts,
    groups,
    out,
    d,
    lengths,
    width,
    inverse,
    EXPONENTIAL: tl.constexpr,
    LANES: tl.constexpr,
    SLOTS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """Peak, Σs, Σe and Σe·s at each length; the last two only if EXPONENTIAL. inverse: 1/(τ·log 2)."""
    group = groups + 3 * tl.program_id(0)
    document, last = tl.load(group), tl.load(group + 2)
    start, lane = tl.load(starts + document), tl.load(group + 1) + tl.arange(0, LANES)
    lane_rows = tl.load(rows + lane, mask=lane < last, other=0)
    peak = tl.full((LANES,), EMPTY, tl.float32)
    summed, total, weighted = (
        tl.zeros((LANES,), tl.float32),
        tl.zeros((LANES,), tl.float32),
        tl.zeros((LANES,), tl.float32),
    )
    begin = tl.zeros((), tl.int32)
    for length in range(lengths):
        stop = tl.load(counts + document * lengths + length).to(tl.int32)
        for at in range(begin, stop, SLOTS):
            slot = at + tl.arange(0, SLOTS)
            real = slot[None, :] < stop
            sims = _product(tokens, lane_rows, streams, start + tl.minimum(slot, stop - 1), d, LANES, SLOTS, DEPTH)
            summed += tl.sum(tl.where(real, sims, 0.0), 1)
            raised = tl.maximum(peak, tl.max(tl.where(real, sims, EMPTY), 1))
            if EXPONENTIAL:
                shrunk = tl.exp2((peak - raised) * inverse)
                weights = tl.where(real, tl.exp2((sims - raised[:, None]) * inverse), 0.0)
                total = total * shrunk + tl.sum(weights, 1)
                weighted = weighted * shrunk + tl.sum(weights * sims, 1)
            peak = raised
        begin = stop
        place = out + length * width + lane
        tl.store(place, peak, mask=lane < last)
        tl.store(place + lengths * width, summed, mask=lane < last)
        if EXPONENTIAL:
            tl.store(place + 2 * lengths * width, total, mask=lane < last)
            tl.store(place + 3 * lengths * width, weighted, mask=lane < last)


@triton.jit
def _best(
    tokens,
    rows,
    streams,
    starts,
    counts,
    groups,
    out,
    d,
    lengths,
    width,
    k,
    WIDTH: tl.constexpr,
    LANES: tl.constexpr,
    SLOTS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """The k largest at each length, in no order, EMPTY where there are fewer: k times the largest of SLOTS is taken out
    and put in the place of the least so far, if it is larger. WIDTH: k or more, a power of two."""
    group = groups + 3 * tl.program_id(0)
    document, last = tl.load(group), tl.load(group + 2)
    start, lane = tl.load(starts + document), tl.load(group + 1) + tl.arange(0, LANES)
    lane_rows = tl.load(rows + lane, mask=lane < last, other=0)
    column = tl.arange(0, WIDTH)[None, :]
    best = tl.where(column < k, EMPTY, FULL) + tl.zeros((LANES, WIDTH), tl.float32)
    begin = tl.zeros((), tl.int32)
    for length in range(lengths):
        stop = tl.load(counts + document * lengths + length).to(tl.int32)
        for at in range(begin, stop, SLOTS):
            slot = at + tl.arange(0, SLOTS)
            sims = _product(tokens, lane_rows, streams, start + tl.minimum(slot, stop - 1), d, LANES, SLOTS, DEPTH)
            sims = tl.where(slot[None, :] < stop, sims, EMPTY)
            for _ in range(k):
                top, taken = tl.max(sims, 1, return_indices=True)
                least, place = tl.min(best, 1, return_indices=True)
                sims = tl.where(tl.arange(0, SLOTS)[None, :] == taken[:, None], EMPTY, sims)
                better = (column == place[:, None]) & (top > least)[:, None]
                best = tl.where(better, top[:, None], best)
        begin = stop
        cell = out + (column * lengths + length) * width + lane[:, None]
        tl.store(cell, best, mask=(lane[:, None] < last) & (column < k))
