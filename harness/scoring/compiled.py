"""The compiled pass over a run of documents: widen, multiply, reduce while the block is in cache; no Python inside."""

from __future__ import annotations

import numba as nb
import numpy as np

from harness.scoring.gemm import multiply
from harness.scoring.kernels.base import ANY_ORDER, OPTIONS, finish_at, start_at, update_at, widen

LANES = 512  # query tokens multiplied at once; a block of 256 patches is then half a megabyte, inside a core's cache
PLAIN = 1_000_001  # products below 10^6 take another path in OpenBLAS, which rounds differently; blocks are grown to it
MOST = 8192  # lanes a block is grown to
WIDTH = 16  # lanes of a vector: blocks are whole vectors wide, so that no loop has a remainder


@nb.njit(inline="always", **OPTIONS)
def fill(own, start, kept, filler, block):
    """Own patches, then filler, widened into block (rows, d); rows beyond them are zero."""
    used = 0
    for halves in (own[start : start + kept].reshape(-1), filler.reshape(-1)):
        part = block.reshape(-1)[used : used + len(halves)]  # a slice: indices that cannot be negative vectorise
        for at in range(len(halves)):
            part[at] = widen(halves[at])
        used += len(halves)
    block.reshape(-1)[used:] = np.float32(0.0)


@nb.njit(inline="always", **OPTIONS)
def stack(tokens, bounds, queries, lanes):
    """Tokens of several queries, one after the other, into lanes (W, d); lanes beyond them are zero."""
    used = 0
    for query in queries:
        part = tokens[bounds[query] : bounds[query + 1]].reshape(-1)
        place = lanes.reshape(-1)[used : used + len(part)]
        for at in range(len(part)):
            place[at] = part[at]
        used += len(part)
    lanes.reshape(-1)[used:] = np.float32(0.0)


@nb.njit(inline="always", **OPTIONS)
def emit(scores, bounds, queries, at, out):
    """Sum the scores of each query's tokens into out (pairs), from pair ``at`` on."""
    lane = 0
    for number in range(queries.shape[0]):
        total = 0.0
        for _ in range(bounds[queries[number]], bounds[queries[number] + 1]):
            total += scores[lane]
            lane += 1
        out[at + number] = np.float32(total)


@nb.njit(inline="always", **OPTIONS)
def whole(lanes):
    """Lanes in whole vectors."""
    return -(-lanes // WIDTH) * WIDTH


@nb.njit(inline="always", **OPTIONS)
def grown(used, patches, d):
    """Lanes of a block of so many patches: enough for the product to go OpenBLAS's usual way."""
    return max(used, whole(min(MOST, -(-PLAIN // (patches * d)))))


@nb.njit(inline="always", **OPTIONS)
def group(bounds, wanting, first):
    """How many of the queries from ``first`` on fit LANES together: at least one. Returns (last, lanes)."""
    last, used = first, 0
    while last < wanting.shape[0]:
        size = bounds[wanting[last] + 1] - bounds[wanting[last]]
        if last > first and used + size > LANES:
            break
        used += size
        last += 1
    return last, whole(used)


@nb.njit(inline="always", **OPTIONS)
def widest(bounds, queries, d):
    """The most lanes any block of a run can have."""
    longest = 0
    for query in queries:
        longest = max(longest, bounds[query + 1] - bounds[query])
    return grown(max(LANES, whole(longest)), 16, d)


@nb.njit(cache=True, **ANY_ORDER)
def score_run(own, starts, kept, filler, filler_bounds, counts, tokens, bounds, pairs, queries, addresses, rows,
              parameters, product, out):  # fmt: skip
    """Scores of every (document, query) pair of a run of documents, for every operator and length.

    own: uint16 (P, d), float16 bits; starts, kept: int64 (n), a document's own patches; filler: uint16 (F, d) and
    filler_bounds: int64 (n + 1); counts: int64 (n, L), non-decreasing along L; tokens: float32 (T, d) and
    bounds: int64 (Q + 1); pairs: int64 (n + 1) into queries: int64 (N); addresses: int64 (A, 5), rows, parameters: (A),
    of the operators' kernels; product: an address, see multiply; out: float32 (A, L, N).
    """
    d = tokens.shape[1]
    most, wide = max(counts[:, -1].max(), 16), widest(bounds, queries, d)
    block, lane_space = np.empty((most, d), np.float32), np.empty(wide * d, np.float32)
    sims_space, state_space = np.empty(most * wide, np.float32), np.empty(rows.max() * wide, np.float32)
    score_space = np.empty(wide, np.float32)
    for i in range(starts.shape[0]):
        fill(own, starts[i], kept[i], filler[filler_bounds[i] : filler_bounds[i + 1]], block)
        patches = max(counts[i, -1], 16)
        first = pairs[i]
        while first < pairs[i + 1]:
            last, used = group(bounds, queries[: pairs[i + 1]], first)
            width = grown(used, patches, d)
            lanes = lane_space[: width * d].reshape((width, d))
            stack(tokens, bounds, queries[first:last], lanes)
            sims = sims_space[: patches * width].reshape((patches, width))
            multiply(product, block[:patches], lanes, sims)
            scores = score_space[:used]  # lanes beyond them are there for the product alone
            for a in range(rows.shape[0]):
                state = state_space[: rows[a] * used].reshape((rows[a], used))
                update, finish = update_at(addresses[a, 1]), finish_at(addresses[a, 2])
                start_at(addresses[a, 0])(state, parameters[a])
                seen = 0
                for length in range(counts.shape[1]):
                    update(sims, seen, counts[i, length], state, parameters[a])
                    seen = counts[i, length]
                    finish(state, seen, scores, parameters[a])
                    emit(scores, bounds, queries[first:last], first, out[a, length])
            first = last
